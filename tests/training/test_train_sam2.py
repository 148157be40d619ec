"""The training of the demo SAM2, run for real on a few small clips."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from tracker.locations import shipped
from tracker.models.streaming import build_streaming_video_predictor
from training.assets import Folders, load_assets
from training.clip_forward import ClipRunner
from training.clips import ClipBatch, ClipShape, make_clip
from training.losses import DecoderOutput, decoder_loss, weighted
from training.prompts import corrected, first_prompt, noisy_boxes
from training.train_sam2 import Budget, Trainer, new_model, train

SHAPE = ClipShape(clips=1, frames=3, objects=2, size=64)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def assets():
    return load_assets(Folders(), sprites=12, seed=0, split="train")


def batch_of(assets, seed=0) -> ClipBatch:
    images, masks = make_clip(np.random.default_rng(seed), assets, SHAPE)
    return ClipBatch(torch.from_numpy(images)[None], torch.from_numpy(masks)[None])


def test_a_clip_repeats_with_its_seed_and_shows_its_objects(assets):
    first, again, other = (make_clip(np.random.default_rng(s), assets, SHAPE) for s in (5, 5, 6))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])
    assert first[0].shape == (3, 64, 64, 3)
    assert first[1].shape == (2, 3, 64, 64)
    assert first[1][:, 0].any(axis=(1, 2)).all()


def test_one_clip_is_learned_by_heart(assets):
    model = new_model("cpu", seed=0)
    runner = ClipRunner(model, torch.Generator().manual_seed(0))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    batch = batch_of(assets)
    losses = []
    for _ in range(30):
        loss = weighted(runner.run(batch, "box", correct_frame=2)[0])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])


def test_training_logs_exports_and_goes_on(assets, tmp_path):
    def trainer(steps: int) -> Trainer:
        model = new_model("cpu", seed=0)
        return Trainer(model, assets, Budget(None, steps), seed=0, learning_rate=1e-4)

    train(trainer(2), assets, tmp_path, check_minutes=60, check_clips=1)
    resumed = trainer(3)
    train(resumed, assets, tmp_path, check_minutes=60, check_clips=1)
    assert resumed.step == 3
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {"mask", "box", "box first frame"} <= entries[-1].keys()
    config = shipped("configs") / "sam2" / "demo.yaml"
    loaded = build_streaming_video_predictor(config, tmp_path / "sam2_demo.pt", device="cpu")
    exported = resumed.average.module.state_dict()["no_mem_embed"].half().float()
    assert torch.equal(loaded.no_mem_embed, exported)


def test_only_the_best_of_several_masks_learns_and_absent_objects_teach_the_score_alone():
    truth = torch.zeros(2, 16, 16, dtype=torch.bool)
    truth[0, 4:12, 4:12] = True
    logits = torch.full((2, 3, 4, 4), -4.0)
    logits[0, 1, 1:3, 1:3] = 4.0
    logits.requires_grad_()
    output = DecoderOutput(logits, torch.zeros(2, 3), torch.zeros(2, 1))
    losses = decoder_loss(output, truth)
    losses["mask"].backward()
    assert logits.grad[0, 1].abs().sum() > 0
    assert logits.grad[0, [0, 2]].abs().sum() == 0
    assert logits.grad[1].abs().sum() == 0
    assert losses["score"] == pytest.approx(np.log(2), abs=1e-5)


def test_prompts_come_from_the_truth_and_corrections_from_the_error():
    generator = torch.Generator().manual_seed(0)
    truth = torch.zeros(1, 32, 32, dtype=torch.bool)
    truth[0, 8:20, 10:26] = True
    box = noisy_boxes(truth, generator)[0]
    assert torch.allclose(box, torch.tensor([[10.0, 8.0], [26.0, 20.0]]), atol=6)
    prompt = first_prompt(truth, "box+points", generator)
    assert prompt["point_labels"][0, :2].tolist() == [2, 3]
    predicted = torch.zeros_like(truth)
    predicted[0, 8:20, 10:18] = True
    click = corrected(None, predicted, truth, generator)
    x, y = click["point_coords"][0, 0].tolist()
    assert 18 <= x < 26
    assert 8 <= y < 20
    assert click["point_labels"].tolist() == [[1]]
