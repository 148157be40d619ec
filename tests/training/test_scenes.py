"""Generated scenes: the truth fits the picture, and the surface is a correspondence."""

from __future__ import annotations

import numpy as np
import pytest

from training.held_out import content_hash, refuse_held_out
from training.objects import PAINTERS
from training.scenes import Layer, Motion, Scene
from training.textures import random_texture

GREY = np.full((64, 96, 3), 90, np.uint8)


def square(colour=(250, 30, 30)) -> np.ndarray:
    sprite = np.zeros((32, 32, 4), np.uint8)
    sprite[..., :3], sprite[..., 3] = colour, 255
    return sprite


def test_a_sprite_is_where_its_motion_says_and_the_truth_with_it():
    motion = Motion(start=(0.25, 0.5), velocity=(0.1, 0.0), size=0.25)
    scene = Scene([GREY], [Layer(square(), motion, 7)])
    for t, centre in ((0, 24), (3, 52.8)):
        frame = scene.render(t, 96, 64)
        inside = frame.ids_hw == 7
        assert np.nonzero(inside)[1].mean() == pytest.approx(centre, abs=1)
        assert inside.sum() == pytest.approx(16 * 16, rel=0.15)
        assert (frame.image_hwc[inside][:, 0] > 165).all()
        assert (frame.image_hwc[~inside][:, 0] < 175).all()


def test_a_layer_in_front_hides_and_one_outside_is_not_there():
    here = Motion(start=(0.5, 0.5), size=0.4)
    hidden = [Layer(square(), here, 1), Layer(square((10, 10, 250)), here)]
    assert not Scene([GREY], hidden).render(0, 96, 64).ids_hw.any()
    gone = Motion(start=(2.0, 0.5), size=0.4)
    assert not Scene([GREY], [Layer(square(), gone, 1)]).render(0, 96, 64).ids_hw.any()


def test_equal_surface_is_the_same_place_of_a_turning_object():
    sprite = np.dstack([random_texture(np.random.default_rng(3), 64), np.full((64, 64), 255)])
    motion = Motion(start=(0.5, 0.5), size=0.6, spin=0.4)
    scene = Scene([GREY], [Layer(sprite.astype(np.uint8), motion, 1)])
    for t in (0, 2):
        frame = scene.render(t, 192, 128)
        ys, xs = np.nonzero(frame.ids_hw)
        places = np.clip(np.rint(frame.surface_hw2[ys, xs] - 0.5), 0, 63).astype(int)
        shown = frame.image_hwc[ys, xs].astype(int)
        painted = sprite[places[:, 1], places[:, 0], :3].astype(int)
        assert np.median(np.abs(shown - painted).max(1)) < 12


def test_a_wide_pixel_squeezes_what_a_wide_frame_shows():
    scene = Scene([GREY], [Layer(square(), Motion(start=(0.5, 0.5), size=0.5), 1)])
    ys, xs = np.nonzero(scene.render(0, 64, 64, pixel_aspect=2.0).ids_hw)
    assert np.ptp(ys) == pytest.approx(2 * np.ptp(xs), abs=2)


@pytest.mark.parametrize("name", PAINTERS)
def test_every_painter_fills_a_fair_part_of_its_canvas(name):
    rng = np.random.default_rng(1)
    sprite = PAINTERS[name](rng, random_texture(rng, 256))
    assert sprite.shape == (256, 256, 4)
    assert 0.05 < (sprite[..., 3] > 127).mean() < 0.95


def test_measuring_material_is_refused_by_path_and_by_content(tmp_path, monkeypatch):
    by_path = tmp_path / "DAVIS" / "00000.jpg"
    by_path.parent.mkdir()
    by_path.write_bytes(b"frame")
    with pytest.raises(ValueError, match="by its path"):
        refuse_held_out(by_path)
    copy = tmp_path / "holiday.jpg"
    copy.write_bytes(b"frame")
    refuse_held_out(copy)
    monkeypatch.setattr("training.held_out._hashes", lambda: frozenset([content_hash(copy)]))
    with pytest.raises(ValueError, match="by its content"):
        refuse_held_out(copy)
