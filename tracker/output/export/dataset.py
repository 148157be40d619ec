"""What data sets have in common: a folder with annotations, and the frames beside them."""

from __future__ import annotations

import csv
from abc import abstractmethod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tracker.masks import to_index_mask
from tracker.output.export.contract import Export, ExportInfo, FrameMasks
from tracker.output.export.options import DEFAULT_OPTIONS, ExportOptions
from tracker.output.export.spool import Spool

JPEG_QUALITY = 95


class Dataset(Export):
    """A folder that is filled frame by frame; every path is relative to it."""

    def __init__(
        self, info: ExportInfo, folder: Path, options: ExportOptions = DEFAULT_OPTIONS
    ) -> None:
        super().__init__(info, folder, options)
        self.temporary.mkdir(parents=True)
        self._overlapping = 0

    def wants_image(self, index: int) -> bool:
        return self.options.frames != "none"

    def picture_name(self, name: str) -> str:
        """A frame's path with its suffix, which annotations name also where it is not written.

        It is the suffix of the source's own image then, if that is a folder of images.
        """
        if self.options.frames != "none":
            return f"{name}.{self.options.frames}"
        return name + self.info.suffixes.get(Path(name).name, ".jpg")

    def path(self, name: str) -> Path:
        """A path in the folder; the folders on the way to it are made."""
        path = self.temporary / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def save_picture(self, name: str, image_hwc: NDArray[np.uint8] | None) -> str:
        """Write a frame under a name without its suffix, if frames are asked for.

        Returns:
            The name with its suffix.
        """
        file_name = self.picture_name(name)
        if self.options.frames != "none":
            assert image_hwc is not None  # it was wanted
            Image.fromarray(image_hwc).save(self.path(file_name), quality=JPEG_QUALITY)
        return file_name

    def index_mask(self, frame: FrameMasks) -> NDArray:
        """The objects in one plane, where a pixel has one owner; what that costs is counted."""
        pairs = [(mask.object_id, mask.mask_hw) for mask in frame.objects]
        index_hw = to_index_mask(pairs, *self.info.size_hw(frame))
        areas = sum(int(np.count_nonzero(mask_hw)) for _, mask_hw in pairs)
        self._overlapping += int(areas > np.count_nonzero(index_hw))
        return index_hw

    @property
    def problems(self) -> tuple[str, ...]:
        overlap = f"frames on which masks overlap, the larger number on top: {self._overlapping}"
        whole = "this format is not split: --split has no effect"
        split_in_vain = self.options.split is not None and not self.splits
        return (*((overlap,) if self._overlapping else ()), *((whole,) if split_in_vain else ()))


class SpooledDataset(Dataset):
    """A data set whose annotations are written in another order than they come."""

    def __init__(
        self, info: ExportInfo, folder: Path, options: ExportOptions = DEFAULT_OPTIONS
    ) -> None:
        super().__init__(info, folder, options)
        self.spool = Spool(self.temporary / ".spool")

    def close(self, finished: bool) -> None:
        try:
            if finished:
                self.write_document()
        finally:
            self.spool.close()

    @abstractmethod
    def write_document(self) -> None:
        """Write what was gathered."""


class FrameTable:
    """`frames.csv`: which frame of the source each number of a renumbered sequence is."""

    COLUMNS = ("number", "frame", "pts", "time_s")

    def __init__(self, path: Path, info: ExportInfo) -> None:
        self._info = info
        self._file = path.open("w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file)
        self._rows.writerow(self.COLUMNS)

    def add(self, number: int, frame: FrameMasks) -> None:
        time_s = round(self._info.seconds(frame.pts), 6)
        self._rows.writerow([number, frame.index, frame.pts, time_s])

    def close(self) -> None:
        self._file.close()
