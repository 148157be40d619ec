"""Masks that are fitted to the edges of the picture."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tracker.edges import fit_to_edges
from tracker.masks import BoolMask, iou
from tracker.prompted_colours import Colours

HEIGHT, WIDTH, CELL = 180, 240, 12


def disc(x: int, y: int, radius: int) -> BoolMask:
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    return np.asarray((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)


def painted(*shown: tuple[BoolMask, tuple[int, int, int]]) -> NDArray[np.uint8]:
    """Things of one colour each before grey, all of it grainy; RGB."""
    image_hwc = np.full((HEIGHT, WIDTH, 3), 120, np.float64)
    for mask_hw, colour in shown:
        image_hwc[mask_hw] = colour
    grain = np.random.default_rng(3).normal(0, 12, image_hwc.shape)
    return np.clip(image_hwc + grain, 0, 255).astype(np.uint8)


def as_a_model_sees_it(mask_hw: BoolMask) -> NDArray[np.float32]:
    """Logits from a grid of cells that are 12 pixels wide, unsure at the mask's edge."""
    cells_wh = WIDTH // CELL, HEIGHT // CELL
    shares_hw = cv2.resize(mask_hw.astype(np.float32), cells_wh, interpolation=cv2.INTER_AREA)
    logits_hw = np.where(shares_hw > 0.5, 1.0, -1.0) * 8
    return cv2.resize(logits_hw.astype(np.float32), (WIDTH, HEIGHT))


DISC = disc(110, 90, 50)
RED, GREEN, YELLOW = (200, 60, 50), (60, 180, 60), (220, 200, 40)
HAIR = np.zeros_like(DISC)
HAIR[20:23, 20:200] = True


def test_a_coarse_mask_becomes_the_object() -> None:
    logits_hw = as_a_model_sees_it(DISC)
    fitted_hw = fit_to_edges(painted((DISC, RED)), logits_hw)
    assert fitted_hw.shape == DISC.shape and fitted_hw.dtype == np.bool_
    assert iou(logits_hw > 0, DISC) < 0.95
    assert iou(fitted_hw, DISC) > 0.985


def test_a_large_image_and_one_upright() -> None:
    for size_wh in ((1200, 900), (135, 240)):
        image_hwc = cv2.resize(painted((DISC, RED)), size_wh)
        logits_hw = cv2.resize(as_a_model_sees_it(DISC), size_wh)
        truth_hw = cv2.resize(DISC.astype(np.float32), size_wh) > 0.5
        assert iou(fit_to_edges(image_hwc, logits_hw), truth_hw) > 0.97


