"""Which images a person should look at, and why."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.durable import write_json
from tracker.masks import box_iou, mask_box
from tracker.session.images.found import Doubt, FoundObject, ImageResult
from tracker.video.unfinished import unfinished

if TYPE_CHECKING:
    from tracker.memory.prompting import Decision

CLOSE = 0.05  # a decision score this near to its threshold could have gone the other way
UNSURE_IOU = 0.6  # the decoder holds masks below for bad ones
WEAK = 0.8  # an object whose score is a smaller share of the best one of its label on the image
SHARED = 0.2  # share of the smaller mask that two objects may have in common

COLUMNS = ("image", "reason", "label", "score", "threshold")


def doubts_of_masks(objects: Sequence[FoundObject]) -> list[Doubt]:
    """What the masks of one image say themselves: none, uncertain ones, overlapping ones."""
    if not objects:
        return [Doubt("nothing was found")]
    found = [
        Doubt("the mask is uncertain", each.label, each.predicted_iou, UNSURE_IOU)
        for each in objects
        if each.predicted_iou < UNSURE_IOU
    ]
    for one, other in combinations(objects, 2):
        if not _meet(one, other):  # most do not, and this is much less work
            continue
        common = np.count_nonzero(one.mask_hw & other.mask_hw) / min(one.area_px, other.area_px)
        if common > SHARED:
            reason = f"two masks overlap: {one.label or 'object'} and {other.label or 'object'}"
            found.append(Doubt(reason, one.label, float(common), SHARED))
    return found


def _meet(one: FoundObject, other: FoundObject) -> bool:
    a, b = mask_box(one.mask_hw), mask_box(other.mask_hw)
    return a is not None and b is not None and box_iou(a, b) > 0


def doubts_of_decisions(decisions: Iterable[Decision]) -> list[Doubt]:
    """Decisions of the memory that were close, and objects far less sure than their like."""
    found: list[Doubt] = []
    best: dict[str, float] = {}
    for decision in sorted(decisions, key=lambda d: -d.score):
        best.setdefault(decision.label, decision.score)
        numbers = (decision.label, decision.score)
        if abs(decision.score - decision.threshold) < CLOSE:
            reason = "barely accepted" if decision.accepted else "barely refused"
            found.append(Doubt(reason, *numbers, decision.threshold))
        elif decision.accepted and decision.score < WEAK * best[decision.label]:
            found.append(Doubt("weak beside its like", *numbers, WEAK * best[decision.label]))
    return found


def write_review(results: Iterable[ImageResult], folder: Path) -> int:
    """`review.csv` and `review.json`: a row per doubt, the images in their order.

    Returns:
        How many images are doubtful.

    Raises:
        VideoError, RunError: when a file cannot be written.
    """
    rows = [row for result in results for row in _rows(result)]
    path = folder / "review.csv"
    with unfinished(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    write_json(folder / "review.json", rows)
    return len({row["image"] for row in rows})


def _rows(result: ImageResult) -> Iterator[dict[str, Any]]:
    for doubt in result.doubts:
        numbers = {"score": doubt.score, "threshold": doubt.threshold}
        rounded = {key: None if v is None else round(v, 4) for key, v in numbers.items()}
        label = doubt.label or ""
        yield {"image": result.stem, "reason": doubt.reason, "label": label, **rounded}
