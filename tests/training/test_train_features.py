"""The feature model's training: true correspondences, fair contrasts, a loss that falls."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize
from transformers import Dinov2Config, Dinov2Model

from tracker.models.dinov2 import FeatureExtractor
from training.bank import CLIP_HW, REGIONS, WINDOW_FRAMES, WINDOW_HW, Bank, Windows, load_bank
from training.feature_losses import (
    Rivals,
    draw_rivals,
    find_matches,
    gather_tokens,
    image_loss,
    object_loss,
    patch_loss,
    region_loss,
)
from training.feature_scores import drawn_cases, followed_cases, score, to_input
from training.feature_start import start_from_components
from training.feature_views import PATCH, SLOTS, DrawnViews, Views
from training.paths import Dice
from training.textures import random_texture
from training.train_features import DEMO, Plan, Trainer, schedule, temperature

TINY = Dinov2Config(
    hidden_size=48,
    num_hidden_layers=2,
    num_attention_heads=2,
    patch_size=PATCH,
    image_size=224,
    mlp_ratio=2,
)


@pytest.fixture(scope="module")
def painted() -> Bank:
    return load_bank(None, sprites=12, textures=6, seed=3, split="train", device="cpu")


@pytest.fixture(scope="module")
def bank(painted: Bank) -> Bank:
    """With a clip that moves to the right by 4 pixels a frame, and a region that moves with it."""
    large = random_texture(np.random.default_rng(0), 640)
    height, width = CLIP_HW
    frames = [large[100 : 100 + height, 60 - 4 * t : 60 - 4 * t + width] for t in range(15)]
    clip = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()
    masks = torch.zeros(1, REGIONS, WINDOW_FRAMES, *WINDOW_HW, dtype=torch.uint8)
    for t in range(WINDOW_FRAMES):
        masks[0, 0, t, 40:110, 80 + 2 * t : 160 + 2 * t] = 1
    windows = Windows(torch.zeros(1, dtype=torch.int64), torch.arange(WINDOW_FRAMES)[None], masks)
    return replace(painted, clips=[clip], windows=windows)


def _dice(seed: int = 0) -> Dice:
    return Dice(torch.Generator().manual_seed(seed))


def _plan(folder: Path, **changes: object) -> Plan:
    plan = Plan(
        folder,
        steps=24,
        patches=600,
        learning_rate=3e-3,
        log_steps=8,
        sprites=12,
        textures=4,
        cases=2,
    )
    return replace(plan, **changes)


def _row(slot_vn: list[list[int]], x_vn: list[list[float]], owner_vs: list[list[int]]) -> Views:
    """Views of a row of patches."""
    x, owner = (
        torch.tensor(x_vn),
        torch.tensor([row + [0] * (SLOTS - len(row)) for row in owner_vs]),
    )
    return Views(
        torch.zeros(len(x), 3, PATCH, PATCH * x.shape[1], dtype=torch.uint8),
        torch.tensor(slot_vn),
        torch.stack([x, torch.zeros_like(x)], -1),
        owner,
        owner,
        torch.ones(len(x), dtype=torch.bool),
    )


def test_two_views_of_a_pair_share_things_and_places(bank: Bank):
    views = DrawnViews(bank, 1).batch(10, (10, 12))
    assert views.pixels_v3hw.shape == (20, 3, 140, 168)
    assert views.slot_vn.shape == (20, 120)
    assert torch.equal(views.shared_vs[:10], views.shared_vs[10:])
    assert views.shared_vs[:, 1:4].all()  # the things of a scene, or the regions of a window
    matches = find_matches(views, 20, _dice())
    assert matches.known_vk.float().mean() > 0.3
    surface = views.surface_vn2.gather(1, matches.anchor_vk[..., None].expand(-1, -1, 2))
    other = views.partners(views.surface_vn2)
    other = other.gather(1, matches.positive_vk[..., None].expand(-1, -1, 2))
    gap = (surface - other).norm(dim=-1)[matches.known_vk]
    assert gap.median() < 0.1
    anchor_slot = views.slot_vn.gather(1, matches.anchor_vk)
    positive_slot = views.partners(views.slot_vn).gather(1, matches.positive_vk)
    assert torch.equal(anchor_slot[matches.known_vk], positive_slot[matches.known_vk])


def test_every_thing_has_a_number_of_its_own(bank: Bank):
    drawn = DrawnViews(bank, 1)
    views = drawn.batch(20, (10, 10))
    scenes, windows = views.placed_v, ~views.placed_v
    assert windows.sum() == 8
    assert not set(views.owner_vs[scenes].unique().tolist()) & set(
        views.owner_vs[windows].unique().tolist()
    )
    ground, layers = views.owner_vs[scenes][:, 0], views.owner_vs[scenes][:, 1:-1]
    assert layers.max() < ground.min()
    assert (views.family_vs[scenes][:, 1:-1] == layers).all()
    # A frame of the clip that serves as a still may show what a window of that clip shows.
    of_clip = ground >= 1 + len(bank.sprites_n4hw) + len(bank.stills_m4hw)
    assert of_clip.any()
    assert set(views.family_vs[scenes][of_clip].flatten().tolist()) >= set(
        views.family_vs[windows].unique().tolist()
    )


def test_a_followed_region_keeps_its_slot_and_colours(bank: Bank):
    views = DrawnViews(bank, 2).batch(10, (12, 20))
    windows = (~views.placed_v).nonzero()[:, 0]
    assert len(windows) == 4
    assert all((views.slot_vn[v] == 1).any() for v in windows)
    assert {int(s) for v in windows for s in views.slot_vn[v].unique()} <= {-1, 0, 1}


def test_what_may_look_the_same_is_no_negative():
    # Slots: the ground 0, a thing 1, the same thing again 2. A pair with different grounds.
    views = _row(
        [[1, 1, 1, 1, 1, 0, -1], [1, 1, 1, 1, 2, 0, -1]],
        [[0.0, 0.1, 0.2, 0.5, 0.6, 0.0, 0.0], [0.0, 0.1, 0.5, 0.6, 0.1, 0.0, 0.0]],
        [[8, 7, 7], [9, 7, 7]],
    )
    matches = find_matches(views, 7, _dice())
    row = int((matches.anchor_vk[0] == 0).nonzero())
    assert matches.known_vk[0, row]
    assert matches.positive_vk[0, row] == 0
    bias = matches.bias_vkn[0, row]
    assert bias[[0, 1]].isinf().all()  # the place itself and its neighbourhood
    assert (bias[[2, 3]] > -10).all()  # other places of the same thing
    assert (bias[[2, 3]] < 0).all()
    assert bias[4].isinf()  # the same thing once more
    assert bias[5] == 0  # the ground
    assert bias[6].isinf()  # nobody's
    ground, mixed = (int((matches.anchor_vk[0] == n).nonzero()) for n in (5, 6))
    assert not matches.known_vk[0, [ground, mixed]].any()


def test_losses_prefer_true_features(bank: Bank):
    views, dice = DrawnViews(bank, 4).batch(8, (10, 10)), _dice(1)
    number = torch.where(views.slot_vn < 0, 0, views.owner_vs.gather(1, views.slot_vn.clamp(min=0)))
    names, index = number.unique(return_inverse=True)
    by_owner = torch.randn(len(names), 64, generator=dice.generator)[index]
    random = torch.randn(*index.shape, 64, generator=dice.generator)
    pairs = torch.randn(8, 1, 64, generator=dice.generator).repeat(2, 1, 1)
    losses = []
    for image, patches in ((pairs, by_owner), (random[:, :1], random)):
        tokens = gather_tokens(torch.cat([image, patches], 1), views, 0.07)
        rivals = draw_rivals(tokens, views, 200, dice)
        of_patches, figures = patch_loss(tokens, views, rivals, 20, dice)
        of_regions, more = region_loss(tokens, views, 20, dice)
        losses.append(
            (of_patches, of_regions, object_loss(tokens, views, rivals), image_loss(tokens, views))
        )
        assert all(0 <= f <= 1 for f in (figures["found"], more["recognised"]))
    assert losses[0][1] < 0.2
    assert losses[0][2] < 0.5
    assert all(true < false for true, false in zip(*losses, strict=True))


def test_the_mean_of_a_thing_leaves_out_what_is_mixed():
    views = _row([[1, 1, -1, 0]] * 2, [[0.0, 0.1, 0.0, 0.0]] * 2, [[8, 7]] * 2)
    hidden = torch.tensor([[9.0, 9], [1, 0], [0, 1], [-5, 0], [0, -2]]).expand(2, -1, -1)
    tokens = gather_tokens(hidden, views, 0.07)
    assert torch.allclose(tokens.means_vsd[0, 1], normalize(torch.tensor([1.0, 1.0]), dim=0))
    assert tokens.patches_vs[0].tolist() == [1, 2, 0, 0, 0, 0, 0, 0]
    assert tokens.paired_vs[0].tolist() == [False, True] + [False] * 6  # a ground of one patch


def test_rivals_of_the_same_family_do_not_count():
    views = _row([[1, 1, 0, 0]] * 2, [[0.0, 0.1, 0.0, 0.1]] * 2, [[8, 7]] * 2)
    hidden = torch.eye(5)[None].expand(2, -1, -1)
    tokens = gather_tokens(hidden, views, 0.07)
    thing = tokens.patches_vnd[0, :1]
    losses = [
        float(object_loss(tokens, views, Rivals(thing, torch.tensor([family]))))
        for family in (0, 7, 5)  # nobody's, the thing's own (but not the ground's), another's
    ]
    assert losses[0] < losses[1] < losses[2] - 0.1


def test_cases_show_one_object_twice(bank: Bank):
    cases = drawn_cases(bank, 3, seed=1)
    assert len(cases) == 3
    assert all(picture.mask_hw.any() for case in cases for picture in case)
    ((last, first),) = followed_cases(bank, 5)
    assert last.mask_hw.shape == CLIP_HW
    x = [np.flatnonzero(picture.mask_hw.any(0)).mean() for picture in (last, first)]
    assert x[0] - x[1] == pytest.approx(4 * (WINDOW_FRAMES - 1), abs=1)


def test_scores_of_pictures_that_find_themselves(bank: Bank):
    torch.manual_seed(0)
    cases = drawn_cases(bank, 3, seed=2)
    figures = score(Dinov2Model(TINY), [(picture, picture) for picture, _ in cases])
    assert figures["image_top1"] == figures["sparse_top1"] == 1
    assert figures["same_cosine"] == pytest.approx(1, abs=1e-3)
    assert figures["other_cosine"] < 1


def test_a_new_model_hands_on_the_detail_of_patches(bank: Bank):
    torch.manual_seed(0)
    pixels = to_input(DrawnViews(bank, 0).batch(12, (12, 12)).pixels_v3hw)
    ranks = []
    for prepared in (False, True):
        model = Dinov2Model(TINY)
        if prepared:
            start_from_components(model, pixels)
        tokens = model.embeddings.patch_embeddings(pixels).flatten(0, 1).detach()
        power = torch.linalg.svdvals(tokens - tokens.mean(0)).square()
        ranks.append(float(power.sum().square() / power.square().sum()))
    assert ranks[1] > 2 * ranks[0]
    assert tokens.square().mean().sqrt() == pytest.approx(0.5, abs=0.05)


def test_the_rate_rises_then_falls():
    rates = [schedule(p) for p in np.linspace(0, 1, 101)]
    assert rates[0] < 0.1
    assert rates[5] == pytest.approx(1, abs=0.01)
    assert rates[-1] == pytest.approx(0.02)
    assert np.all(np.diff(rates[6:]) < 0)


def test_the_temperature_falls_in_the_first_half():
    temperatures = [temperature(p) for p in (0, 0.25, 0.5, 1)]
    assert temperatures[0] == pytest.approx(0.2)
    assert temperatures[1] == pytest.approx((0.2 * 0.07) ** 0.5)
    assert temperatures[2] == temperatures[3] == pytest.approx(0.07)


def test_the_mean_patch_goes_to_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trainer = Trainer(_plan(tmp_path, steps=30, cases=0), TINY)
    views = trainer.draw()
    monkeypatch.setattr(trainer, "draw", lambda: views)
    with torch.no_grad():
        trainer.model.layernorm.bias.fill_(3)
    trainer.run()
    with torch.no_grad():
        tokens = trainer.model(pixel_values=to_input(views.pixels_v3hw)).last_hidden_state
    assert tokens[:, 1:].mean((0, 1)).norm() < 0.3 * tokens[:, 1:].norm(dim=-1).mean()


def test_the_demo_model_is_small():
    assert 2 * sum(p.numel() for p in Dinov2Model(DEMO).parameters()) < 8e6


def test_training_lowers_the_loss_and_the_files_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    plan = _plan(tmp_path, export=tmp_path / "copy")
    trainer = Trainer(plan, TINY)
    views = trainer.draw()
    monkeypatch.setattr(trainer, "draw", lambda: views)  # one batch, to be learned by heart
    trainer.run()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [8, 16, 24, 24]
    assert lines[2]["loss"] < lines[0]["loss"] - 0.3
    assert lines[2]["skipped"] == 0
    assert 0 <= lines[-1]["val_best5_on_object"] <= 1
    for folder in ("export", "copy"):
        files = {p.name for p in (tmp_path / folder).iterdir()}
        assert files == {"config.json", "model.safetensors"}
    features = FeatureExtractor("new", tmp_path / "export", "0").extract(
        np.zeros((90, 160, 3), np.uint8)
    )
    assert features.patches_hwc.shape == (18, 32, 48)
    model = Dinov2Model.from_pretrained(tmp_path / "export", dtype=torch.float32)
    again = Trainer(plan, TINY)
    assert (again.step, again.progress) == (24, 1)
    trained = again.average.state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, trained[name].half().float())


def test_a_broken_batch_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trainer = Trainer(_plan(tmp_path, steps=1, log_steps=1, cases=0), TINY)
    before = [p.clone() for p in trainer.model.parameters()]
    losses = trainer._losses
    monkeypatch.setattr(
        trainer, "_losses", lambda views: (lambda a, b: (a * float("nan"), b))(*losses(views))
    )
    trainer.run()
    assert all(map(torch.equal, before, trainer.model.parameters()))
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])["skipped"] == 1


def test_the_same_seed_gives_the_same_model(tmp_path: Path):
    weights = []
    for name in ("a", "b"):
        trainer = Trainer(_plan(tmp_path / name, steps=2, cases=0), TINY)
        trainer.run()
        weights.append(trainer.model.state_dict())
    for key, value in weights[0].items():
        assert torch.equal(value, weights[1][key]), key


def test_training_needs_no_video_library_and_no_sam2():
    without = "import sys; sys.modules.update(dict.fromkeys(['av', 'sam2', 'hydra', 'omegaconf']))"
    subprocess.run([sys.executable, "-c", f"{without}; import training.train_features"], check=True)
