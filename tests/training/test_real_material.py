"""Real clips, photographs and drawings as training material: what is taken, and what is refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.made_davis import davis_folder
from training.annotated import annotated_clips, random_window
from training.assets import Folders, load_assets
from training.clips import AnnotatedClips, ClipShape
from training.flow import flow_places
from training.masklets import carried_regions
from training.textures import random_texture


def panned(frames: int, step: int, seed: int = 0) -> list[np.ndarray]:
    """A textured wall with a plain red disc, the camera moving right by `step` pixels a frame."""
    rng = np.random.default_rng(seed)
    wall = random_texture(rng, 320)
    wall = cv2.addWeighted(wall, 0.4, rng.integers(0, 255, wall.shape, np.uint8), 0.3, 0)
    wall = cv2.GaussianBlur(wall, (0, 0), 2)
    cv2.circle(wall, (150, 100), 30, (230, 20, 20), -1)
    return [np.ascontiguousarray(wall[20:200, step * t : step * t + 240]) for t in range(frames)]


def test_flow_finds_where_each_pixel_was():
    first, second = panned(2, step=4)
    places, known = flow_places(first, second)
    x = np.mgrid[0:180, 0:240][1]
    inner = (slice(20, 160), slice(20, 200))
    assert known[inner].mean() > 0.9
    assert np.abs(places[..., 0] - x - 4)[inner][known[inner]].mean() < 1


def test_regions_keep_to_what_they_began_on():
    images = np.stack(panned(4, step=3))
    red = (images[..., 0] > 180) & (images[..., 1] < 90)
    on_disc = 0
    for seed in range(6):
        masklets = carried_regions(np.random.default_rng(seed), list(images), objects=3)
        assert masklets
        for masks in masklets:
            assert masks.shape == images.shape[:3]
            inside = [red[t][masks[t]].mean() for t in range(4)]
            assert max(inside) - min(inside) < 0.2  # as much of the disc at the end as before
            on_disc += inside[0] > 0.8
    assert on_disc


def test_no_region_is_carried_through_noise():
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (120, 160, 3), np.uint8) for _ in range(5)]
    assert carried_regions(rng, noise, objects=2) == []


def test_a_drawing_is_taken_when_one_solid_thing_is_in_it(tmp_path):
    disc = np.zeros((80, 100, 4), np.uint8)
    cv2.circle(disc, (50, 40), 30, (10, 20, 200, 255), -1)  # BGRA: red
    thin = np.zeros((80, 100, 4), np.uint8)
    cv2.line(thin, (0, 0), (99, 79), (0, 0, 0, 255), 1)
    full = np.full((80, 100, 4), 255, np.uint8)
    for name, picture in {"disc": disc, "full": full, "thin": thin, "grey": disc[..., 0]}.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
    assets = load_assets(Folders(cutouts=(tmp_path,)), sprites=2, seed=0, split="train")
    ((sprite,),) = assets.cutouts
    assert sprite.shape == (61, 61, 4)
    assert sprite[30, 30].tolist() == [200, 20, 10, 255]


def test_annotated_clips_show_their_objects(tmp_path):
    (clip,) = annotated_clips(davis_folder(tmp_path))
    for seed in range(4):
        images, masks = random_window(np.random.default_rng(seed), clip, 7, objects=2, size=64)
        assert images.shape == (7, 64, 64, 3)
        assert masks.shape == (1, 7, 64, 64)
        inside = masks[0]
        assert images[inside].mean(0)[0] > 150
        assert images[~inside].mean(0)[0] < 120


def test_batches_of_annotated_clips_repeat_what_is_missing(tmp_path):
    source = AnnotatedClips(annotated_clips(davis_folder(tmp_path)), seed=0, device="cpu")
    batch = source.batch(ClipShape(clips=1, frames=3, objects=2, size=64), 0)
    (images,), (masks,) = batch.images_bthwc.numpy(), batch.masks_bkthw.numpy()
    assert masks.shape == (2, 3, 64, 64)
    assert np.array_equal(masks[0], masks[1])  # one object, repeated
    assert images[masks[0]].mean(0)[0] > images[~masks[0]].mean(0)[0]


def test_a_folder_without_annotated_clips_is_refused(tmp_path):
    (tmp_path / "JPEGImages").mkdir()
    with pytest.raises(ValueError, match="no clip with JPEGImages and Annotations"):
        annotated_clips(tmp_path)
