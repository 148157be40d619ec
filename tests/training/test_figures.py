"""Figures: what stands out is found whole, and nothing is found where nothing stands out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from training.assets import Folders
from training.bank import load_bank, pack
from training.clips import ClipShape, DrawnClips
from training.figures import figures
from training.textures import random_texture


def wall(seed: int = 0) -> np.ndarray:
    """A greenish wall with some texture, 120 x 160."""
    texture = cv2.resize(random_texture(np.random.default_rng(seed), 160), (160, 120))
    return np.clip(0.15 * texture + (40, 120, 60), 0, 255).astype(np.uint8)


def with_bird(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The wall with a thing of two colours, and the thing's mask."""
    image, mask = wall(seed), np.zeros((120, 160), np.uint8)
    for centre, radius, colour in (((80, 66), 24, (220, 40, 30)), ((80, 36), 12, (240, 220, 90))):
        cv2.circle(image, centre, radius, colour, -1)
        cv2.circle(mask, centre, radius, 1, -1)
    return image, mask > 0


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


def test_a_thing_of_two_colours_is_found_whole():
    image, truth = with_bird()
    found = figures(np.random.default_rng(0), image, tries=20, most=4)
    assert found
    assert max(iou(mask, truth) for mask in found) > 0.9
    assert all(mask.shape == truth.shape for mask in found)


def test_figures_of_one_picture_differ():
    image, _ = with_bird()
    found = figures(np.random.default_rng(1), image, tries=30, most=4)
    pairs = [(a, b) for n, a in enumerate(found) for b in found[:n]]
    assert all(iou(a, b) < 0.7 for a, b in pairs)


@pytest.mark.parametrize("plain", [True, False])
def test_nothing_stands_out_of_a_wall(plain):
    image = np.full((120, 160, 3), 90, np.uint8) if plain else wall()
    assert figures(np.random.default_rng(0), image, tries=20, most=4) == []


def test_a_bank_packs_figures_and_batches_show_them(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(12):
        cv2.imwrite(str(photos / f"{seed:02}.png"), with_bird(seed)[0][..., ::-1])
    pack(Folders(images=(photos,)), tmp_path / "bank.npz", windows=0)
    bank = load_bank(
        tmp_path / "bank.npz", sprites=4, textures=2, seed=0, split="train", device="cpu"
    )
    assert bank.figures is not None
    assert bank.figures.masks_fkhw.flatten(2).any(2)[:, 0].all()
    source, shape = DrawnClips(bank, 0), ClipShape(3, 2, 2, 96, "figures")
    red_in, red_out = [], []
    for number in range(4):
        batch = source.batch(shape, number)
        assert batch.images_bthwc.shape == (3, 2, 96, 96, 3)
        assert batch.masks_bkthw.shape == (3, 2, 2, 96, 96)
        assert batch.masks_bkthw[:, :, 0].flatten(2).any(2).all()
        images = batch.images_bthwc[:, None].expand(-1, 2, -1, -1, -1, -1).float()
        redness = images[..., 0] - images[..., 1]
        red_in.append(redness[batch.masks_bkthw].mean())
        red_out.append(redness[~batch.masks_bkthw].mean())
    assert torch.stack(red_in).mean() > torch.stack(red_out).mean() + 60
