"""Drawn clips: what is in the bank is what is seen, and its place is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from training.assets import Folders
from training.bank import CLIP_HW, SPRITE, Bank, load_bank, main, pack
from training.degrading import degrade_clips
from training.drawing import Scenes
from training.paths import Dice, random_paths, random_waves
from training.textures import random_texture


def dice(seed: int = 0) -> Dice:
    return Dice(torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def bank() -> Bank:
    return load_bank(None, sprites=8, textures=4, seed=0, split="train", device="cpu")


def portrayed(bank: Bank) -> Bank:
    """The bank as if every still were a photograph that its object fills."""
    masked = bank.stills_m4hw.clone()
    masked[:, 3] = 255
    shares = torch.full((len(masked),), 1 / len(masked))
    return Bank(**{**vars(bank), "stills_m4hw": masked, "portrait_shares_p": shares})


@pytest.fixture
def evenly_lit(bank: Bank) -> Scenes:
    scenes = Scenes(bank, dice(3), 6, things=2)
    scenes.light_bl3[:] = torch.tensor([1.0, 1.0, 1.0])
    scenes.dimming_bl[:] = 0
    return scenes


def _at(images_4hw: torch.Tensor, place_n2: torch.Tensor) -> torch.Tensor:
    """Colours (n, 4) of an image at places from -0.5 to 0.5, from the nearest pixel."""
    side = images_4hw.shape[-1]
    x, y = ((place_n2 + 0.5) * side).long().clamp(0, side - 1).unbind(-1)
    return images_4hw[:, y, x].T.float()


def test_a_layer_shows_what_its_sprite_has_at_its_surface(evenly_lit: Scenes, bank: Bank):
    drawn = evenly_lit.draw(torch.zeros(6, 1), 96)
    checked = 0
    for b in range(6):
        for layer in range(evenly_lit.things):
            inside = drawn.layers_bthw[b, 0] == layer + 1
            # Away from the edge, where the sprite and what is behind it mix.
            inside = torch.from_numpy(cv2.erode(inside.numpy().astype(np.uint8), np.ones((7, 7))))
            inside = inside.bool()
            if inside.sum() < 50:
                continue
            sprite = bank.sprites_n4hw[evenly_lit.sprites_bl[b, layer]]
            seen = drawn.images_bt3hw[b, 0][:, inside].T
            told = _at(sprite, drawn.surface_bthw2[b, 0][inside])
            solid = told[:, 3] > 250
            assert (seen - told[:, :3]).abs()[solid].median() < 12
            checked += 1
    assert checked >= 4


def test_the_ground_shows_what_its_still_has_at_its_surface(evenly_lit: Scenes, bank: Bank):
    drawn = evenly_lit.draw(torch.full((6, 1), 5.0), 96)
    for b in range(6):
        place = drawn.surface_bthw2[b, 0]
        ground = (drawn.layers_bthw[b, 0] == 0) & (place.abs() < 0.49).all(-1)
        if ground.sum() < 50:
            continue
        told = _at(bank.stills_m4hw[evenly_lit.stills_b[b]], place[ground])
        assert (drawn.images_bt3hw[b, 0][:, ground].T - told[:, :3]).abs().median() < 12


def test_a_surface_is_the_same_place_at_another_time(evenly_lit: Scenes):
    early, late = evenly_lit.draw(torch.tensor([[0.0, 4.0]] * 6), 96).images_bt3hw.unbind(1)
    drawn = evenly_lit.draw(torch.tensor([[0.0, 4.0]] * 6), 96)
    gaps, chance = [], []
    for b in range(6):
        first, second = (drawn.layers_bthw[b, t] == 1 for t in (0, 1))
        if min(first.sum(), second.sum()) < 100:
            continue
        places = [drawn.surface_bthw2[b, t][m] for t, m in ((0, first), (1, second))]
        nearest = torch.cdist(*places).argmin(1)
        colours = early[b][:, first].T, late[b][:, second].T
        gaps.append((colours[0] - colours[1][nearest]).abs().median())
        chance.append((colours[0] - colours[1][nearest.roll(37)]).abs().median())
    assert gaps
    assert sum(gaps) < 0.7 * sum(chance)


def test_the_same_seed_draws_the_same_picture(bank: Bank):
    def drawn(seed: int) -> torch.Tensor:
        scenes = Scenes(bank, dice(seed), 2, things=2)
        return degrade_clips(
            scenes.draw(torch.tensor([[0.0, 3.0]] * 2), 64).images_bt3hw, scenes.dice
        )

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


def test_a_frame_that_is_not_square_shows_the_same_scene(bank: Bank):
    scenes = Scenes(bank, dice(2), 3, things=2)
    square, wide = (scenes.draw(torch.zeros(3, 1), size) for size in (64, (64, 128)))
    assert wide.images_bt3hw.shape == (3, 1, 3, 64, 128)
    share = [(d.layers_bthw > 0).float().mean() for d in (square, wide)]
    assert share[0] == pytest.approx(float(share[1]), abs=0.02)
    halved = torch.nn.functional.avg_pool2d(wide.images_bt3hw[:, 0], (1, 2))
    assert (halved - square.images_bt3hw[:, 0]).abs().median() < 6


def test_layers_that_are_not_shown_are_not_drawn(bank: Bank):
    scenes = Scenes(bank, dice(4), 4, things=3)
    scenes.shown_bl[:] = False
    assert (scenes.draw(torch.zeros(4, 1), 48).layers_bthw == 0).all()


def test_the_object_of_a_photograph_is_seen_until_something_covers_it(bank: Bank):
    drawn = Scenes(portrayed(bank), dice(5), 4, things=2).draw(torch.zeros(4, 1), 64)
    assert torch.equal(drawn.portrait_bthw, drawn.layers_bthw == 0)


def test_paths_follow_their_law_and_can_be_changed_one_by_one():
    paths = random_paths(dice(), (3, 2), torch.ones(3, 1))
    layer = torch.tensor([0, 1, 0])
    paths.put(layer, torch.tensor([True, True, False]), velocity=0.0, sway=0.0, growth=1.0)
    centre, size, _ = paths.of(layer).place(torch.tensor([[0.0, 5.0]]).expand(3, -1))
    assert torch.equal(centre[:2, 0], centre[:2, 1])
    assert torch.equal(size[:2, 0], size[:2, 1])
    assert not torch.equal(centre[2, 0], centre[2, 1])
    assert torch.equal(centre[0, 0], paths.start[0, 0])


def test_waves_bend_a_share_of_the_layers_smoothly():
    place = torch.stack(torch.meshgrid(*[torch.linspace(-0.5, 0.5, 20)] * 2, indexing="xy"), -1)
    place = place.expand(50, 1, 20, 20, 2)
    waves = random_waves(dice(), (50, 1), torch.ones(50, 1), share=0.5, amount=0.03)
    moved = waves.of(torch.zeros(50, dtype=torch.int64)).bend(place, torch.zeros(50, 1)) - place
    bent = moved.abs().amax((1, 2, 3, 4)) > 0
    assert 0.25 < bent.float().mean() < 0.75
    assert moved.abs().max() < 0.35
    assert moved.diff(dim=2).abs().max() < 0.1


def test_light_can_be_left_as_it_is():
    grey = torch.full((40, 1, 3, 16, 16), 128.0)
    still, varied = (degrade_clips(grey, dice(), light) for light in (0.0, 1.0))
    level = [images.float().mean((1, 2, 3, 4)) for images in (still, varied)]
    assert (level[0] - 128).abs().max() < 6
    assert level[1].std() > 10


def _photographs(folder, count: int = 22):
    """Photographs with masks: a red disc before a texture."""
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(count):
        image, mask = random_texture(rng, 288), np.zeros((288, 288), np.uint8)
        cv2.circle(mask, (150, 140), 60, 255, -1)
        image[mask > 0] = (210, 20, 20)
        cv2.imwrite(str(folder / "images" / f"{number}.png"), image[..., ::-1])
        cv2.imwrite(str(folder / "masks" / f"{number}.png"), mask)
    return folder


def test_what_is_packed_comes_back(tmp_path, make_video):
    (tmp_path / "clips").mkdir()
    clip = make_video("clips/0.mp4", 40)
    photographs = _photographs(tmp_path / "photographs")
    folders = Folders(clips=(clip.parent,), cutouts=(photographs,))
    held = pack(folders, tmp_path / "bank.npz", windows=0)
    assert (held["train_stills"], held["val_stills"]) == (21, 2)  # with a frame of the clip
    for split, count in (("train", 20), ("val", 2)):
        bank = load_bank(
            tmp_path / "bank.npz", sprites=3, textures=1, seed=0, split=split, device="cpu"
        )
        assert bank.portrait_shares_p.tolist() == pytest.approx([1 / count] * count)
        assert len(bank.sprites_n4hw) == count + 3
        disc = bank.stills_m4hw[0][3] > 127
        assert bank.stills_m4hw[0][:3, disc].float().mean(1) == pytest.approx([210, 20, 20], abs=12)
        cut_out = bank.sprites_n4hw[0]
        assert cut_out[3, SPRITE // 2, SPRITE // 2] == 255
        assert bank.sprite_aspect_n[0] == pytest.approx(1, abs=0.05)
        assert bank.sprite_shares_n.sum() == pytest.approx(1)
        assert bank.windows is None
        if split == "train":
            assert bank.clips[0].shape == (20, 3, *CLIP_HW)  # every second frame


def test_a_folder_of_photographs_counts_as_much_as_another(tmp_path):
    folders = [_photographs(tmp_path / name, count) for name, count in (("few", 2), ("many", 8))]
    pack(Folders(cutouts=tuple(folders)), tmp_path / "bank.npz", windows=0)
    bank = load_bank(
        tmp_path / "bank.npz", sprites=5, textures=1, seed=0, split="train", device="cpu"
    )
    count = len(bank.portrait_shares_p)
    assert bank.portrait_shares_p[:2].tolist() == pytest.approx([1 / 4] * 2)
    assert bank.portrait_shares_p[2:].tolist() == pytest.approx([1 / 2 / (count - 2)] * (count - 2))
    assert bank.sprite_shares_n[:2].sum() == pytest.approx(0.3)  # painted things have two fifths
    assert bank.sprite_shares_n[count:].sum() == pytest.approx(0.4)


def test_photographed_objects_stand_bare_now_and_then(bank: Bank):
    scenes, usual = (Scenes(portrayed(bank), dice(5), 400, things=3) for _ in "ab")
    scenes.bare()
    shown = scenes.shown_bl.sum(1)
    playing = scenes.playing
    assert (shown[:playing] >= 3).all()  # a clip has no object of its own
    alone = shown[playing:] <= 1
    assert 0.4 < alone.float().mean() < 0.8
    assert (shown[playing:][alone] == 0).any() and (shown[playing:][alone] == 1).any()
    assert (shown[playing:][~alone] >= 3).all()
    # They are seen whole: in the photograph's own shape, and closer to all of it.
    tall = bank.still_aspect_m[scenes.stills_b][playing:]
    assert torch.allclose(scenes.aspect_b[playing:][alone], 1 / tall[alone])
    assert torch.equal(scenes.aspect_b[playing:][~alone], usual.aspect_b[playing:][~alone])
    zoom, usual_zoom = (each.camera.size[playing:, 0][alone] for each in (scenes, usual))
    assert torch.allclose(zoom - 1, 0.4 * (usual_zoom - 1))


def test_measuring_material_is_not_packed(tmp_path):
    photographs = _photographs(tmp_path / "davis", 1)
    with pytest.raises(ValueError, match="must not be trained on"):
        pack(Folders(cutouts=(photographs,)), tmp_path / "bank.npz", windows=0)
    assert not (tmp_path / "bank.npz").exists()


def test_a_bank_is_packed_from_the_command_line(tmp_path):
    photographs = _photographs(tmp_path / "photographs", 6)
    options = ["--cutouts", str(photographs), "--windows", "0", "--output", str(tmp_path / "b.npz")]
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 0, result.output
    assert "train_stills: 5" in result.output
    assert (tmp_path / "b.npz").exists()
