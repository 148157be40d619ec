"""Things that a promptable network follows through clips: what is kept, given up, and shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from training.assets import Folders
from training.bank import REGIONS, WINDOW_FRAMES, WINDOW_HW, load_bank, main, pack
from training.clips import ClipShape, DrawnClips
from training.followed_things import ThingFollower

HEIGHT, WIDTH = 180, 260
RED, BLUE = (230, 20, 20), (20, 20, 230)


def _frames(count: int, until: int | None = None) -> list[np.ndarray]:
    """RGB noise with a red disc going right and, before frame `until`, a blue one going down."""
    noise = np.random.default_rng(0).integers(90, 160, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    wall, frames = cv2.GaussianBlur(noise, (0, 0), 2), []
    for t in range(count):
        image = cv2.circle(wall.copy(), (70 + 3 * t, 60), 28, RED, -1)
        if until is None or t < until:
            cv2.circle(image, (190, 132 + 2 * t), 24, BLUE, -1)
        frames.append(image)
    return frames


def _coloured(image_hw3: np.ndarray) -> np.ndarray:
    """0 or 1: far from grey."""
    spread = image_hw3.max(-1).astype(int) - image_hw3.min(-1)
    return (spread > 120).astype(np.uint8)


class Blobs:
    """Knows what is coloured, as one thing for each blob; of the rest it is not sure."""

    def look(self, image_hw3: np.ndarray) -> None:
        _, self._blobs_hw = cv2.connectedComponents(_coloured(image_hw3))

    def answer(self, points, labels):
        x, y = points[0] if labels[0] == 1 else np.mean(points, axis=0)
        blob = self._blobs_hw[int(y), int(x)]
        logits = np.where(self._blobs_hw == blob, 10, -10).astype(np.float32)
        return cv2.resize(logits, None, fx=0.5, fy=0.5), 0.95 if blob else 0.3


def _saliency(image_hw3: np.ndarray) -> np.ndarray:
    return cv2.resize(_coloured(image_hw3).astype(np.float32), (160, 160))


FOLLOWER = ThingFollower(Blobs(), _saliency)


def test_things_are_followed_by_what_the_network_sees():
    shown = _frames(6)
    masklets = FOLLOWER(np.random.default_rng(0), shown, 4)
    assert len(masklets) == 2
    colours = [RED if masks_thw[0, 60, 70] else BLUE for masks_thw in masklets]
    assert sorted(colours) == sorted((RED, BLUE))
    for masks_thw, colour in zip(masklets, colours, strict=True):
        for mask_hw, image in zip(masks_thw, shown, strict=True):
            truth_hw = (image == colour).all(-1)
            assert (mask_hw & truth_hw).sum() / (mask_hw | truth_hw).sum() > 0.93


def test_what_moves_comes_first_and_no_more_than_asked_for():
    moving, still = _frames(3), _frames(1)[0]
    below = 105  # of the red disc, above the blue one
    for half in (slice(0, below), slice(below, HEIGHT)):
        shown = [image.copy() for image in moving]
        for image in shown:
            image[half] = still[half]
        (first_thw,) = FOLLOWER(np.random.default_rng(0), shown, 1)
        assert not first_thw[:, half].any()


def test_a_thing_is_given_up_where_the_network_no_longer_sees_it():
    (red_thw,) = FOLLOWER(np.random.default_rng(0), _frames(6, until=4), 4)
    assert red_thw[0, 60, 70] and red_thw[5, 60, 85]


def test_a_thing_is_given_up_where_the_network_sees_something_else():
    class Grown(Blobs):
        """From the second picture on, a blob has a wide margin."""

        looks = 0

        def look(self, image_hw3):
            super().look(image_hw3)
            self.looks += 1
            if self.looks > 1:
                wide = cv2.dilate(_coloured(image_hw3), np.ones((25, 25), np.uint8))
                _, self._blobs_hw = cv2.connectedComponents(wide)

    assert ThingFollower(Grown(), _saliency)(np.random.default_rng(0), _frames(4), 4) == []


@pytest.fixture(scope="module")
def bank_clips(tmp_path_factory) -> Path:
    """A folder with one clip."""
    folder = tmp_path_factory.mktemp("clips")
    kind, size = cv2.VideoWriter_fourcc(*"mp4v"), (WIDTH, HEIGHT)
    writer = cv2.VideoWriter(str(folder / "discs.mp4"), kind, 25, size)
    for image in _frames(24):
        writer.write(image[..., ::-1])
    writer.release()
    return folder


@pytest.fixture(scope="module")
def bank(bank_clips, tmp_path_factory):
    file = tmp_path_factory.mktemp("bank") / "bank.npz"
    held = pack(Folders(clips=(bank_clips,)), file, windows=0, things=(3, FOLLOWER))
    assert held["train_followed"] == 3
    return load_bank(file, sprites=6, textures=3, seed=0, split="train", device="cpu")


def test_followed_things_are_packed_beside_the_regions(bank):
    assert bank.windows is None
    masks = bank.followed.masks_wrthw
    assert masks.shape == (3, REGIONS, WINDOW_FRAMES, *WINDOW_HW)
    assert (masks[:, :2].flatten(3).sum(3) > 0).all() and not masks[:, 2:].any()


def test_clips_in_which_nothing_can_be_followed_come_to_an_end(tmp_path, bank_clips):
    nothing = pack(
        Folders(clips=(bank_clips,)), tmp_path / "b.npz", windows=0, things=(3, lambda *_: [])
    )
    assert nothing["train_followed"] == 0


def test_things_need_a_network(tmp_path):
    done = CliRunner().invoke(main, ["--things", "3", "--output", str(tmp_path / "bank.npz")])
    assert done.exit_code == 2 and "--things needs --encoder" in done.output


def test_batches_show_what_was_followed(bank):
    shape = ClipShape(clips=4, frames=3, objects=2, size=96, shown="things")
    batch = DrawnClips(bank, seed=0).batch(shape, 0)
    images = batch.images_bthwc.float()
    spread = images.amax(-1) - images.amin(-1)
    for clip in range(4):
        for mask_thw in batch.masks_bkthw[clip]:
            assert spread[clip][mask_thw].median() > 2 * spread[clip][~mask_thw].median()


def test_without_followed_things_scenes_are_drawn(bank):
    shape = ClipShape(clips=2, frames=3, objects=2, size=96, shown="things")
    bare = replace(bank, followed=None)
    drawn, scenes = (
        DrawnClips(bare, seed=0).batch(s, 0) for s in (shape, replace(shape, shown="scenes"))
    )
    assert torch.equal(drawn.images_bthwc, scenes.images_bthwc)
