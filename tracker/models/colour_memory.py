"""What prompts showed of an object's colours, kept in SAM2's outputs beside its memory of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from tracker.masks import BoolMask
from tracker.models.bounded_state import Output
from tracker.prompted_colours import BINS, Colours

_COUNTS, _DISTINCTNESS = "colour_counts", "colour_distinctness"  # keys of outputs


def remember_colours(out: Output, image_hwc: NDArray[np.uint8], mask_hw: BoolMask) -> None:
    """Add to the output of a prompted frame what it shows of its object; as tensors, to be kept.

    Nothing when the mask is empty.
    """
    if not mask_hw.any():
        return
    colours = Colours.of(image_hwc, mask_hw)
    out[_COUNTS] = torch.from_numpy(colours.counts_2n)
    out[_DISTINCTNESS] = torch.tensor(colours.distinctness)


def remembered_colours(prompted: Iterable[Output]) -> Colours | None:
    """What all prompts of an object showed; None when nothing was added to any of these outputs.

    What was counted in other bins, by another version of this package, is left out.
    """
    shown = [
        Colours(out[_COUNTS].cpu().numpy(), float(out[_DISTINCTNESS]))
        for out in prompted
        if shows_colours(out) and out[_COUNTS].shape[1] == BINS
    ]
    return Colours.together(shown) if shown else None


def shows_colours(out: Output) -> bool:
    """Whether something was added to this output."""
    return _COUNTS in out