def test_what_the_model_is_sure_of_stays() -> None:
    """A stripe of another colour across the object is its own when the model says so."""
    stripe_hw = DISC & (np.arange(WIDTH) // 14 == 7)
    image_hwc = painted((DISC, RED), (stripe_hw, (120, 120, 120)))
    fitted_hw = fit_to_edges(image_hwc, as_a_model_sees_it(DISC))
    assert fitted_hw[disc(110, 90, 30)].all()


def test_colours_of_prompts_bring_back_what_the_model_doubts() -> None:
    """A green stripe that the model has lost, and what it has lost for sure."""
    green_hw = DISC & (np.arange(WIDTH) // 20 == 4)
    image_hwc, logits_hw = painted((DISC, RED), (green_hw, GREEN)), as_a_model_sees_it(DISC)
    logits_hw[green_hw] = -2
    prompted = Colours.of(image_hwc, DISC)
    alone_hw = fit_to_edges(image_hwc, logits_hw)
    fitted_hw = fit_to_edges(image_hwc, logits_hw, colours=prompted)
    assert alone_hw[green_hw].mean() < 0.2
    assert fitted_hw[green_hw].mean() > 0.9 and iou(fitted_hw, DISC) > 0.97
    logits_hw[green_hw] = -8
    assert not fit_to_edges(image_hwc, logits_hw, colours=prompted)[green_hw].any()


def test_the_colours_of_a_mask_give_way_to_those_of_prompts() -> None:
    """Yellow light falls on the object and beside it; prompts have not shown that colour."""
    prompted = Colours.of(painted((DISC, RED)), DISC)
    lit_hw = DISC & (np.arange(WIDTH) // 20 == 5)
    beside_hw = disc(166, 90, 14) & ~DISC
    image_hwc, logits_hw = (
        painted((DISC, RED), (lit_hw | beside_hw, YELLOW)),
        as_a_model_sees_it(DISC),
    )
    logits_hw[beside_hw] = -2
    assert fit_to_edges(image_hwc, logits_hw)[beside_hw].mean() > 0.8
    assert fit_to_edges(image_hwc, logits_hw, colours=prompted)[beside_hw].mean() < 0.2


def test_colours_count_as_far_as_they_tell_the_object_from_its_surroundings() -> None:
    """In the prompt, and now: where they do not, the mask is the one without them."""
    image_hwc, logits_hw = painted((DISC, RED)), as_a_model_sees_it(DISC)
    without_hw = fit_to_edges(image_hwc, logits_hw)
    shown = Colours.of(image_hwc, DISC)
    for colours in (replace(shown, distinctness=0.0), Colours.of(painted((DISC, GREEN)), DISC)):
        fitted_hw = fit_to_edges(image_hwc, logits_hw, colours=colours)
        np.testing.assert_array_equal(fitted_hw, without_hw)


def test_it_does_not_grow_into_another_object() -> None:
    """Two things of one colour that touch: only their masks tell them apart."""
    left_hw, right_hw = disc(80, 90, 40), disc(158, 90, 40) & ~disc(80, 90, 40)
    image_hwc = painted((left_hw | right_hw, RED))
    logits_hw = as_a_model_sees_it(left_hw)
    fitted_hw = fit_to_edges(image_hwc, logits_hw, right_hw)
    assert not (fitted_hw & right_hw & ~(logits_hw > 0)).any()
    assert iou(fitted_hw, left_hw) > 0.95


@pytest.mark.parametrize(
    ("shown_hw", "image_hwc"),
    [
        (np.zeros_like(DISC), painted((DISC, RED))),
        (disc(20, 20, 1), painted((DISC, RED))),
        (np.ones_like(DISC), painted((DISC, RED))),
        (HAIR, painted((disc(110, 90, 20), RED))),
    ],
    ids=["nothing", "a few pixels", "everything", "what would lose most of itself"],
)
def test_stays_as_the_model_has_it(shown_hw: BoolMask, image_hwc: NDArray[np.uint8]) -> None:
    logits_hw = np.where(shown_hw, 2.0, -2.0).astype(np.float32)
    np.testing.assert_array_equal(fit_to_edges(image_hwc, logits_hw), shown_hw)


def test_the_same_arguments_give_the_same_mask_and_stay_as_they_are() -> None:
    image_hwc, logits_hw = painted((DISC, RED)), as_a_model_sees_it(DISC)
    logits_hw[0, 0] = -1024  # SAM2's value where an object is absent
    before = image_hwc.tobytes(), logits_hw.tobytes()
    image_hwc.flags.writeable = logits_hw.flags.writeable = False
    first_hw = fit_to_edges(image_hwc, logits_hw)
    cv2.setRNGSeed(99)
    np.testing.assert_array_equal(fit_to_edges(image_hwc, logits_hw), first_hw)
    assert (image_hwc.tobytes(), logits_hw.tobytes()) == before


@pytest.mark.filterwarnings("error")
def test_any_logits_of_any_picture_give_a_mask() -> None:
    rng = np.random.default_rng(0)
    for number in range(60):
        height, width = rng.integers(4, 200, 2)
        image_hwc = np.full((height, width, 3), number, np.uint8)
        if number % 2:
            image_hwc = rng.integers(0, 256, image_hwc.shape, np.uint8)
        waves_hw = np.cumsum(np.cumsum(rng.normal(0, 1, (height, width)), axis=0), axis=1)
        logits_hw = (waves_hw / waves_hw.std() * rng.choice([0.1, 1, 10, 1000])).astype(np.float32)
        fitted_hw = fit_to_edges(image_hwc, logits_hw)
        assert fitted_hw.shape == (height, width) and fitted_hw.dtype == np.bool_
