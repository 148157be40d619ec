"""J and F of the DAVIS benchmarks: how well masks overlap, and how well their outlines agree.

J is the intersection over union of two masks, F the agreement of their outlines
(`evaluation.boundary`). Both are averaged over the frames of an object, then over objects; J&F is
the mean of the two. Recall is the share of frames above 0.5, decay what the last quarter of the
frames lost against the first.

Definitions: Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object
Segmentation", CVPR 2016, section 5, and Pont-Tuset et al., "The 2017 DAVIS Challenge on Video
Object Segmentation", section 4 (the first and the last frame are left out: the one is given, the
other often has no object left).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tracker.errors import InputError
from tracker.evaluation.boundary import boundary_similarity
from tracker.masks import iou

RECALL_THRESHOLD = 0.5
DECAY_BINS = 4

FrameChoice = Literal["davis", "vot", "all"]
FRAME_CHOICES: tuple[str, ...] = get_args(FrameChoice)
_SCORED: dict[str, slice] = {"davis": slice(1, -1), "vot": slice(1, None), "all": slice(None)}


@dataclass(frozen=True)
class Series:
    """One measure of one object, frame by frame, 0 to 1.

    Attributes:
        per_frame: in the order of the frames; at least one.
    """

    per_frame: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.per_frame))

    @property
    def recall(self) -> float:
        """The share of the frames with more than 0.5."""
        return float(np.mean(np.array(self.per_frame) > RECALL_THRESHOLD))

    @property
    def decay(self) -> float:
        """The mean over the first quarter of the frames less that over the last; -1 to 1.

        As in the DAVIS 2017 evaluator, quarters share the frame on which they meet. Its frame
        numbers are kept in 8 bits, so above 256 frames it reads others than it means to; here
        the definition holds for any length.
        """
        last = len(self.per_frame) - 1
        edges = np.round(np.linspace(0, last, DECAY_BINS + 1) + 1e-10).astype(int)
        first_bin = self.per_frame[: edges[1] + 1]
        last_bin = self.per_frame[edges[-2] :]
        return float(np.mean(first_bin) - np.mean(last_bin))

    def to_json(self) -> dict[str, float]:
        return {"mean": self.mean, "recall": self.recall, "decay": self.decay}


@dataclass(frozen=True)
class ObjectScores:
    """One object's scores; `object_id` is the id in the truth."""

    object_id: int
    j: Series
    f: Series

    @property
    def jf(self) -> float:
        return (self.j.mean + self.f.mean) / 2


@dataclass(frozen=True)
class Scores:
    """The scores of one sequence.

    Attributes:
        objects: one entry per object of the truth, ids ascending.
        frames: names of the frames that were scored, in order.
    """

    objects: tuple[ObjectScores, ...]
    frames: tuple[str, ...]

    @property
    def j(self) -> float:
        return float(np.mean([scores.j.mean for scores in self.objects]))

    @property
    def f(self) -> float:
        return float(np.mean([scores.f.mean for scores in self.objects]))

    @property
    def jf(self) -> float:
        return (self.j + self.f) / 2

    def to_json(self) -> dict[str, Any]:
        return {
            "frames": len(self.frames),
            **summary(self.objects),
            "objects": [{"id": o.object_id, **summary([o])} for o in self.objects],
        }


def summary(objects: Iterable[ObjectScores]) -> dict[str, float]:
    """The seven figures of DAVIS 2017, each averaged over objects, by their usual names."""
    listed = list(objects)
    figures = {
        f"{name} {statistic}": float(np.mean([getattr(series, statistic) for series in all_series]))
        for name, all_series in (("J", [o.j for o in listed]), ("F", [o.f for o in listed]))
        for statistic in ("mean", "recall", "decay")
    }
    return {"J&F": (figures["J mean"] + figures["F mean"]) / 2, **figures}


def jf(
    frames: Iterable[tuple[str, NDArray, NDArray]],
    *,
    scored: FrameChoice = "davis",
    void: int | None = None,
) -> Scores:
    """Score a sequence of index masks.

    Args:
        frames: `(name, prediction_hw, truth_hw)` in order, both index masks (0 background).
            The objects are the ids that the truth has on any frame; an id that a mask lacks is
            an empty mask there, and ids that only the prediction has are not counted.
        scored: which frames count: `davis` leaves out the first and the last, `vot` the first,
            whose mask the tracker was given, `all` none.
        void: a value in the truth for pixels that are not judged: there, both masks count as
            background.

    Raises:
        InputError: when no frame or no object is left to score, or two masks differ in size.
    """
    names: list[str] = []
    rows: list[dict[int, tuple[float, float]]] = []
    ids: set[int] = set()
    for name, prediction_hw, truth_hw in frames:
        check_same_size(name, prediction_hw, truth_hw)
        if void is not None:
            prediction_hw, truth_hw = _without_void(prediction_hw, truth_hw, void)
        names.append(name)
        rows.append(_score_frame(prediction_hw, truth_hw))
        ids.update(_ids(truth_hw))
    chosen = _SCORED[scored]
    names, rows = names[chosen], rows[chosen]
    if not rows:
        left_out = {"davis": "the first and the last are left out", "vot": "the first is left out"}
        why = left_out.get(scored, "the sequence is empty")
        raise InputError(f"no frame is left to score ({why}); --frames all scores every frame")
    if not ids:
        raise InputError("the truth has no object on any frame")
    return Scores(tuple(_collect(i, rows) for i in sorted(ids)), tuple(names))


def check_same_size(name: str, prediction_hw: NDArray, truth_hw: NDArray) -> None:
    """Raise InputError unless both masks of the frame `name` have one size."""
    if prediction_hw.shape != truth_hw.shape:
        (ph, pw), (th, tw) = prediction_hw.shape, truth_hw.shape
        raise InputError(f"frame {name}: the prediction is {pw}x{ph} pixels, the truth {tw}x{th}")


def _without_void(prediction_hw: NDArray, truth_hw: NDArray, void: int) -> tuple[NDArray, NDArray]:
    judged_hw = truth_hw != void
    return np.where(judged_hw, prediction_hw, 0), np.where(judged_hw, truth_hw, 0)


def _score_frame(prediction_hw: NDArray, truth_hw: NDArray) -> dict[int, tuple[float, float]]:
    """J and F of every id on either mask; an id on neither would score (1, 1)."""
    scores = {}
    for object_id in _ids(prediction_hw) | _ids(truth_hw):
        prediction, truth = prediction_hw == object_id, truth_hw == object_id
        scores[object_id] = (iou(prediction, truth), boundary_similarity(prediction, truth))
    return scores


def _collect(object_id: int, rows: list[dict[int, tuple[float, float]]]) -> ObjectScores:
    pairs = [row.get(object_id, (1.0, 1.0)) for row in rows]
    j, f = (Series(tuple(pair[place] for pair in pairs)) for place in (0, 1))
    return ObjectScores(object_id, j, f)


def _ids(index_hw: NDArray) -> set[int]:
    return {int(i) for i in np.unique(index_hw) if i != 0}
