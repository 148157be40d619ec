"""Scores as CSV: a row per object, or a row per object and frame."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tracker.evaluation.evaluate import Evaluation
from tracker.evaluation.jf import summary
from tracker.video.unfinished import unfinished

FIGURES = ("J&F", "J mean", "J recall", "J decay", "F mean", "F recall", "F decay")
_DIGITS = 6


def write_object_table(evaluation: Evaluation, path: str | Path) -> None:
    """One row per sequence and object, one per sequence (object `mean`), and one for everything.

    Raises:
        VideoError: when the file cannot be written; it is complete or absent.
    """
    _write(Path(path), ("sequence", "object", *FIGURES), _object_rows(evaluation))


def write_frame_table(evaluation: Evaluation, path: str | Path) -> None:
    """One row per sequence, scored frame and object, with its J and F.

    Raises:
        VideoError: when the file cannot be written; it is complete or absent.
    """
    _write(Path(path), ("sequence", "frame", "object", "J", "F"), _frame_rows(evaluation))


def figure_rows(evaluation: Evaluation) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Sequence, object and figures: every object, every sequence's mean, and the mean of all."""
    for sequence in evaluation.sequences:
        for scores in sequence.masks.objects:
            yield sequence.name, str(scores.object_id), summary([scores])
        yield sequence.name, "mean", summary(sequence.masks.objects)
    yield "all", "mean", evaluation.summary


def _object_rows(evaluation: Evaluation) -> Iterator[list[str | float]]:
    for sequence, name, figures in figure_rows(evaluation):
        yield [sequence, name, *(round(figures[figure], _DIGITS) for figure in FIGURES)]


def _frame_rows(evaluation: Evaluation) -> Iterator[list[str | float]]:
    for sequence in evaluation.sequences:
        for place, frame in enumerate(sequence.masks.frames):
            for scores in sequence.masks.objects:
                values = (scores.j.per_frame[place], scores.f.per_frame[place])
                numbers = (round(value, _DIGITS) for value in values)
                yield [sequence.name, frame, scores.object_id, *numbers]


def _write(path: Path, columns: Sequence[str], rows: Iterable[list[str | float]]) -> None:
    with unfinished(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
