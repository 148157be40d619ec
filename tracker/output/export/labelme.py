"""`labelme/`: one JSON file per frame, beside its picture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tracker.output.export.contract import UNNAMED, FrameMasks
from tracker.output.export.dataset import Dataset
from tracker.output.export.outlines import centre_polygons
from tracker.types import ObjectMask

_VERSION = "5.4.1"  # of labelme, whose format this is


class Labelme(Dataset):
    """Polygons, one per part of a mask; those of one object have its number as `group_id`.

    Points are pixel indices: labelme fills a polygon with its border. A hole hangs on a bridge that
    goes through the object.
    """

    name: ClassVar[str] = "labelme"
    file_name: ClassVar[str] = "labelme"

    def write(self, frame: FrameMasks, image_hwc: NDArray[np.uint8] | None) -> None:
        stem = self.info.stem(frame.index)
        height, width = self.info.size_hw(frame, image_hwc)
        document: dict[str, Any] = {
            "version": _VERSION,
            "flags": {},
            "shapes": [shape for mask in frame.visible for shape in self._shapes(mask)],
            "imagePath": self.save_picture(stem, image_hwc),
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        text = json.dumps(document, ensure_ascii=False)
        self.path(f"{stem}.json").write_text(text + "\n", "utf-8")

    def _shapes(self, mask: ObjectMask) -> Iterator[dict[str, Any]]:
        for polygon in centre_polygons(mask.mask_hw):
            yield {
                "label": self.info.labels.get(mask.object_id) or UNNAMED,
                "points": polygon.astype(float).tolist(),
                "group_id": mask.object_id,
                "description": "",
                "shape_type": "polygon",
                "flags": {"doubtful": mask.state == "doubtful"},
                "mask": None,
            }
