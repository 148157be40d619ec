"""`scores.csv`: one row per object and frame."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tracker.masks import mask_box, mask_centre
from tracker.output.export.contract import Export, ExportInfo, FrameMasks
from tracker.types import ObjectMask

COLUMNS = (
    *("frame", "time_s", "object", "label", "state"),
    *("object_score", "predicted_iou", "confidence", "area_px"),
    *("x1", "y1", "x2", "y2", "centre_x", "centre_y"),
)


class Scores(Export):
    """A table of what is known of each mask; `docs/run-folder.md` explains the columns."""

    name: ClassVar[str] = "csv"
    file_name: ClassVar[str] = "scores.csv"

    def __init__(self, info: ExportInfo, folder: Path) -> None:
        super().__init__(info, folder)
        self._file = self.temporary.open("w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file)
        self._rows.writerow(COLUMNS)

    def write(self, frame: FrameMasks, image_hwc: NDArray[np.uint8] | None) -> None:
        time_s = round(self.info.seconds(frame.pts), 6)
        for mask in frame.objects:
            label = self.info.labels.get(mask.object_id, "")
            self._rows.writerow([frame.index, time_s, mask.object_id, label, *_measures(mask)])

    def close(self, finished: bool) -> None:
        self._file.close()


def _measures(mask: ObjectMask) -> list[str | int | float]:
    box, centre = mask_box(mask.mask_hw), mask_centre(mask.mask_hw)
    scores = (mask.object_score, mask.predicted_iou, mask.confidence)
    return [
        mask.state,
        *(round(score, 4) for score in scores),
        int(np.count_nonzero(mask.mask_hw)),
        *((int(v) for v in box) if box else [""] * 4),
        *((round(v, 2) for v in centre) if centre else [""] * 2),
    ]
