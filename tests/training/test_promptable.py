"""Pictures with the masks of several things: what is asked for, what is kept, and how it trains."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from training.assets import Folders, load_assets
from training.bank import THINGS, load_bank, pack
from training.clips import ClipShape, DrawnClips
from training.promptable import label, sound_mask, standing_out, things_in

HEIGHT, WIDTH = 300, 400
DISCS = ((150, 150, 52), (335, 150, 62))  # x, y, radius: about the middle of cells
SHAPE = ClipShape(clips=3, frames=2, objects=2, size=96, shown="pictures")


def _disc(x: int, y: int, radius: int) -> np.ndarray:
    return cv2.circle(np.zeros((HEIGHT, WIDTH), np.uint8), (x, y), radius, 1, -1)


def _photograph(seed: int = 0) -> np.ndarray:
    """BGR noise with red discs."""
    image = np.random.default_rng(seed).integers(60, 200, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    for disc in DISCS:
        image[_disc(*disc) > 0] = (10, 10, 250)
    return image


def _redness(image_hw3: np.ndarray) -> np.ndarray:
    small = cv2.resize(image_hw3, (160, 160)).astype(np.float32)
    return np.clip((small[..., 2] - small[..., 1] - 100) / 100, 0, 1)


class Discs:
    """Knows the discs; of what is elsewhere it is not sure."""

    def __init__(self) -> None:
        self.asked: list[tuple[list, list]] = []

    def look(self, image_hw3: np.ndarray) -> None:
        assert image_hw3.shape == (HEIGHT, WIDTH, 3)

    def answer(self, points, labels):
        self.asked.append((list(points), list(labels)))
        x, y = points[0] if labels[0] == 1 else np.mean(points, axis=0)
        for disc in map(_disc, *zip(*DISCS, strict=True)):
            if disc[int(y), int(x)]:
                return cv2.resize(disc * 20.0 - 10, (128, 96)).astype(np.float32), 0.95
        return np.full((96, 128), 5, np.float32), 0.5


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()


def test_what_stands_out_is_asked_for_by_its_box_and_found_once():
    network = Discs()
    masks = things_in(_photograph(), network, [_redness(_photograph())], np.random.default_rng(0))
    assert len(masks) == 2
    larger, smaller = masks  # by their boxes, the larger one first
    assert _iou(larger, _disc(*DISCS[1])) > 0.95 and _iou(smaller, _disc(*DISCS[0])) > 0.95
    boxes = [points for points, labels in network.asked if labels == [2, 3]]
    assert np.allclose(boxes[0], [(273, 88), (397, 212)], atol=4)
    assert any(labels == [1, -1] for _, labels in network.asked)


def test_points_find_what_does_not_stand_out():
    masks = things_in(
        _photograph(), Discs(), [np.zeros((9, 9), np.float32)], np.random.default_rng(0)
    )
    assert sorted(mask.sum() for mask in masks) == pytest.approx(
        [np.pi * 52**2, np.pi * 62**2], rel=0.03
    )


def test_boxes_of_the_largest_parts_of_a_map():
    map_hw = np.zeros((30, 40), np.float32)
    map_hw[2:8, 2:8], map_hw[10:25, 15:35], map_hw[28, 1] = 1, 1, 1
    larger, smaller = standing_out(map_hw, (HEIGHT, WIDTH))  # the speck is left out
    assert larger == pytest.approx((150, 100, 350, 250), abs=3)
    assert smaller == pytest.approx((20, 20, 80, 80), abs=3)


def _logits(mask: np.ndarray, height: float = 10.0) -> np.ndarray:
    return (mask * 2.0 - 1).astype(np.float32) * height


def test_a_sound_mask_has_no_specks():
    disc = _disc(200, 150, 80)
    pierced = disc.copy()
    pierced[150:154, 200:204], pierced[5:9, 5:9] = 0, 1
    assert np.array_equal(sound_mask(_logits(pierced), disc.shape), disc > 0)


@pytest.mark.parametrize(
    "logits",
    [
        _logits(np.zeros((HEIGHT, WIDTH))),
        _logits(_disc(200, 150, 80), height=0.6),
        _logits(_disc(100, 150, 60) | _disc(300, 150, 60)),
        _logits(_disc(200, 150, 10)),
        _logits(np.ones((HEIGHT, WIDTH))),
        _logits(np.arange(HEIGHT)[:, None] < 110 + np.zeros(WIDTH)),
    ],
    ids=["nothing", "unstable", "torn", "tiny", "all of it", "sky"],
)
def test_what_is_no_thing_is_left_out(logits):
    assert sound_mask(logits, (HEIGHT, WIDTH)) is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Twenty sources, each with the two discs."""
    place = tmp_path_factory.mktemp("pictures")
    files = [place / f"{number}.png" for number in range(20)]
    for number, file in enumerate(files):
        cv2.imwrite(str(file), _photograph(number))
    assert label(files, place / "found", Discs(), _redness) == 20
    return place / "found"


