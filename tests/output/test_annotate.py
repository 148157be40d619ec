"""What is drawn, where, and in which colours."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.output.annotate import OPACITY, Annotator
from tracker.types import ObjectMask
from tracker.video import index_palette

HEIGHT, WIDTH = 200, 300


def disk(x: int, y: int, radius: int = 40) -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


@pytest.fixture
def image():
    return np.full((HEIGHT, WIDTH, 3), (90, 120, 150), np.uint8)


@pytest.mark.parametrize("object_id", [1, 2, 4, 9, 200])
def test_a_mask_is_tinted_in_the_colour_of_its_id_in_rgb(image, object_id):
    drawn = Annotator(HEIGHT).annotate(image, [ObjectMask(object_id, disk(150, 130), 9.0, 1.0)])
    colour = index_palette()[object_id].astype(float)
    expected = OPACITY * colour + (1 - OPACITY) * image[0, 0]
    assert np.abs(drawn[130, 150] - expected).max() <= 1
    assert (drawn[195, 5] == image[195, 5]).all()


def test_the_outline_is_brighter_than_the_mask(image):
    drawn = Annotator(HEIGHT).annotate(image, [ObjectMask(1, disk(150, 130), 9.0, 1.0)])
    assert drawn[170, 150].tolist() == [255, 0, 0]


def test_the_image_itself_is_not_touched(image):
    image.flags.writeable = False
    before = image.copy()
    Annotator(HEIGHT).annotate(image, [ObjectMask(1, disk(150, 130), 9.0, 1.0)])
    assert (image == before).all()


def test_an_object_that_is_not_visible_leaves_no_trace(image):
    nothing = ObjectMask(1, np.zeros((HEIGHT, WIDTH), bool), -5.0, 0.1)
    assert (Annotator(HEIGHT).annotate(image, [nothing]) == image).all()


def test_a_label_is_longer_with_a_name(image):
    objects = [ObjectMask(1, disk(150, 130), 9.0, 1.0)]
    without = Annotator(HEIGHT).annotate(image, objects)
    named = Annotator(HEIGHT, {1: "a long name"}).annotate(image, objects)

    def text_width(drawn):
        changed = (drawn[:88] != image[:88]).any(axis=2)  # above the disk
        return np.ptp(np.flatnonzero(changed.any(axis=0)))

    assert text_width(named) > 2 * text_width(without)


@pytest.mark.parametrize("x", [0, 299])
def test_masks_on_the_border_can_be_labelled(image, x):
    objects = [ObjectMask(i, disk(x, y), 9.0, 1.0) for i, y in ((1, 0), (2, 199), (3, 100))]
    assert Annotator(HEIGHT).annotate(image, objects).shape == image.shape


def test_a_single_pixel_can_be_drawn(image):
    mask_hw = np.zeros((HEIGHT, WIDTH), bool)
    mask_hw[100, 100] = True
    drawn = Annotator(HEIGHT).annotate(image, [ObjectMask(1, mask_hw, 9.0, 1.0)])
    assert (drawn != image).any()
