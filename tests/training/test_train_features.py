"""The feature model's training: true correspondences, fair contrasts, a loss that falls."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from transformers import Dinov2Config, Dinov2Model

from training.assets import Assets, Folders, load_assets
from training.feature_losses import (
    ImageContrast,
    find_matches,
    object_loss,
    patch_loss,
    region_loss,
)
from training.feature_scores import generated_cases, score, to_input
from training.feature_start import start_from_colours
from training.feature_views import (
    PATCH,
    Batches,
    PairMaker,
    Source,
    ViewPairs,
    make_batch,
    random_patches,
    take_view,
)
from training.textures import smooth_noise
from training.train_features import DEMO, Plan, Trainer, schedule

TINY = Dinov2Config(
    hidden_size=96,
    num_hidden_layers=2,
    num_attention_heads=2,
    patch_size=PATCH,
    image_size=224,
    mlp_ratio=2,
    attn_implementation="eager",
)


@pytest.fixture(scope="module")
def assets() -> Assets:
    return load_assets(Folders(), sprites=12, seed=3, split="train")


@pytest.fixture
def maker(assets: Assets) -> PairMaker:
    return PairMaker(assets, np.random.default_rng(5))


def _plan(folder: Path, **changes: object) -> Plan:
    plan = Plan(folder, steps=24, pairs=3, learning_rate=3e-3, log_steps=8, sprites=12, cases=2)
    return replace(plan, **changes)


def _views(owner_vn: list[list[int]], x_vn: list[list[float]]) -> ViewPairs:
    """Views of a row of patches; only owner and surface matter."""
    x = torch.tensor(x_vn, dtype=torch.float32)
    surface = torch.stack([x, torch.zeros_like(x)], -1)
    count = len(owner_vn)
    pixels = torch.zeros(count, PATCH, PATCH, 3, dtype=torch.uint8)
    return ViewPairs(pixels, torch.tensor(owner_vn), surface, -torch.arange(1, count + 1))


def test_a_view_shows_at_each_patch_what_its_surface_says():
    y, x = np.mgrid[0:200, 0:260]
    ramp = np.dstack([x * 0.9, y * 1.2, np.full_like(x, 60)]).astype(np.uint8)
    surface = np.dstack([x, y]).astype(np.float32)
    source = Source(ramp, np.full((200, 260), -1), surface)
    for seed in range(6):
        view = take_view(np.random.default_rng(seed), source, (10, 12), np.array([130.0, 90.0]))
        pixels, owner, place = view
        assert (pixels.shape, owner.shape, place.shape) == ((140, 168, 3), (120,), (120, 2))
        seen = cv2.resize(pixels, (12, 10), interpolation=cv2.INTER_AREA).reshape(-1, 3)[owner < 0]
        # Recolouring mixes the channels linearly, so the place is a linear function of the colour.
        colour = np.column_stack([seen, np.ones(len(seen))]).astype(np.float64)
        kept = (seen > 5).all(1) & (seen < 250).all(1)
        fit, *_ = np.linalg.lstsq(colour[kept], place[owner < 0][kept], rcond=None)
        error = np.abs(colour[kept] @ fit - place[owner < 0][kept])
        assert np.median(error) < 8, seed  # pixels; a patch is 14 and more


def test_anchors_and_positives_show_the_same_place(maker: PairMaker):
    views = make_batch(maker, 6, (10, 10))
    matches = find_matches(views, 30, torch.Generator().manual_seed(0))
    owner, surface = views.owner_vn.flatten(), views.surface_vn2.flatten(0, 1)
    assert len(matches.anchor_k) > 50
    assert torch.equal(owner[matches.anchor_k], owner[matches.positive_k])
    assert torch.equal(matches.anchor_k // 100 ^ 1, matches.positive_k // 100)
    step = (surface[1:] - surface[:-1]).norm(dim=-1).median()
    distance = (surface[matches.anchor_k] - surface[matches.positive_k]).norm(dim=-1)
    assert distance.median() < step


def test_what_may_look_the_same_is_no_negative():
    #        a pair: object 7 on ground -1       another pair: the same object, unknown, ground -2
    views = _views(
        [[7, 7, -1, -1], [7, 7, -1, -1], [7, 0, -2, -2], [7, 7, -2, -2]],
        [[0.0, 9.0, 0.0, 9.0], [0.0, 9.0, 0.0, 9.0], [0.0, 9.0, 0.0, 9.0], [0.0, 9.0, 0.0, 9.0]],
    )
    matches = find_matches(views, 4, torch.Generator().manual_seed(0))
    row = int((matches.anchor_k == 0).nonzero())
    assert matches.positive_k[row] == 4
    bias = matches.bias_km[row]
    assert bias[4] == 0
    assert bias[[0, 1, 5]].isinf().all()  # itself and its neighbourhood
    assert bias[[8, 12, 13]].isinf().all()  # the same object elsewhere
    assert bias[9].isinf()  # unknown
    assert (bias[[6, 7, 10, 11, 14, 15]] == 0).all()
    assert -10 < bias[2] < 0  # beside it in its own view


def test_workers_draw_different_batches(assets: Assets):
    batches = Batches(assets, 2, 0, torch.zeros(()).share_memory_())
    loader = torch.utils.data.DataLoader(
        batches, batch_size=None, num_workers=2, multiprocessing_context="spawn"
    )
    first, second = (views for views, _ in zip(loader, range(2), strict=False))
    assert first.owner_vn.shape[0] == second.owner_vn.shape[0] == 4
    assert first.pixels_vhwc.shape != second.pixels_vhwc.shape or not torch.equal(
        first.pixels_vhwc, second.pixels_vhwc
    )


def test_two_scenes_share_objects_and_nothing_else(maker: PairMaker):
    for _ in range(4):
        first, second = maker.other_scene()
        common = np.intersect1d(first.owner_hw, second.owner_hw)
        assert (common > 0).all()


def test_flow_finds_a_shift(maker: PairMaker):
    rng = np.random.default_rng(0)
    large = np.dstack([smooth_noise(rng, 320, 6) * 255] * 3).astype(np.uint8)
    clip = [large[20:276, 20 + 3 * i : 276 + 3 * i] for i in range(4)]
    moving = Assets([], [], [clip], [], [])
    first, second = PairMaker(moving, rng).flow_pair()
    known = second.owner_hw != 0
    y, x = np.nonzero(known)
    shift = second.surface_hw2[known] - np.column_stack([x, y])
    assert known.mean() > 0.8
    assert np.abs(np.median(shift, 0)) == pytest.approx([6, 0], abs=1.0) or (
        np.abs(np.median(shift, 0)) == pytest.approx([9, 0], abs=1.0)
    )
    assert np.array_equal(np.unique(first.owner_hw), np.unique(second.owner_hw[known]))


def test_losses_prefer_true_features(maker: PairMaker):
    views = make_batch(maker, 8, (10, 10))
    matches = find_matches(views, 20, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    names, index = views.owner_vn.flatten().unique(return_inverse=True)
    by_owner = torch.randn(len(names), 64, generator=generator)[index]
    random = torch.randn(len(index), 64, generator=generator)
    by_owner, random = (torch.nn.functional.normalize(t, dim=-1) for t in (by_owner, random))
    assert patch_loss(by_owner, matches)[0] < patch_loss(random, matches)[0]
    assert region_loss(by_owner, views, matches) < 0.2 < region_loss(random, views, matches)
    assert object_loss(by_owner, views) < 0.5 < object_loss(random, views)
    contrast = ImageContrast(64, torch.device("cpu"))
    pairs = random[: len(views.scene_v) // 2].repeat_interleave(2, 0)
    assert contrast(pairs, views.scene_v) < contrast(random[: len(pairs)], views.scene_v)


def test_scores_of_pictures_that_find_themselves(assets: Assets):
    torch.manual_seed(0)
    cases = generated_cases(np.random.default_rng(2), assets, 3)
    assert all(picture.mask_hw.any() for case in cases for picture in case)
    figures = score(Dinov2Model(TINY), [(picture, picture) for picture, _ in cases])
    assert figures["image_top1"] == figures["sparse_top1"] == 1
    assert figures["same_cosine"] == pytest.approx(1, abs=1e-3)
    assert figures["other_cosine"] < 1


def test_a_new_model_knows_patches_by_their_colours_and_the_image_by_its_patches(assets: Assets):
    rng = np.random.default_rng(4)
    model = Dinov2Model(DEMO).eval()
    start_from_colours(model, random_patches(assets, rng, 48), rng)

    def tokens(*colours: tuple[int, int, int]) -> torch.Tensor:
        """Of a picture whose cells show the colours in random places."""
        cells = np.array(colours, np.uint8)[rng.integers(len(colours), size=(32, 32))]
        pixels = torch.from_numpy(cells.repeat(7, 0).repeat(7, 1))[None]
        found = model(pixel_values=to_input(pixels)).last_hidden_state[0].detach()
        return torch.nn.functional.normalize(found, dim=-1)

    red, blue, green, white = (220, 40, 30), (30, 50, 200), (40, 170, 60), (250, 250, 250)
    spots, moved, others, mixed = (
        tokens(*pair) for pair in ((red, blue), (red, blue), (green, white), (red, white))
    )
    same, foreign, half = (
        float((spots[1:] @ each[1:].T).mean()) for each in (moved, others, mixed)
    )
    assert same > 0.6 > half > foreign
    mean = torch.nn.functional.normalize(spots[1:].mean(0), dim=-1)
    assert float(spots[0] @ mean) > 0.98


def test_the_rate_rises_then_falls():
    rates = [schedule(p) for p in np.linspace(0, 1, 101)]
    assert rates[0] < 0.1
    assert rates[3] == pytest.approx(1, abs=0.01)
    assert rates[-1] == pytest.approx(0.02)
    assert np.all(np.diff(rates[4:]) < 0)


def test_the_demo_model_is_small():
    assert 2 * sum(p.numel() for p in Dinov2Model(DEMO).parameters()) < 6e6


def test_training_lowers_the_loss_and_the_files_load(
    tmp_path: Path, maker: PairMaker, monkeypatch: pytest.MonkeyPatch
):
    plan = _plan(tmp_path / "run", export=tmp_path / "export")
    trainer = Trainer(plan, TINY, Folders())
    views = make_batch(maker, 3, (10, 10))
    monkeypatch.setattr(trainer, "_batches", repeat(views))  # one batch, to be learned by heart
    trainer.run()
    lines = [json.loads(line) for line in (plan.output / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [8, 16, 24, 24]
    assert lines[2]["loss"] < lines[0]["loss"] - 0.3
    assert 0 <= lines[-1]["val_best5_on_object"] <= 1
    assert {p.name for p in (tmp_path / "export").iterdir()} == {"config.json", "model.safetensors"}
    model = Dinov2Model.from_pretrained(tmp_path / "export", dtype=torch.float32)
    again = Trainer(plan, TINY, Folders())
    assert (again.step, again.progress) == (24, 1)
    trained = again.average.state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, trained[name].half().float())


def test_the_same_seed_gives_the_same_model(tmp_path: Path):
    weights = []
    for name in ("a", "b"):
        trainer = Trainer(_plan(tmp_path / name, steps=2, cases=0), TINY, Folders())
        trainer.run()
        weights.append(trainer.model.state_dict())
    for key, value in weights[0].items():
        assert torch.equal(value, weights[1][key]), key
