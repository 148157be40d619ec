"""`masks/00000.png`: one index mask per frame, with a palette."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tracker.masks import to_index_mask
from tracker.output.export.contract import Export, ExportInfo, FrameMasks
from tracker.video import write_index_mask


class IndexMasks(Export):
    """PNGs in which 0 is background and every other value an object id, in DAVIS's colours.

    Every frame of the run has one, named as in the source when that is a folder of images, else by
    its index in five digits. Where masks overlap, the larger id is on top. 8 bit, or 16 bit without
    a palette when an id exceeds 255.
    """

    name: ClassVar[str] = "png"
    file_name: ClassVar[str] = "masks"

    def __init__(self, info: ExportInfo, folder: Path) -> None:
        super().__init__(info, folder)
        self.temporary.mkdir(parents=True)

    def write(self, frame: FrameMasks, image_hwc: NDArray[np.uint8] | None) -> None:
        pairs = [(mask.object_id, mask.mask_hw) for mask in frame.objects]
        index_hw = to_index_mask(pairs, self.info.video.height, self.info.video.width)
        write_index_mask(self.temporary / f"{self.info.stem(frame.index)}.png", index_hw)
