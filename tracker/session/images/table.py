"""What was found, in numbers: a row per object, and sums per image and over all."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.durable import write_json
from tracker.masks import mask_box, mask_centre
from tracker.session.images.found import FoundObject, ImageResult
from tracker.session.images.measuring import Measured, Measures, total
from tracker.session.images.numbering import Numbering
from tracker.video.unfinished import unfinished

COLUMNS = (
    *("image", "object", "label", "score", "predicted_iou", "source", "reference"),
    *("area_px", "area_share", "x1", "y1", "x2", "y2", "centre_x", "centre_y"),
)


@dataclass(frozen=True)
class ObjectRow:
    """One object: `values` by column, and what was measured of it, None if nothing was asked."""

    values: dict[str, Any]
    measured: Measured | None


@dataclass(frozen=True)
class ObjectTable:
    """All objects of all images.

    Attributes:
        rows: images in their order, objects in the order they were found.
        images: every image, also those without objects.
        quantities: what was measured besides the area; None when nothing was to be measured.
    """

    rows: tuple[ObjectRow, ...]
    images: tuple[str, ...]
    quantities: tuple[str, ...] | None

    @classmethod
    def of(
        cls, results: Iterable[ImageResult], numbering: Numbering, measures: Measures | None = None
    ) -> ObjectTable:
        """Tabulate; with measures, areas in cm² and quantities too."""
        rows: list[ObjectRow] = []
        images = []
        for result in results:
            images.append(result.stem)
            rows += _rows(result, numbering, measures)
        return cls(tuple(rows), tuple(images), measures.quantities if measures else None)

    @property
    def total(self) -> Measured:
        """Over all images."""
        return total([row.measured for row in self.rows if row.measured])

    def totals(self) -> Iterator[tuple[str, int, Measured]]:
        """Image, how many objects count on it, and their sums."""
        by_image: dict[str, list[ObjectRow]] = {image: [] for image in self.images}
        for row in self.rows:
            by_image[row.values["image"]].append(row)
        for image, rows in by_image.items():
            measured = [row.measured for row in rows if row.measured and row.measured.counts]
            yield image, len(measured), total(measured)

    def write(self, folder: Path) -> None:
        """`objects.csv`; if something was measured, `totals.csv` and `measures.json` too.

        Raises:
            VideoError, RunError: when a file cannot be written.
        """
        extra = () if self.quantities is None else ("area_cm2", *self.quantities)
        rows = [{**row.values, **_amounts(row.measured)} for row in self.rows]
        _write_csv(folder / "objects.csv", (*COLUMNS, *extra), rows)
        if self.quantities is None:
            return
        sums = [*self.totals()]
        sums.append(("all", sum(count for _, count, _ in sums), self.total))
        lines = [{"image": name, "objects": n, **_amounts(each)} for name, n, each in sums]
        _write_csv(folder / "totals.csv", ("image", "objects", *extra), lines)
        write_json(folder / "measures.json", self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Every object by image, and the sums if something was measured."""
        by_image: dict[str, dict[str, Any]] = {name: {"objects": []} for name in self.images}
        for row in self.rows:
            values = {k: v for k, v in row.values.items() if k != "image"}
            by_image[row.values["image"]]["objects"].append({**values, **_amounts(row.measured)})
        if self.quantities is None:
            return {"images": by_image}
        for name, _, sums in self.totals():
            by_image[name]["total"] = _amounts(sums)
        return {"images": by_image, "total": _amounts(self.total)}


def _rows(
    result: ImageResult, numbering: Numbering, measures: Measures | None
) -> Iterator[ObjectRow]:
    measured: Sequence[Measured | None] = [None] * len(result.objects)
    if measures is not None:
        measured = measures.measure([(each.label, each.mask_hw) for each in result.objects])
    ids = numbering.ids(result)
    for object_id, each, amounts in zip(ids, result.objects, measured, strict=True):
        yield ObjectRow({"image": result.stem, "object": object_id, **_values(each)}, amounts)


def _values(each: FoundObject) -> dict[str, Any]:
    box, centre = mask_box(each.mask_hw), mask_centre(each.mask_hw)
    assert box is not None and centre is not None  # a found object has a pixel
    return {
        "label": each.label or "",
        "score": round(each.score, 4),
        "predicted_iou": round(each.predicted_iou, 4),
        "source": each.source,
        "reference": (each.reference_id or "")[:12],
        "area_px": each.area_px,
        "area_share": round(each.area_px / each.mask_hw.size, 6),
        **dict(zip(("x1", "y1", "x2", "y2"), (int(v) for v in box), strict=True)),
        **dict(zip(("centre_x", "centre_y"), (round(v, 2) for v in centre), strict=True)),
    }


def _amounts(measured: Measured | None) -> dict[str, float | None]:
    if measured is None:
        return {}
    area = None if measured.area_cm2 is None else round(measured.area_cm2, 4)
    return {"area_cm2": area, **{k: round(v, 4) for k, v in measured.quantities.items()}}


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    with unfinished(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
