"""`scores.csv` and `scores.parquet`: one row per object and frame."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tracker.errors import RunError
from tracker.masks import mask_box, mask_centre
from tracker.output.export.contract import Export, ExportInfo, FrameMasks
from tracker.output.export.options import DEFAULT_OPTIONS, ExportOptions
from tracker.types import ObjectMask

# Name and type of every column; `docs/formats/tables.md` gives their units.
COLUMNS = {
    **{"frame": "int64", "time_s": "float64", "object": "int64", "label": "string"},
    **{"state": "string", "object_score": "float64", "predicted_iou": "float64"},
    **{"confidence": "float64", "appearance": "float64", "area_px": "int64"},
    **{"x1": "int64", "y1": "int64", "x2": "int64", "y2": "int64"},
    **{"centre_x": "float64", "centre_y": "float64"},
}
_ROWS_PER_GROUP = 8192


def rows(info: ExportInfo, frame: FrameMasks) -> Iterator[tuple[Any, ...]]:
    """The values of `COLUMNS` for every object of a frame; None where there is none."""
    time_s = round(info.seconds(frame.pts), 6)
    for mask in frame.objects:
        label = info.labels.get(mask.object_id, "")
        yield (frame.index, time_s, mask.object_id, label, *_measures(mask))


def _measures(mask: ObjectMask) -> tuple[Any, ...]:
    box, centre = mask_box(mask.mask_hw), mask_centre(mask.mask_hw)
    scores = (mask.object_score, mask.predicted_iou, mask.confidence)
    return (
        mask.state,
        *(round(float(score), 4) for score in scores),
        None if mask.appearance is None else round(mask.appearance, 4),
        int(np.count_nonzero(mask.mask_hw)),
        *((int(v) for v in box) if box else [None] * 4),
        *((round(v, 2) for v in centre) if centre else [None] * 2),
    )


class Scores(Export):
    """A table of what is known of each mask, as text; empty where there is no value."""

    name: ClassVar[str] = "csv"
    file_name: ClassVar[str] = "scores.csv"

    def __init__(
        self, info: ExportInfo, folder: Path, options: ExportOptions = DEFAULT_OPTIONS
    ) -> None:
        super().__init__(info, folder, options)
        self._file = self.temporary.open("w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file)
        self._rows.writerow(COLUMNS)

    def write(self, frame: FrameMasks, image_hwc: NDArray[np.uint8] | None) -> None:
        self._rows.writerows(rows(self.info, frame))

    def close(self, finished: bool) -> None:
        self._file.close()


class ParquetScores(Export):
    """The same table with typed columns; null where there is no value.

    Raises:
        RunError: when pyarrow is not installed.
    """

    name: ClassVar[str] = "parquet"
    file_name: ClassVar[str] = "scores.parquet"

    def __init__(
        self, info: ExportInfo, folder: Path, options: ExportOptions = DEFAULT_OPTIONS
    ) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError as error:
            raise RunError("parquet needs pyarrow: pip install pyarrow") from error
        super().__init__(info, folder, options)
        self._pyarrow = pyarrow
        kinds = [(name, getattr(pyarrow, kind)()) for name, kind in COLUMNS.items()]
        self._schema = pyarrow.schema(kinds)
        self._file = parquet.ParquetWriter(self.temporary, self._schema)
        self._rows: list[tuple[Any, ...]] = []

    def write(self, frame: FrameMasks, image_hwc: NDArray[np.uint8] | None) -> None:
        self._rows.extend(rows(self.info, frame))
        if len(self._rows) >= _ROWS_PER_GROUP:
            self._keep()

    def close(self, finished: bool) -> None:
        if finished:
            self._keep()
        self._file.close()

    def _keep(self) -> None:
        values = [dict(zip(COLUMNS, row, strict=True)) for row in self._rows]
        self._file.write_table(self._pyarrow.Table.from_pylist(values, self._schema))
        self._rows = []
