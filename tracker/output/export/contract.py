"""What every output format is given, and what it must do with it: one class per format."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from tracker.types import ObjectMask, VideoInfo


@dataclass(frozen=True, eq=False)
class FrameMasks:
    """All objects on one frame of a run, without its image.

    Attributes:
        index: frame index in the source video.
        pts: presentation time stamp in units of the video's `time_base`.
        objects: object ids ascending; an object that was not tracked here is left out.
    """

    index: int
    pts: int
    objects: tuple[ObjectMask, ...]


@dataclass(frozen=True)
class ExportInfo:
    """What a format may need to know of a run before its frames.

    Attributes:
        video: the source; its width and height are those of every mask.
        labels: object id to name, for every object of the run; unnamed objects are numbered.
        frames: indices of the frames that will come, ascending.
        stride: distance between them in the source.
    """

    video: VideoInfo
    labels: Mapping[int, str]
    frames: tuple[int, ...]
    stride: int = 1

    def stem(self, index: int) -> str:
        """The file name of a frame: the source's own for a folder of images, else `00012`."""
        return self.video.stems[index] if self.video.stems else f"{index:05d}"

    def seconds(self, pts: int) -> float:
        """Presentation time in the source: `pts * time_base`."""
        return float(pts * self.video.time_base)


class Export(ABC):
    """One output format, being written: a context manager that is handed every frame in order.

    Left without an error, its output takes its final name, and an earlier one is replaced; left
    with an error, nothing of it stays. A subclass writes to `self.temporary`.

    Attributes:
        name: what a user types.
        file_name: of the file or folder that it makes in the output folder.
    """

    name: ClassVar[str]
    file_name: ClassVar[str]

    def __init__(self, info: ExportInfo, folder: Path) -> None:
        self.info = info
        self.target = folder / self.file_name
        self.temporary = folder / f".{self.file_name}.tmp"
        remove(self.temporary)

    def wants_image(self, index: int) -> bool:
        """Whether `write` needs the image of this frame; decoding is not free."""
        return False

    @abstractmethod
    def write(self, frame: FrameMasks, image_hwc: NDArray[np.uint8] | None) -> None:
        """Take the next frame. `image_hwc` is RGB uint8, or None unless some format wanted it."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be carried over as it was: one line each."""
        return ()

    def close(self, finished: bool) -> None:  # noqa: B027 - a format may have nothing to close
        """Write what is still to be written, if finished, and close what is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        finished = kind is None
        try:
            self.close(finished)
            if finished:
                remove(self.target)
                self.temporary.replace(self.target)
        finally:
            remove(self.temporary)


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
