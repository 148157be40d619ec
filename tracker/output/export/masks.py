"""`masks/00000.png`: one index mask per frame; `objects/`: one binary mask per object and frame."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tracker.output.export.contract import FrameMasks
from tracker.output.export.dataset import Dataset
from tracker.video import write_index_mask


class IndexMasks(Dataset):
    """PNGs in which 0 is background and every other value an object id, in DAVIS's colours.

    Every frame of the run has one, named as in the source when that is a folder of images, else by
    its index in five digits. Where masks overlap, the larger id is on top. 8 bit, or 16 bit without
    a palette when an id exceeds 255.
    """

    name: ClassVar[str] = "png"
    file_name: ClassVar[str] = "masks"

    def wants_image(self, index: int) -> bool:
        return False

    def write(self, frame: FrameMasks, image_hwc: NDArray[np.uint8] | None) -> None:
        path = self.path(f"{self.info.stem(frame.index)}.png")
        write_index_mask(path, self.index_mask(frame))


class ObjectMasks(Dataset):
    """PNGs of 0 and 255, in two orders: `by-frame/00012/3.png` and `by-object/3/00012.png`.

    An object that was tracked but is not visible has an empty mask. Masks may overlap.
    """

    name: ClassVar[str] = "png-per-object"
    file_name: ClassVar[str] = "objects"

    def wants_image(self, index: int) -> bool:
        return False

    def write(self, frame: FrameMasks, image_hwc: NDArray[np.uint8] | None) -> None:
        stem = self.info.stem(frame.index)
        self.path(f"by-frame/{stem}").mkdir()
        for mask in frame.objects:
            picture = Image.fromarray(mask.mask_hw.astype(np.uint8) * 255)
            path = self.path(f"by-frame/{stem}/{mask.object_id}.png")
            picture.save(path, compress_level=3)
            copy = self.path(f"by-object/{mask.object_id}/{stem}.png")
            copy.write_bytes(path.read_bytes())
