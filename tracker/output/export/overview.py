"""`overview.png`: a contact sheet of the run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tracker.masks import BoolMask
from tracker.output.export.contract import Export, ExportInfo, FrameMasks
from tracker.output.export.options import DEFAULT_OPTIONS, ExportOptions
from tracker.output.report import clock, contact_sheet


class Overview(Export):
    """Some frames, evenly spaced from the first to the last, with their masks drawn on."""

    name: ClassVar[str] = "overview"
    file_name: ClassVar[str] = "overview.png"

    FRAMES = 8
    WIDTH = 420  # of each picture, in pixels

    def __init__(
        self, info: ExportInfo, folder: Path, options: ExportOptions = DEFAULT_OPTIONS
    ) -> None:
        from tracker.output.annotate import Annotator  # its library takes seconds to import

        super().__init__(info, folder, options)
        video = info.video
        self._size = self.WIDTH, max(1, round(video.height * self.WIDTH / video.width))
        self._annotator = Annotator(self._size[1], info.labels)
        count = min(self.FRAMES, len(info.frames))
        places = np.linspace(0, len(info.frames) - 1, count).round().astype(int)
        self._chosen = {info.frames[place] for place in places}
        self._cells: list[tuple[NDArray[np.uint8], str, str]] = []

    def wants_image(self, index: int) -> bool:
        return index in self._chosen

    def write(self, frame: FrameMasks, image_hwc: NDArray[np.uint8] | None) -> None:
        if frame.index not in self._chosen or image_hwc is None:
            return
        # Scaled first and drawn on then, so that labels can be read.
        small_hwc = cv2.resize(image_hwc, self._size, interpolation=cv2.INTER_AREA)
        objects = [replace(mask, mask_hw=self._scaled(mask.mask_hw)) for mask in frame.objects]
        drawn_hwc = self._annotator.annotate(np.asarray(small_hwc), objects)
        time = clock(self.info.seconds(frame.pts))
        self._cells.append((drawn_hwc, self._name(frame.index), time))

    def close(self, finished: bool) -> None:
        if finished:
            sheet = contact_sheet(self._cells, title=Path(self.info.video.path).stem)
            Image.fromarray(sheet).save(self.temporary, format="PNG", compress_level=4)

    def _scaled(self, mask_hw: BoolMask) -> BoolMask:
        shares_hw = cv2.resize(mask_hw.astype(np.float32), self._size, interpolation=cv2.INTER_AREA)
        return np.asarray(shares_hw >= 0.5)

    def _name(self, index: int) -> str:
        return self.info.stem(index) if self.info.video.stems else f"frame {index}"
