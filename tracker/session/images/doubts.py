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

CLOSE = 0.05  # a score this near to the one that was needed could have gone the other way
UNSURE_IOU = 0.6  # the decoder holds masks below for bad ones
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


def scores_needed(decisions: Iterable[Decision], beside_best: float) -> dict[str, float]:
    """The decision score that an object of each label needs on an image.

    It is the memory's own threshold, or `beside_best` times the best score of that label on the
    image if that is more: what is there for certain shows how well this object is recognised here.
    """
    needed: dict[str, float] = {}
    for each in decisions:
        best = each.score if each.accepted else 0.0
        wanted = max(each.threshold, beside_best * best)
        needed[each.label] = max(wanted, needed.get(each.label, 0.0))
    return needed


def doubts_of_decisions(decisions: Sequence[Decision], beside_best: float) -> list[Doubt]:
    """Decisions of the memory that were close, best score first; see `scores_needed`."""
    needed = scores_needed(decisions, beside_best)
    return [
        Doubt(
            "barely accepted"
            if each.accepted and each.score >= needed[each.label]
            else "barely refused",
            each.label,
            each.score,
            needed[each.label],
        )
        for each in sorted(decisions, key=lambda d: -d.score)
        if abs(each.score - needed[each.label]) < CLOSE
    ]


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
