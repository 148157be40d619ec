"""The training of the demo SAM2, run for real on a few small clips."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from tracker.locations import shipped
from tracker.models.streaming import build_streaming_video_predictor
from training.bank import load_bank
from training.clip_forward import ClipRunner
from training.clips import ClipShape, DrawnClips
from training.losses import DecoderOutput, decoder_loss, weighted
from training.prompts import corrected, first_prompt, noisy_boxes
from training.train_sam2 import (
    Budget,
    Stage,
    Trainer,
    demo_stages,
    load_start,
    new_model,
    train,
    validate,
)

SHAPE = ClipShape(clips=1, frames=3, objects=2, size=64)
STAGES = (Stage(1.0, (SHAPE,), (0.4, 0.3, 0.2, 0.1)),)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def bank():
    return load_bank(None, sprites=12, textures=4, seed=0, split="train", device="cpu")


def test_a_batch_repeats_with_its_number_and_shows_its_objects(bank):
    first, again, other = (DrawnClips(bank, 0).batch(SHAPE, n) for n in (5, 5, 6))
    assert torch.equal(first.images_bthwc, again.images_bthwc)
    assert torch.equal(first.masks_bkthw, again.masks_bkthw)
    assert not torch.equal(first.images_bthwc, other.images_bthwc)
    assert first.images_bthwc.shape == (1, 3, 64, 64, 3)
    assert first.masks_bkthw.shape == (1, 2, 3, 64, 64)
    assert first.masks_bkthw[:, :, 0].flatten(2).any(2).all()


def test_one_clip_is_learned_by_heart(bank):
    model = new_model("cpu", seed=0)
    runner = ClipRunner(model, torch.Generator().manual_seed(0))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    batch = DrawnClips(bank, 0).batch(SHAPE, 0)
    losses = []
    for _ in range(30):
        loss = weighted(runner.run(batch, "box", correct_frame=2)[0])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])


def new_trainer(bank, steps: int) -> Trainer:
    source, budget = DrawnClips(bank, 0), Budget(None, steps)
    return Trainer(new_model("cpu", seed=0), source, budget, STAGES, seed=0, learning_rate=1e-4)


def test_an_interrupted_training_ends_as_one_that_was_not(bank):
    whole, begun, resumed = (new_trainer(bank, 3) for _ in range(3))
    losses = [whole.train_step() for _ in range(3)]
    for _ in range(2):
        begun.train_step()
    resumed.restore(begun.state())
    assert resumed.train_step() == losses[-1]
    assert losses[0] != losses[1]
    pairs = zip(whole.model.parameters(), resumed.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_training_logs_exports_and_goes_on(bank, tmp_path):
    def trained(steps: int) -> Trainer:
        trainer = new_trainer(bank, steps)
        train(trainer, DrawnClips(bank, 1), tmp_path, check_minutes=60, check_shape=SHAPE)
        return trainer

    trained(2)
    resumed = trained(3)
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


def test_every_batch_of_the_schedule_has_about_the_same_load():
    for stage in demo_stages(400):
        for shape in stage.shapes:
            load = shape.clips * shape.frames * shape.objects * (shape.size / 192) ** 2
            assert load == pytest.approx(400, rel=0.2)


def test_a_deeper_model_starts_as_good_as_the_one_it_comes_from(bank, tmp_path):
    config = OmegaConf.load(shipped("configs") / "sam2" / "demo.yaml")
    trunk = config.model.image_encoder.trunk
    trunk.depths = [depth + 1 for depth in trunk.depths]
    config.model.memory_attention.num_layers += 1
    OmegaConf.save(config, tmp_path / "deeper.yaml")
    weights = shipped("checkpoints") / "sam2_demo.pt"
    shallow, deep = new_model("cpu", 0), new_model("cpu", 0, tmp_path / "deeper.yaml")
    for model in (shallow, deep):
        load_start(model, weights)
    assert len(list(deep.parameters())) > len(list(shallow.parameters()))
    shape = ClipShape(clips=1, frames=3, objects=1, size=128)
    before, after = (validate(m, DrawnClips(bank, 0), shape) for m in (shallow, deep))
    assert after == pytest.approx(before, abs=0.03)


def test_weights_of_another_architecture_are_refused(tmp_path):
    torch.save({"model": {"something": torch.zeros(1)}}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="weights that the model does not"):
        load_start(new_model("cpu", 0), tmp_path / "other.pt")
