"""`mot/` and `mots/`: boxes and masks as the MOTChallenge has them."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tracker.errors import RunError
from tracker.masks import encode_rle, mask_box
from tracker.output.export.contract import ExportInfo, FrameMasks
from tracker.output.export.dataset import Dataset, FrameTable
from tracker.output.export.options import DEFAULT_OPTIONS, ExportOptions
from tracker.video import write_index_mask

OBJECTS_PER_CLASS = 1000  # a MOTS id is 1000 x class + number of the object
_MOST_CLASSES = 64  # their ids must fit into 16 bits


class _Sequence(Dataset):
    """`<video>/` with `gt/gt.txt`, `seqinfo.ini`, `labels.txt`, `frames.csv` and `img1/`.

    Frames are numbered from 1 without gaps; `frames.csv` tells which frame of the source each is.
    """

    def __init__(
        self, info: ExportInfo, folder: Path, options: ExportOptions = DEFAULT_OPTIONS
    ) -> None:
        super().__init__(info, folder, options)
        self._gt = self._inside("gt/gt.txt").open("w", encoding="utf-8")
        self._frames = FrameTable(self._inside("frames.csv"), info)

    def write(self, frame: FrameMasks, image_hwc: NDArray[np.uint8] | None) -> None:
        number = self.info.place(frame.index) + 1
        self.save_picture(f"{self.info.sequence}/img1/{number:06d}", image_hwc)
        self._frames.add(number, frame)
        self._gt.writelines(f"{row}\n" for row in self._rows(number, frame))

    @abstractmethod
    def _rows(self, number: int, frame: FrameMasks) -> list[str]:
        """The lines of one frame."""

    def close(self, finished: bool) -> None:
        self._gt.close()
        self._frames.close()
        if finished:
            self._inside("labels.txt").write_text("\n".join(self.info.categories) + "\n", "utf-8")
            self._inside("seqinfo.ini").write_text(self._seqinfo(), "utf-8")

    def _inside(self, name: str) -> Path:
        return self.path(f"{self.info.sequence}/{name}")

    def _seqinfo(self) -> str:
        video = self.info.video
        entries = {
            "name": self.info.sequence,
            "imDir": "img1",
            # Readers take a whole number; the exact times are in frames.csv.
            "frameRate": max(1, round(video.frame_rate / self.info.stride)),
            "seqLength": len(self.info.frames),
            "imWidth": video.width,
            "imHeight": video.height,
            "imExt": Path(self.picture_name("000001")).suffix,
        }
        return "[Sequence]\n" + "".join(f"{key}={value}\n" for key, value in entries.items())


class Mot(_Sequence):
    """Lines `frame, id, left, top, width, height, 1, class, visibility`.

    As in the MOTChallenge, frames, ids, classes and pixels count from 1: a box at the left edge of
    the picture has left = 1. Visibility is 1 for a visible object and 0.5 for a doubtful one.
    """

    name: ClassVar[str] = "mot"
    file_name: ClassVar[str] = "mot"

    def _rows(self, number: int, frame: FrameMasks) -> list[str]:
        rows = []
        for mask in frame.visible:
            box = mask_box(mask.mask_hw)
            assert box is not None
            x1, y1, x2, y2 = (int(value) for value in box)
            class_id = self.info.category(mask.object_id) + 1
            visibility = 1 if mask.state == "visible" else 0.5
            place = f"{x1 + 1},{y1 + 1},{x2 - x1},{y2 - y1}"
            rows.append(f"{number},{mask.object_id},{place},1,{class_id},{visibility}")
        return rows


class Mots(_Sequence):
    """Lines `frame id class height width rle`, and the same as 16-bit PNGs in `instances/`.

    An id is 1000 x class + object number, classes from 1. Masks do not overlap: where they do in
    the run, the larger object number is on top.

    Raises:
        RunError: when numbers of objects or classes do not fit into such ids.
    """

    name: ClassVar[str] = "mots"
    file_name: ClassVar[str] = "mots"

    def __init__(
        self, info: ExportInfo, folder: Path, options: ExportOptions = DEFAULT_OPTIONS
    ) -> None:
        largest = max(info.labels, default=0)
        if largest >= OBJECTS_PER_CLASS or len(info.categories) > _MOST_CLASSES:
            raise RunError(
                f"mots has room for object numbers up to 999 and {_MOST_CLASSES} labels; choose "
                "fewer with --only"
            )
        super().__init__(info, folder, options)

    def _rows(self, number: int, frame: FrameMasks) -> list[str]:
        index_hw = self.index_mask(frame)
        ids_hw = np.zeros(index_hw.shape, np.uint16)
        rows = []
        for mask in frame.visible:
            own_hw = index_hw == mask.object_id
            if not own_hw.any():
                continue
            class_id = self.info.category(mask.object_id) + 1
            track_id = class_id * OBJECTS_PER_CLASS + mask.object_id
            ids_hw[own_hw] = track_id
            rle = encode_rle(own_hw)
            height, width = rle["size"]
            rows.append(f"{number} {track_id} {class_id} {height} {width} {rle['counts']}")
        write_index_mask(self._inside(f"instances/{number:06d}.png"), ids_hw)
        return rows