def test_a_labelled_picture_is_not_labelled_again(folder):
    network = Discs()
    assert label([folder.parent / "0.png"], folder, network, _redness) == 20
    assert not network.asked


def test_a_picture_in_which_nothing_is_found_is_not_written(tmp_path):
    rng = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / "0.png"), rng.integers(60, 200, (HEIGHT, WIDTH, 3), dtype=np.uint8))
    output = tmp_path / "found"

    class Unsure(Discs):
        def answer(self, points, labels):
            return np.full((96, 128), 5, np.float32), 0.5

    assert label([tmp_path / "0.png"], output, Unsure(), _redness) == 0
    assert not output.exists()


def _bank(folder: Path, tmp_path: Path, split: str = "train"):
    pack(Folders(pictures=(folder,)), tmp_path / "bank.npz", windows=0)
    return load_bank(
        tmp_path / "bank.npz", sprites=4, textures=2, seed=0, split=split, device="cpu"
    )


def test_pictures_are_packed_with_their_things_and_each_source_is_in_one_split(folder, tmp_path):
    train, val = (_bank(folder, tmp_path, split).pictures for split in ("train", "val"))
    assert len(train.images_n3hw) + len(val.images_n3hw) == 20 and len(val.images_n3hw) > 0
    shares = train.masks_nkhw.float().mean((2, 3))
    assert shares.shape[1] == THINGS and (shares[:, 2:] == 0).all()
    expected = [np.pi * radius**2 / (HEIGHT * WIDTH) for *_, radius in DISCS[::-1]]
    assert shares[0, :2].tolist() == pytest.approx(expected, rel=0.05)


def test_pictures_of_one_source_stay_in_one_split(tmp_path):
    for number in range(60):
        for frame in range(2):
            stem = f"{number}_{frame}"
            (tmp_path / "masks" / stem).mkdir(parents=True)
            (tmp_path / "images").mkdir(exist_ok=True)
            grey = np.full((40, 40, 3), 4 * number, np.uint8)
            cv2.imwrite(str(tmp_path / "images" / f"{stem}.png"), grey)
            cv2.imwrite(str(tmp_path / "masks" / stem / "00.png"), np.full((40, 40), 255, np.uint8))
    folders = Folders(pictures=(tmp_path,))
    train, val = (
        [int(image[0, 0, 0]) for image, _ in found.pictures]
        for found in (
            load_assets(folders, sprites=0, seed=0, split=split) for split in ("train", "val")
        )
    )
    assert len(train) + len(val) == 120 and val
    assert not set(train) & set(val)


def test_pictures_are_seen_through_a_moving_camera_with_their_things(folder, tmp_path):
    batch = DrawnClips(_bank(folder, tmp_path), 0).batch(SHAPE, 0)
    assert batch.images_bthwc.shape == (3, 2, 96, 96, 3)
    assert batch.masks_bkthw.shape == (3, 2, 2, 96, 96)
    images, masks = batch.images_bthwc.float(), batch.masks_bkthw
    assert masks[:, :, 0].flatten(2).any(2).all()
    for clip in range(3):  # the discs are red, wherever they have moved to
        things = masks[clip].any(0)
        red = images[clip][..., 0] - images[clip][..., 1:].mean(-1)
        assert red[things].mean() > 100 > 40 > red[~things].mean()
    assert not torch.equal(masks[:, :, 0], masks[:, :, 1])


def test_a_bank_without_pictures_draws_scenes():
    bank = load_bank(None, sprites=4, textures=2, seed=0, split="train", device="cpu")
    assert bank.pictures is None
    batch = DrawnClips(bank, 0).batch(SHAPE, 0)
    assert batch.masks_bkthw.shape == (3, 2, 2, 96, 96)
