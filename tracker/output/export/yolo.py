"""`yolo/` and `yolo-detect/`: pictures and labels as YOLO trainers read them."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tracker.masks import mask_box
from tracker.output.export.contract import ExportInfo, FrameMasks
from tracker.output.export.dataset import Dataset
from tracker.output.export.options import DEFAULT_OPTIONS, SPLITS, ExportOptions
from tracker.output.export.outlines import centre_polygons, join_parts
from tracker.types import ObjectMask

# Trainers draw the bridges between the parts of a mask, one pixel wide. Below this share of the
# mask's area they do no harm.
_BRIDGE_SHARE = 0.02


class Yolo(Dataset):
    """`data.yaml`, `images/<part>/` and `labels/<part>/`: one line per visible object.

    A frame without a visible object has an empty file of labels, which trainers take as background.
    Classes count from 0. Numbers are shares of width and height.
    """

    def __init__(
        self, info: ExportInfo, folder: Path, options: ExportOptions = DEFAULT_OPTIONS
    ) -> None:
        super().__init__(info, folder, options)
        self.parts_used: dict[str, None] = {}

    def write(self, frame: FrameMasks, image_hwc: NDArray[np.uint8] | None) -> None:
        part = self.options.part(self.info.place(frame.index), len(self.info.frames))
        self.parts_used[part] = None
        stem = self.info.stem(frame.index)
        self.save_picture(f"images/{part}/{stem}", image_hwc)
        lines = [
            f"{self.info.category(mask.object_id)} {' '.join(f'{v:.6g}' for v in numbers)}\n"
            for mask in frame.visible
            for numbers in self.lines(mask)
        ]
        self.path(f"labels/{part}/{stem}.txt").write_text("".join(lines), "utf-8")

    @abstractmethod
    def lines(self, mask: ObjectMask) -> Iterator[list[float]]:
        """What stands behind the class, per line."""

    def close(self, finished: bool) -> None:
        if not finished:
            return
        train = SPLITS[0]
        parts = {"train": train, "val": "val" if "val" in self.parts_used else train}
        if "test" in self.parts_used:
            parts["test"] = "test"
        rows = [f"{name}: images/{folder}" for name, folder in parts.items()]
        rows += ["names:"]
        rows += [f"  {n}: {json.dumps(name)}" for n, name in enumerate(self.info.categories)]
        self.path("data.yaml").write_text("\n".join(rows) + "\n", "utf-8")


class YoloSegment(Yolo):
    """Lines of polygons: through the centres of the outermost pixels, which is what trainers fill.

    A hole hangs on a bridge that goes through the object. Parts are joined by bridges as well, as
    long as these take no more than 2 % of the mask's area; what lies farther away gets a line of
    its own, as if it were another object.
    """

    name: ClassVar[str] = "yolo"
    file_name: ClassVar[str] = "yolo"
    splits: ClassVar[bool] = True

    _in_several_lines = 0

    def lines(self, mask: ObjectMask) -> Iterator[list[float]]:
        area = int(np.count_nonzero(mask.mask_hw))
        polygons = join_parts(centre_polygons(mask.mask_hw), area * _BRIDGE_SHARE)
        self._in_several_lines += len(polygons) > 1
        size_wh = np.array(mask.mask_hw.shape[::-1])
        for polygon in polygons:
            yield ((polygon + 0.5) / size_wh).ravel().tolist()

    @property
    def problems(self) -> tuple[str, ...]:
        if not self._in_several_lines:
            return ()
        return (f"masks in distant parts, each with a line of its own: {self._in_several_lines}",)


class YoloDetect(Yolo):
    """Lines of boxes: centre, width and height."""

    name: ClassVar[str] = "yolo-detect"
    file_name: ClassVar[str] = "yolo-detect"
    splits: ClassVar[bool] = True

    def lines(self, mask: ObjectMask) -> Iterator[list[float]]:
        box = mask_box(mask.mask_hw)
        assert box is not None
        x1, y1, x2, y2 = box
        height, width = mask.mask_hw.shape
        yield [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height]
