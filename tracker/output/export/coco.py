"""`coco/`: instances in COCO's JSON, with the keys that video readers look for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tracker.masks import encode_rle, mask_box
from tracker.output.export.contract import ExportInfo, FrameMasks
from tracker.output.export.dataset import SpooledDataset
from tracker.output.export.options import SPLITS
from tracker.output.export.outlines import edge_polygons
from tracker.output.export.spool import write_document
from tracker.types import ObjectMask

VIDEO_ID = 1


class Coco(SpooledDataset):
    """`images/` and `annotations/instances_train.json`, and `instances_val.json` … when split.

    Masks are run-length codes, or polygons along pixel edges. Image, category and annotation ids
    count from 1. `frame_id` counts the exported frames from 0, `frame_index` is the frame's index
    in the source.
    """

    name: ClassVar[str] = "coco"
    file_name: ClassVar[str] = "coco"
    splits: ClassVar[bool] = True

    _annotations = 0

    def write(self, frame: FrameMasks, image_hwc: NDArray[np.uint8] | None) -> None:
        place = self.info.place(frame.index)
        part = self.options.part(place, len(self.info.frames))
        stem = self.info.stem(frame.index)
        file_name = self.save_picture(f"images/{stem}", image_hwc)
        height, width = self.info.size_hw(frame, image_hwc)
        ids = {"video_id": VIDEO_ID, "frame_id": place}
        image = {
            "id": place + 1,
            "file_name": Path(file_name).name,
            "width": width,
            "height": height,
            **ids,
            "frame_index": frame.index,
            "time_s": round(self.info.seconds(frame.pts), 6),
        }
        self.spool.add(f"images {part}", image)
        for mask in frame.visible:
            self._annotations += 1
            head = {"id": self._annotations, "image_id": place + 1, **ids}
            self.spool.add(f"annotations {part}", {**head, **self._annotation(mask)})

    def _annotation(self, mask: ObjectMask) -> dict[str, Any]:
        if self.options.polygons:
            outline: Any = [polygon.ravel().tolist() for polygon in edge_polygons(mask.mask_hw)]
        else:
            outline = encode_rle(mask.mask_hw)
        return {
            "track_id": mask.object_id,
            "category_id": self.info.category(mask.object_id) + 1,
            "segmentation": outline,
            "area": int(np.count_nonzero(mask.mask_hw)),
            "bbox": box_xywh(mask),
            "iscrowd": 0,
            "score": round(mask.confidence, 4),
            "state": mask.state,
        }

    def write_document(self) -> None:
        head = {
            "info": {"description": self.info.sequence},
            "videos": [video_entry(self.info)],
            "categories": category_entries(self.info),
        }
        parts = SPLITS[:1] if self.options.split is None else SPLITS
        for part in parts:
            arrays = {key: self.spool.texts(f"{key} {part}") for key in ("images", "annotations")}
            write_document(self.path(f"annotations/instances_{part}.json"), head, arrays)


def box_xywh(mask: ObjectMask) -> list[int]:
    """COCO's box of a visible mask: left, top, width, height in pixels."""
    box = mask_box(mask.mask_hw)
    assert box is not None
    left, top, right, bottom = (int(value) for value in box)
    return [left, top, right - left, bottom - top]


def video_entry(info: ExportInfo) -> dict[str, Any]:
    """The one video of the file."""
    return {
        "id": VIDEO_ID,
        "name": info.sequence,
        "width": info.video.width,
        "height": info.video.height,
        "length": len(info.frames),
        "frame_rate": round(float(info.video.frame_rate / info.stride), 6),
    }


def category_entries(info: ExportInfo) -> list[dict[str, Any]]:
    """The classes, ids from 1."""
    names = enumerate(info.categories, start=1)
    return [{"id": number, "name": name, "supercategory": ""} for number, name in names]
