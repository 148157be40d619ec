"""J and F of the DAVIS benchmarks: how well masks overlap, and how well their outlines agree.

J is the intersection over union of two masks. F is the harmonic mean of the precision and the
recall of the predicted outline's pixels, where a pixel counts when an outline pixel of the other
mask lies within a small distance. Both are averaged over the frames of an object, then over
objects; J&F is the mean of the two.

Definitions: Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object
Segmentation", CVPR 2016, section 5, and Pont-Tuset et al., "The 2017 DAVIS Challenge on Video
Object Segmentation", section 4 (the first and the last frame are left out: the one is given, the
other often has no object left).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, hypot
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.errors import InputError
from tracker.masks import BoolMask, iou

BOUNDARY_TOLERANCE = 0.008
"""How far apart matching outline pixels may lie, as a share of the image's diagonal."""


@dataclass(frozen=True)
class ObjectScores:
    """One object's scores.

    Attributes:
        object_id: the id in the truth.
        j, f: means over the frames, 0 to 1.
        j_per_frame, f_per_frame: in the order of the frames.
    """

    object_id: int
    j_per_frame: tuple[float, ...]
    f_per_frame: tuple[float, ...]

    @property
    def j(self) -> float:
        return float(np.mean(self.j_per_frame))

    @property
    def f(self) -> float:
        return float(np.mean(self.f_per_frame))

    @property
    def jf(self) -> float:
        return (self.j + self.f) / 2


@dataclass(frozen=True)
class Scores:
    """The scores of one sequence: one entry per object of the truth, ids ascending."""

    objects: tuple[ObjectScores, ...]
    frames: tuple[str, ...]

    @property
    def j(self) -> float:
        return float(np.mean([scores.j for scores in self.objects]))

    @property
    def f(self) -> float:
        return float(np.mean([scores.f for scores in self.objects]))

    @property
    def jf(self) -> float:
        return (self.j + self.f) / 2

    def to_json(self) -> dict[str, Any]:
        per_object = [
            {"id": o.object_id, "J": o.j, "F": o.f, "J&F": o.jf, "frames": len(o.j_per_frame)}
            for o in self.objects
        ]
        return {"J": self.j, "F": self.f, "J&F": self.jf, "objects": per_object}


def jf(frames: Iterable[tuple[str, NDArray, NDArray]], *, skip_ends: bool = True) -> Scores:
    """Score a sequence of index masks.

    Args:
        frames: `(name, prediction_hw, truth_hw)` in order, both index masks (0 background).
            The objects are the ids that the truth has on any frame; an id that a mask lacks is
            an empty mask there, and ids that only the prediction has are not counted.
        skip_ends: leave out the first and the last frame, as DAVIS 2017 does.

    Raises:
        InputError: when no frame or no object is left to score, or two masks differ in size.
    """
    names: list[str] = []
    rows: list[dict[int, tuple[float, float]]] = []
    ids: set[int] = set()
    for name, prediction_hw, truth_hw in frames:
        _check_same_size(name, prediction_hw, truth_hw)
        names.append(name)
        rows.append(_score_frame(prediction_hw, truth_hw))
        ids.update(_ids(truth_hw))
    if skip_ends:
        names, rows = names[1:-1], rows[1:-1]
    if not rows:
        raise InputError("no frame is left to score (the first and the last are left out)")
    if not ids:
        raise InputError("the truth has no object on any frame")
    return Scores(tuple(_collect(i, rows) for i in sorted(ids)), tuple(names))


def boundary_similarity(prediction_hw: BoolMask, truth_hw: BoolMask) -> float:
    """F: how well two masks' outlines agree, 0 to 1.

    An outline pixel matches when the other outline passes within `BOUNDARY_TOLERANCE` of the
    image's diagonal, rounded up to pixels. 1 when both outlines are empty, 0 when one is.
    """
    prediction, truth = outline(prediction_hw), outline(truth_hw)
    predicted_count, true_count = np.count_nonzero(prediction), np.count_nonzero(truth)
    if predicted_count == 0 or true_count == 0:
        return float(predicted_count == true_count)
    radius = ceil(BOUNDARY_TOLERANCE * hypot(*truth_hw.shape))
    precision = np.count_nonzero(prediction & _dilate(truth, radius)) / predicted_count
    recall = np.count_nonzero(truth & _dilate(prediction, radius)) / true_count
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def outline(mask_hw: BoolMask) -> BoolMask:
    """The pixels whose right, lower or lower right neighbour lies on the other side.

    One pixel wide, and on the pixel grid of the mask: what lies beyond the image counts as the
    same as the image's edge, so a mask that fills the image has no outline.
    """
    wider = np.pad(mask_hw, ((0, 1), (0, 1)), mode="edge")
    return (mask_hw ^ wider[:-1, 1:]) | (mask_hw ^ wider[1:, :-1]) | (mask_hw ^ wider[1:, 1:])


def _dilate(mask_hw: BoolMask, radius: int) -> BoolMask:
    """Every pixel whose distance to the mask is at most `radius`, pixel centre to centre."""
    offsets = np.arange(-radius, radius + 1)
    disk = (offsets[:, None] ** 2 + offsets[None, :] ** 2 <= radius**2).astype(np.uint8)
    return cv2.dilate(mask_hw.view(np.uint8), disk, borderValue=0).astype(bool)


def _score_frame(prediction_hw: NDArray, truth_hw: NDArray) -> dict[int, tuple[float, float]]:
    """J and F of every id on either mask; an id on neither would score (1, 1)."""
    scores = {}
    for object_id in _ids(prediction_hw) | _ids(truth_hw):
        prediction, truth = prediction_hw == object_id, truth_hw == object_id
        scores[object_id] = (iou(prediction, truth), boundary_similarity(prediction, truth))
    return scores


def _collect(object_id: int, rows: list[dict[int, tuple[float, float]]]) -> ObjectScores:
    pairs = [row.get(object_id, (1.0, 1.0)) for row in rows]
    return ObjectScores(object_id, tuple(j for j, _ in pairs), tuple(f for _, f in pairs))


def _ids(index_hw: NDArray) -> set[int]:
    return {int(i) for i in np.unique(index_hw) if i != 0}


def _check_same_size(name: str, prediction_hw: NDArray, truth_hw: NDArray) -> None:
    if prediction_hw.shape != truth_hw.shape:
        (ph, pw), (th, tw) = prediction_hw.shape, truth_hw.shape
        raise InputError(f"frame {name}: the prediction is {pw}x{ph} pixels, the truth {tw}x{th}")
