"""Formats that are folders of mask PNGs: read back equal."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.made_runs import FRAMES, made_frames, made_info, masks_of
from tracker.masks import from_index_mask, to_index_mask
from tracker.output.export import FORMATS, FrameMasks
from tracker.types import ObjectMask
from tracker.video import index_palette, read_image, read_index_mask


def assert_equal(index_hw, frame):
    found, made = from_index_mask(index_hw), masks_of(frame)
    assert found.keys() == made.keys()
    assert all((found[i] == made[i]).all() for i in made)


def test_index_masks_read_back_equal(written, kind):
    folder = written("png", kind)
    for frame, _ in made_frames(kind):
        path = folder / f"{frame.index:05d}.png"
        assert_equal(read_index_mask(path), frame)
        with Image.open(path) as image:
            assert image.mode == ("P" if kind == "special" else "I;16")


def test_object_masks_read_back_equal_in_both_orders(written, kind):
    folder = written("png-per-object", kind)
    for frame, _ in made_frames(kind):
        stem = f"{frame.index:05d}"
        files = {int(path.stem): path for path in (folder / "by-frame" / stem).iterdir()}
        assert files.keys() == {mask.object_id for mask in frame.objects}
        for mask in frame.objects:
            pixels = np.asarray(Image.open(files[mask.object_id]))
            assert (pixels == mask.mask_hw * np.uint8(255)).all()
            other = folder / "by-object" / str(mask.object_id) / f"{stem}.png"
            assert other.read_bytes() == files[mask.object_id].read_bytes()


def test_a_davis_reader_finds_the_sequence(written, kind):
    root = written("davis", kind)
    for part in ("train", "val"):
        names = (root / "ImageSets" / "2017" / f"{part}.txt").read_text("utf-8").split()
        assert names == ["clip"]
    pictures = sorted((root / "JPEGImages" / "480p" / "clip").glob("*.jpg"))
    masks = sorted((root / "Annotations" / "480p" / "clip").glob("*.png"))
    assert [path.stem for path in pictures] == [path.stem for path in masks]
    assert [int(path.stem) for path in masks] == list(FRAMES)
    for path, (frame, _) in zip(masks, made_frames(kind), strict=True):
        assert_equal(np.array(Image.open(path)), frame)
        if kind == "special":
            palette = np.array(Image.open(path).getpalette()).reshape(-1, 3)
            assert (palette[:8] == index_palette()[:8]).all()
    assert read_image(pictures[0]).shape == (55, 97, 3)


def test_davis_says_that_it_does_not_know_many_objects(tmp_path):
    with FORMATS["davis"](made_info("crowd"), tmp_path) as writer:
        pass
    assert "16-bit" in writer.problems[0]


@pytest.mark.parametrize("name", ["png", "davis", "mots"])
def test_overlaps_are_counted_and_the_larger_number_wins(name, tmp_path):
    low, high = np.zeros((55, 97), bool), np.zeros((55, 97), bool)
    low[10:30, 10:30] = high[20:40, 20:40] = True
    objects = (ObjectMask(1, low, 5, 1), ObjectMask(2, high, 5, 1))
    with FORMATS[name](made_info(), tmp_path) as writer:
        for index in FRAMES[:2]:
            writer.write(FrameMasks(index, index, objects), np.zeros((55, 97, 3), np.uint8))
    assert writer.problems == ("frames on which masks overlap, the larger number on top: 2",)
    if name == "png":
        expected = to_index_mask([(1, low), (2, high)], 55, 97)
        assert (read_index_mask(tmp_path / "masks" / "00003.png") == expected).all()
