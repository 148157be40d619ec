"""What is drawn, where, and in which colours."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.output.annotate import OPACITY, Annotator
from tracker.output.styles import STYLES
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


@pytest.fixture
def scene():
    """Noise, in which blurring shows, and an object in its middle."""
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return noise, [ObjectMask(1, disk(150, 100), 9.0, 1.0)]


def detail(image_hwc, where_hw) -> float:
    """The mean difference between neighbours in a row, both inside a region."""
    steps = np.abs(np.diff(image_hwc.astype(int), axis=1)).mean(axis=2)
    return steps[where_hw[:, 1:] & where_hw[:, :-1]].mean()


@pytest.mark.parametrize("style", STYLES[:-1])
def test_every_style_changes_something_and_keeps_the_frame(scene, style):
    noise_hwc, objects = scene
    drawn = Annotator(HEIGHT, {1: "cup"}, (style,))
    first = drawn.annotate(noise_hwc, objects)
    moved = [ObjectMask(1, disk(180, 100), 9.0, 1.0)]
    assert drawn.annotate(noise_hwc, moved).shape == noise_hwc.shape
    if style != "trace":  # which begins with the second frame
        assert (first != noise_hwc).any()


@pytest.mark.parametrize("style", ["blur", "pixelate"])
def test_hiding_the_object_leaves_everything_else(scene, style):
    noise_hwc, objects = scene
    hidden = Annotator(HEIGHT, styles=(style,)).annotate(noise_hwc, objects)
    inside = objects[0].mask_hw
    assert (hidden[~inside] == noise_hwc[~inside]).all()
    assert detail(hidden, inside) < detail(noise_hwc, inside) / 3


@pytest.mark.parametrize("style", ["blur-background", "pixelate-background"])
def test_hiding_everything_else_leaves_the_object(scene, style):
    noise_hwc, objects = scene
    hidden = Annotator(HEIGHT, styles=(style,)).annotate(noise_hwc, objects)
    inside = objects[0].mask_hw
    assert (hidden[inside] == noise_hwc[inside]).all()
    assert detail(hidden, ~inside) < detail(noise_hwc, ~inside) / 2
    nothing = Annotator(HEIGHT, styles=(style,)).annotate(noise_hwc, [])
    everywhere = np.ones_like(inside)  # without an object all of it is hidden
    assert detail(nothing, everywhere) < detail(noise_hwc, everywhere) / 2


def test_a_trace_follows_the_object(image):
    drawn = Annotator(HEIGHT, styles=("trace",))
    for x in range(60, 240, 20):
        last = drawn.annotate(image, [ObjectMask(1, disk(x, 100), 9.0, 1.0)])
    changed = (last != image).any(axis=2)
    columns = np.flatnonzero(changed.any(axis=0))
    assert columns.min() < 65 and columns.max() > 215
    assert abs(np.flatnonzero(changed.any(axis=1)).mean() - 100) < 4


def test_a_halo_surrounds_the_object(image):
    disc = disk(150, 100)
    drawn = Annotator(HEIGHT, styles=("halo",)).annotate(image, [ObjectMask(1, disc, 9.0, 1.0)])
    assert (drawn[disc] == image[disc]).all()
    red, green, blue = drawn[100, 150 + 43].astype(int)  # just outside
    assert red > green + 20 and green < blue < image[0, 0, 2]


def test_a_box_touches_the_outermost_pixels(image):
    object_hw = disk(150, 100)
    drawn = Annotator(HEIGHT, styles=("box",)).annotate(image, [ObjectMask(1, object_hw, 9.0, 1.0)])
    changed = (drawn != image).any(axis=2)
    columns = np.flatnonzero(changed.any(axis=0))
    assert abs(columns.min() - 110) <= 1 and abs(columns.max() - 191) <= 1
    assert not changed[100, 130:170].any()
