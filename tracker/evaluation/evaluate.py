"""Scores of many sequences: each read once, and all of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

from numpy.typing import NDArray

from tracker.errors import InputError
from tracker.evaluation.jf import FrameChoice, Scores, check_same_size, jf, summary
from tracker.evaluation.mots import TrackingScores, tracking_scores
from tracker.evaluation.overlaps import FrameOverlap, frame_overlap
from tracker.evaluation.sequences import Comparison, pairs


@dataclass(frozen=True)
class SequenceScores:
    """One sequence; `tracking` is None unless it was asked for."""

    name: str
    masks: Scores
    tracking: TrackingScores | None


@dataclass(frozen=True)
class Evaluation:
    """All sequences, in the order they were given; at least one."""

    sequences: tuple[SequenceScores, ...]

    @property
    def summary(self) -> dict[str, float]:
        """The figures of DAVIS over all objects: a sequence counts once per object, as there."""
        return summary(scores for s in self.sequences for scores in s.masks.objects)

    @property
    def tracking(self) -> TrackingScores | None:
        """All sequences counted as one, as MOTS does."""
        counted = [s.tracking for s in self.sequences if s.tracking]
        return reduce(add, counted) if counted else None

    def to_json(self) -> dict[str, Any]:
        sequences = [
            {"name": s.name, **s.masks.to_json(), **_tracking(s.tracking)} for s in self.sequences
        ]
        return {**self.summary, **_tracking(self.tracking), "sequences": sequences}


def evaluate(
    comparisons: Iterable[Comparison],
    *,
    scored: FrameChoice = "davis",
    void: int | None = None,
    tracking: bool = False,
    on_frame: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Score every sequence.

    Args:
        comparisons: at least one.
        scored, void: see `tracker.evaluation.jf.jf`. The tracking measures count every frame.
        tracking: whether the measures of `tracker.evaluation.mots` are wanted too.
        on_frame: called after every frame.

    Raises:
        InputError: when something cannot be scored; the message names the sequence.
    """
    done = []
    for each in comparisons:
        overlaps: list[FrameOverlap] = []
        frames = _noting(each, overlaps if tracking else None, void, on_frame)
        try:
            masks = jf(frames, scored=scored, void=void)
        except InputError as error:
            raise type(error)(f"{each.name}: {error}") from error
        tracked = tracking_scores(overlaps) if tracking else None
        done.append(SequenceScores(each.name, masks, tracked))
    return Evaluation(tuple(done))


def _noting(
    comparison: Comparison,
    overlaps: list[FrameOverlap] | None,
    void: int | None,
    on_frame: Callable[[], None],
) -> Iterator[tuple[str, NDArray, NDArray]]:
    """The frames of a comparison; how their masks overlap is added to `overlaps`."""
    for name, prediction_hw, truth_hw in pairs(comparison.prediction, comparison.truth):
        check_same_size(name, prediction_hw, truth_hw)
        if overlaps is not None:
            overlaps.append(frame_overlap(prediction_hw, truth_hw, void))
        yield name, prediction_hw, truth_hw
        on_frame()


def _tracking(scores: TrackingScores | None) -> dict[str, Any]:
    return {"tracking": scores.to_json()} if scores else {}
