"""What prompts showed of an object's colours, kept in SAM2's outputs beside its memory of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from tracker.masks import BoolMask
from tracker.models.bounded_state import Output, Outputs
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
        if _COUNTS in out and out[_COUNTS].shape[1] == BINS
    ]
    return Colours.together(shown) if shown else None


def colours_of_objects(
    outputs_of_objects: Mapping[int, Outputs], outs: Sequence[Output]
) -> list[Colours | None]:
    """What the prompts of each object have shown; None for one that is prompted on this frame.

    The mask of a prompted frame was fitted, and remembered, before it could show its colours.

    Args:
        outputs_of_objects: by object index, from 0.
        outs: those of one frame, in the same order.
    """
    return [
        None
        if _COUNTS in out
        else remembered_colours(outputs_of_objects[obj_idx]["cond_frame_outputs"].values())
        for obj_idx, out in enumerate(outs)
    ]
