"""`overlays/`: every image with its masks drawn on."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tracker.output.export.contract import FrameMasks
from tracker.output.export.dataset import JPEG_QUALITY, Dataset

if TYPE_CHECKING:
    from tracker.output.annotate import Annotator


class Overlays(Dataset):
    """JPEGs of the images' own sizes, objects in the colours of their numbers."""

    name: ClassVar[str] = "overlay"
    file_name: ClassVar[str] = "overlays"

    def wants_image(self, index: int) -> bool:
        return True

    @property
    def problems(self) -> tuple[str, ...]:
        return ()  # a picture to look at is never split

    def write(self, frame: FrameMasks, image_hwc: NDArray[np.uint8] | None) -> None:
        assert image_hwc is not None  # it was wanted
        drawn_hwc = self._annotator(image_hwc.shape[0]).annotate(image_hwc, frame.visible)
        path = self.path(f"{self.info.stem(frame.index)}.jpg")
        Image.fromarray(drawn_hwc).save(path, quality=JPEG_QUALITY)

    @lru_cache(maxsize=8)  # noqa: B019 - an export is gone when its folder is written
    def _annotator(self, height: int) -> Annotator:
        from tracker.output.annotate import Annotator  # its library takes seconds to import

        return Annotator(height, self.info.labels)
