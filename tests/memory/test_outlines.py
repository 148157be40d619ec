"""How clearly a picture's colours change where a mask ends."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.memory.outlines import UNSEEN, outline_clarity, small_lab

RED, GREEN, DARK_RED = (200, 40, 40), (40, 160, 60), (180, 40, 40)


def square(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask_hw = np.zeros((180, 240), bool)
    mask_hw[top:bottom, left:right] = True
    return mask_hw


def scene(thing_hw: np.ndarray, colour=RED, around=GREEN, noise=0.0) -> np.ndarray:
    image = np.where(thing_hw[..., None], colour, around).astype(float)
    image += np.random.default_rng(0).normal(0, noise, image.shape)
    return small_lab(image.clip(0, 255).astype(np.uint8))


THING = square(50, 60, 130, 160)


def test_the_thing_itself_ends_where_colours_change():
    assert outline_clarity(scene(THING), THING) > 0.95


@pytest.mark.parametrize(
    "mask_hw",
    [
        square(50, 60, 130, 110),  # half of it
        square(70, 80, 110, 140),  # its middle
        square(30, 40, 150, 180),  # too much
        square(0, 180, 40, 240),  # elsewhere, at the picture's edge
    ],
)
def test_what_cuts_or_spills_is_less_clear(mask_hw):
    lab_hwc = scene(THING, noise=4.0)
    assert outline_clarity(lab_hwc, mask_hw) < outline_clarity(lab_hwc, THING) - 0.1


def test_the_stronger_the_change_the_clearer():
    faint, strong = (outline_clarity(scene(THING, around=c), THING) for c in (DARK_RED, GREEN))
    assert 0.0 < faint < 0.5 < strong <= 1.0


@pytest.mark.parametrize("size", [(60, 80), (180, 240), (720, 960)])
def test_pictures_of_all_sizes(size):
    height, width = size
    thing_hw = np.zeros(size, bool)
    thing_hw[height // 4 : height // 2, width // 4 : width // 2] = True
    assert outline_clarity(scene(thing_hw), thing_hw) > 0.95


def test_a_part_of_the_outline_beyond_the_picture_says_nothing():
    cut_off = square(50, 0, 130, 100)
    assert outline_clarity(scene(cut_off), cut_off) > 0.95


@pytest.mark.parametrize("mask_hw", [square(0, 0, 180, 240), square(0, 0, 0, 0)])
def test_without_an_outline_nothing_is_said(mask_hw):
    assert outline_clarity(scene(THING), mask_hw) == UNSEEN
