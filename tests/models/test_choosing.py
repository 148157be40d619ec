"""Which candidate mask is taken: what the model, and what the object's colours say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tracker.models.choosing import (
    BINS,
    SIDE,
    Colours,
    bin_colours,
    choose,
    contrast,
    remember_colours,
    remembered_colours,
    stability,
)

RED, BLUE, GREY = (220, 30, 30), (30, 30, 220), (128, 128, 128)
CELLS = 72


def square(x: int, y: int, side: int, size: int = CELLS) -> np.ndarray:
    mask_hw = np.zeros((size, size), bool)
    mask_hw[y : y + side, x : x + side] = True
    return mask_hw


def picture(object_colour: Any, other_colour: Any) -> tuple[np.ndarray, np.ndarray]:
    """A square of a colour on grey with another beside it, RGB uint8, and the first one's mask."""
    image_hwc = np.full((2 * CELLS, 2 * CELLS, 3), GREY, np.uint8)
    mask_hw = square(20, 40, 40, 2 * CELLS)
    image_hwc[mask_hw] = object_colour
    image_hwc[square(80, 40, 40, 2 * CELLS)] = other_colour
    return image_hwc, mask_hw


OBJECT, OTHER = (np.where(square(x, 20, 20), 6.0, -6.0).astype(np.float32) for x in (10, 40))


def chosen(colours: Colours, image_hwc: np.ndarray, *ious: float) -> int:
    logits_mhw, ious_m = np.stack([OBJECT, OTHER]), np.array(ious, np.float32)
    return choose(logits_mhw, ious_m, colours, bin_colours(image_hwc))


def test_colours_outweigh_a_predicted_iou_where_they_tell_things_apart() -> None:
    image_hwc, mask_hw = picture(RED, BLUE)
    colours = Colours.of(bin_colours(image_hwc), mask_hw)
    assert colours.distinctness == pytest.approx(1, abs=0.05)
    assert chosen(colours, image_hwc, 0.5, 0.9) == 0
    assert chosen(colours, image_hwc[:, ::-1].copy(), 0.9, 0.5) == 1  # it has changed places


def test_colours_that_are_half_as_distinct_count_a_quarter() -> None:
    image_hwc, mask_hw = picture(RED, BLUE)
    colours = Colours.of(bin_colours(image_hwc), mask_hw)
    half = replace(colours, distinctness=colours.distinctness / 2)
    for each, tips in ((colours, np.exp(3)), (half, np.exp(3 / 4))):  # contrasts of 1 and 0
        assert chosen(each, image_hwc, 0.9 / tips * 1.25, 0.9) == 0
        assert chosen(each, image_hwc, 0.9 / tips * 0.8, 0.9) == 1


def test_where_everything_has_one_colour_the_model_alone_decides() -> None:
    image_hwc, mask_hw = picture(GREY, GREY)
    colours = Colours.of(bin_colours(image_hwc), mask_hw)
    assert colours.distinctness == 0
    assert [chosen(colours, image_hwc, 0.5, 0.6), chosen(colours, image_hwc, 0.6, 0.5)] == [1, 0]


def test_of_two_candidates_alike_the_stable_one_is_taken() -> None:
    assert stability(OBJECT) == 1
    vague = np.where(square(8, 18, 24), 0.5, -6.0).astype(np.float32)
    vague[square(10, 20, 20)] = 6.0
    assert stability(vague) == pytest.approx(401 / 577)
    assert stability(np.full((4, 4), -1024, np.float32)) == 1  # an absent object's
    image_hwc, mask_hw = picture(GREY, GREY)
    colours, bins_hw = Colours.of(bin_colours(image_hwc), mask_hw), bin_colours(image_hwc)
    ious_m = np.array([0.7, 0.7], np.float32)
    assert choose(np.stack([vague, OBJECT]), ious_m, colours, bins_hw) == 1
    assert choose(np.stack([OBJECT, vague]), ious_m, colours, bins_hw) == 0


def test_contrast_is_of_the_inside_with_a_ring_around_it() -> None:
    seen_hw = np.full((CELLS, CELLS), 0.25, np.float32)
    seen_hw[square(10, 20, 20)] = 0.75
    assert contrast(seen_hw, square(10, 20, 20)) == pytest.approx(0.5)
    assert contrast(seen_hw, square(20, 20, 10)) < 0.4  # half of its ring is object too
    assert contrast(seen_hw, np.zeros((CELLS, CELLS), bool)) == 0
    assert contrast(seen_hw, np.ones((CELLS, CELLS), bool)) == pytest.approx(seen_hw.mean())


def test_every_colour_has_a_bin() -> None:
    rng = np.random.default_rng(0)
    image_hwc = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    bins_hw = bin_colours(image_hwc)
    assert bins_hw.shape == (SIDE, SIDE)
    assert bins_hw.min() >= 0 and bins_hw.max() < BINS and len(np.unique(bins_hw)) > 150
    assert len(np.unique(bin_colours(np.zeros((9, 5, 3), np.uint8)))) == 1  # of any size


def test_what_several_prompts_showed_counts_together() -> None:
    first, second = picture(RED, GREY), picture(BLUE, GREY)
    outputs: list[dict[str, Any]] = [{}, {}, {}]
    for out, (image_hwc, mask_hw) in zip(outputs, (first, second), strict=False):
        remember_colours(out, image_hwc, mask_hw)
    assert all(isinstance(value, torch.Tensor) for out in outputs for value in out.values())
    of_red, of_both = remembered_colours(outputs[:1]), remembered_colours(outputs)
    assert of_red is not None and of_both is not None
    assert of_both.counts_2n.sum() == 2 * of_red.counts_2n.sum() == 2 * SIDE**2
    image_hwc, _ = picture(RED, BLUE)
    seen_red, seen_both = (
        colours.find(bin_colours(image_hwc), (CELLS, CELLS)) for colours in (of_red, of_both)
    )
    red, blue, ground = (slice(22, 38), slice(12, 28)), (slice(22, 38), slice(42, 58)), (0, 0)
    assert seen_red[red].min() > 0.9 and seen_red[blue].max() < 0.1
    assert min(seen_both[red].min(), seen_both[blue].min()) > 0.9 and seen_both[ground] < 0.1


def test_an_empty_mask_shows_nothing() -> None:
    out: dict[str, Any] = {}
    remember_colours(out, picture(RED, BLUE)[0], np.zeros((2 * CELLS, 2 * CELLS), bool))
    assert not out and remembered_colours([out]) is None
