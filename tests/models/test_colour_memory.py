"""What prompts showed of an object's colours, in SAM2's outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tests.made_pictures import BLUE, GREY, RED, picture
from tracker.models.colour_memory import colours_of_objects, remember_colours, remembered_colours
from tracker.prompted_colours import Colours


def test_it_is_kept_as_tensors_and_read_together() -> None:
    outputs: list[dict[str, Any]] = [{}, {}, {}]
    prompts = picture(RED, GREY), picture(BLUE, GREY)
    for out, prompt in zip(outputs, prompts, strict=False):
        remember_colours(out, *prompt)
    assert all(isinstance(value, torch.Tensor) for out in outputs for value in out.values())
    together = Colours.together([Colours.of(*prompt) for prompt in prompts])
    read = remembered_colours(outputs)
    assert read is not None and np.isclose(read.distinctness, together.distinctness)
    np.testing.assert_array_equal(read.counts_2n, together.counts_2n)


def test_an_empty_mask_shows_nothing() -> None:
    out: dict[str, Any] = {}
    image_hwc, mask_hw = picture(RED, BLUE)
    remember_colours(out, image_hwc, np.zeros_like(mask_hw))
    assert not out and remembered_colours([out]) is None


def test_what_was_counted_in_other_bins_is_left_out() -> None:
    old: dict[str, Any] = {}
    remember_colours(old, *picture(RED, BLUE))
    for key, value in old.items():
        old[key] = value[:, :726] if value.ndim == 2 else value
    assert remembered_colours([old]) is None
    new: dict[str, Any] = {}
    remember_colours(new, *picture(RED, BLUE))
    read = remembered_colours([old, new])
    assert read is not None
    np.testing.assert_array_equal(read.counts_2n, Colours.of(*picture(RED, BLUE)).counts_2n)


def test_a_frame_takes_the_colours_of_the_prompts_before_it() -> None:
    red: dict[str, Any] = {}
    blue: dict[str, Any] = {}
    tracked: dict[str, Any] = {}
    remember_colours(red, *picture(RED, BLUE))
    remember_colours(blue, *picture(BLUE, RED))
    objects: Any = {0: {"cond_frame_outputs": {0: red}}, 1: {"cond_frame_outputs": {5: blue}}}
    first, second = colours_of_objects(objects, [tracked, tracked])
    assert first is not None and second is not None
    np.testing.assert_array_equal(first.counts_2n, Colours.of(*picture(RED, BLUE)).counts_2n)
    np.testing.assert_array_equal(second.counts_2n, Colours.of(*picture(BLUE, RED)).counts_2n)
    prompted_now, other = colours_of_objects(objects, [red, tracked])
    assert prompted_now is None and other is not None
