"""Refuses a prompt that SAM2 would take without a word and answer with nonsense."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tracker.errors import PromptError
from tracker.types import NEGATIVE, POSITIVE

PointsAndBox = tuple[
    NDArray[np.float32] | None, NDArray[np.int32] | None, NDArray[np.float32] | None
]


def check_frame_index(frame: Any, frame_count: int, name: str) -> int:
    """`frame` as an int in 0 … frame_count - 1; anything else is a PromptError."""
    if not isinstance(frame, int | np.integer) or isinstance(frame, bool):
        raise PromptError(f"{name}: the frame index must be a whole number, not {frame!r}")
    if frame < 0:
        raise PromptError(f"{name}: frames count from 0")
    if frame >= frame_count:
        raise PromptError(f"{name}: the video has {frame_count} frames, 0 to {frame_count - 1}")
    return int(frame)


def check_points_and_box(
    points: Any, labels: Any, box: Any, size_wh: tuple[float, float], name: str
) -> PointsAndBox:
    """Points, labels and box as arrays, if they mark something inside an image of `size_wh`.

    Args:
        points, labels: array-likes of shape (n, 2) and (n,), or SAM2's batch of one; both or none.
            Labels are 1 (positive) and 0 (negative).
        box: array-like of four numbers X1, Y1, X2, Y2 with X1 < X2 and Y1 < Y2, or None.
        size_wh: what the coordinates have to stay inside of, in their own unit.
        name: begins the message.

    Returns:
        float32 (n, 2) and int32 (n,), both None for no point; float32 (4,) or None.

    Raises:
        PromptError: for anything else.
    """
    if (points is None) != (labels is None):
        raise PromptError(f"{name}: give points and their labels together")
    points_n2 = _array([] if points is None else points, name)
    labels_n = _array([] if labels is None else labels, name).reshape(-1)
    if points_n2.size == 0 and box is None:
        raise PromptError(f"{name}: give at least one point or a box")
    points_n2 = _checked_points(points_n2, labels_n, size_wh, name)
    box_4 = None if box is None else _checked_box(_array(box, name).reshape(-1), size_wh, name)
    if len(points_n2) == 0:
        return None, None, box_4
    return points_n2.astype(np.float32), labels_n.astype(np.int32), box_4


def check_mask(mask: Any, sizes_hw: tuple[tuple[int, int], ...], name: str) -> NDArray[np.bool_]:
    """`mask` as a bool array: two-dimensional, of one of the sizes, with a pixel set.

    Raises:
        PromptError: for anything else.
    """
    values = _array(mask, name)
    if values.ndim != 2 or values.shape not in sizes_hw:
        found = "x".join(str(n) for n in reversed(values.shape))
        height, width = sizes_hw[0]
        raise PromptError(f"{name}: the mask is {found} pixels but the video is {width}x{height}")
    if not np.isfinite(values).all():
        raise PromptError(f"{name}: mask values must be finite numbers")
    if not values.any():
        raise PromptError(f"{name}: the mask is empty; mark at least one pixel")
    return values.astype(bool)


def _checked_points(
    points: NDArray[Any], labels_n: NDArray[Any], size_wh: tuple[float, float], name: str
) -> NDArray[Any]:
    if points.size and points.shape[-1] != 2:
        raise PromptError(f"{name}: points are pairs X,Y, not an array of shape {points.shape}")
    points_n2 = points.reshape(-1, 2)
    if len(points_n2) != len(labels_n):
        raise PromptError(f"{name}: {len(points_n2)} points but {len(labels_n)} point labels")
    if not np.isfinite(points_n2).all():
        raise PromptError(f"{name}: point coordinates must be finite numbers")
    if not np.isin(labels_n, (POSITIVE, NEGATIVE)).all():
        raise PromptError(f"{name}: point labels are 1 (positive) or 0 (negative)")
    outside = ((points_n2 < 0) | (points_n2 >= np.asarray(size_wh))).any(axis=1)
    if outside.any():
        x, y = points_n2[outside][0]
        raise PromptError(f"{name}: point {x:g},{y:g} lies outside; {_size(size_wh)}")
    return points_n2


def _checked_box(
    box_4: NDArray[Any], size_wh: tuple[float, float], name: str
) -> NDArray[np.float32]:
    finite = box_4.size == 4 and bool(np.isfinite(box_4).all())
    if not finite or not (box_4[:2] < box_4[2:]).all():
        raise PromptError(f"{name}: a box is X1,Y1,X2,Y2 with X1 < X2 and Y1 < Y2")
    if (box_4[:2] < 0).any() or (box_4[2:] > np.asarray(size_wh)).any():
        corners = ",".join(f"{value:g}" for value in box_4)
        raise PromptError(f"{name}: box {corners} lies outside; {_size(size_wh)}")
    return box_4.astype(np.float32)


def _size(size_wh: tuple[float, float]) -> str:
    width, height = size_wh
    return f"coordinates run from 0,0 to {width:g},{height:g}"


def _array(values: Any, name: str) -> NDArray[Any]:
    try:
        if isinstance(values, torch.Tensor):
            values = values.detach().cpu()
        array = np.asarray(values)
        return array if array.dtype == bool else array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise PromptError(f"{name}: expected numbers, got {type(values).__name__}") from error
