"""`davis/`: the run as a sequence of DAVIS 2017."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tracker.output.export.contract import FrameMasks
from tracker.output.export.dataset import Dataset
from tracker.video import write_index_mask

# Evaluators look for this folder by name, whatever the size of the frames.
RESOLUTION = "480p"
_MOST_OBJECTS = 255


class Davis(Dataset):
    """`JPEGImages/480p/<video>/`, `Annotations/480p/<video>/` and `ImageSets/2017/{train,val}.txt`.

    Frames keep the numbers of the source.
    """

    name: ClassVar[str] = "davis"
    file_name: ClassVar[str] = "davis"

    def write(self, frame: FrameMasks, image_hwc: NDArray[np.uint8] | None) -> None:
        place = f"{RESOLUTION}/{self.info.sequence}/{self.info.stem(frame.index)}"
        self.save_picture(f"JPEGImages/{place}", image_hwc)
        write_index_mask(self.path(f"Annotations/{place}.png"), self.index_mask(frame))

    def close(self, finished: bool) -> None:
        for part in ("train", "val") if finished else ():
            self.path(f"ImageSets/2017/{part}.txt").write_text(f"{self.info.sequence}\n", "utf-8")

    @property
    def problems(self) -> tuple[str, ...]:
        many = max(self.info.labels, default=0) > _MOST_OBJECTS
        grey = "object ids above 255: frames with them are 16-bit grey, which DAVIS does not know"
        return (*super().problems, *((grey,) if many else ()))
