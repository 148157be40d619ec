"""What every output format is given, and what it must do with it: one class per format."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from tracker.output.export.options import DEFAULT_OPTIONS, ExportOptions
from tracker.types import ObjectMask, VideoInfo

UNNAMED = "object"  # the class of objects without a label


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

    @property
    def visible(self) -> tuple[ObjectMask, ...]:
        """The objects whose mask has a pixel."""
        return tuple(mask for mask in self.objects if mask.mask_hw.any())


@dataclass(frozen=True)
class ExportInfo:
    """What a format may need to know of a run before its frames.

    Attributes:
        video: the source; its width and height are those of every mask.
        labels: object id to name, for every object of the run; empty for an unnamed one.
        frames: indices of the frames that will come, ascending.
        stride: distance between them in the source.
        sources: paths of the images that a set of images is made of; none for a video.
    """

    video: VideoInfo
    labels: Mapping[int, str]
    frames: Sequence[int]
    stride: int = 1
    sources: tuple[Path, ...] = ()

    def stem(self, index: int) -> str:
        """The file name of a frame: the source's own for a folder of images, else `00012`."""
        return self.video.stems[index] if self.video.stems else f"{index:05d}"

    def size_hw(
        self, frame: FrameMasks, image_hwc: NDArray[np.uint8] | None = None
    ) -> tuple[int, int]:
        """Height and width of a frame; those of the video unless its picture or masks differ."""
        if image_hwc is not None:
            return image_hwc.shape[0], image_hwc.shape[1]
        for mask in frame.objects[:1]:
            return mask.mask_hw.shape[0], mask.mask_hw.shape[1]
        return self.video.height, self.video.width

    def seconds(self, pts: int) -> float:
        """Presentation time in the source: `pts * time_base`."""
        return float(pts * self.video.time_base)

    @property
    def sequence(self) -> str:
        """The video's name: of the file without its extension, or of the folder."""
        path = Path(self.video.path)
        folder = self.video.stems is not None and path.stem not in self.video.stems
        return (path.name if folder else path.stem) or "video"

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """The names of the classes, each once, in the order of the object ids."""
        return tuple(dict.fromkeys(self.labels[i] or UNNAMED for i in sorted(self.labels)))

    def category(self, object_id: int) -> int:
        """Which of `categories` an object belongs to, from 0."""
        return self._category_of[self.labels.get(object_id) or UNNAMED]

    def place(self, index: int) -> int:
        """How many of `frames` come before the frame with this index."""
        return self._place_of[index]

    @cached_property
    def suffixes(self) -> Mapping[str, str]:
        """The suffix of each of the source's images by its stem; empty for a video file."""
        sources: Iterable[Path] = self.sources
        if self.video.stems and not sources:
            folder = Path(self.video.path)
            sources = sorted(folder.iterdir()) if folder.is_dir() else ()
        return {path.stem: path.suffix for path in sources}

    @cached_property
    def _category_of(self) -> Mapping[str, int]:
        return {name: number for number, name in enumerate(self.categories)}

    @cached_property
    def _place_of(self) -> Mapping[int, int]:
        return {index: place for place, index in enumerate(self.frames)}


class Export(ABC):
    """One output format, being written: a context manager that is handed every frame in order.

    Left without an error, its output takes its final name, and an earlier one is replaced; left
    with an error, nothing of it stays. A subclass writes to `self.temporary`.

    Attributes:
        name: what a user types.
        file_name: of the file or folder that it makes in the output folder.
        splits: whether it can be split into train, val and test.
    """

    name: ClassVar[str]
    file_name: ClassVar[str]
    splits: ClassVar[bool] = False

    def __init__(
        self, info: ExportInfo, folder: Path, options: ExportOptions = DEFAULT_OPTIONS
    ) -> None:
        self.info = info
        self.options = options
        self.target = folder / self.file_name
        self.temporary = folder / f".{self.file_name}.tmp"
        self.clear(folder)

    @classmethod
    def start(cls, info: ExportInfo, folder: Path, options: ExportOptions) -> Self:
        """Make one, and leave nothing behind if that fails."""
        try:
            return cls(info, folder, options)
        except BaseException:
            cls.clear(folder)
            raise

    @classmethod
    def clear(cls, folder: Path) -> None:
        """Remove what is unfinished, and bring back what was to be replaced: a kill leaves both."""
        unfinished = f".{cls.file_name}.tmp"
        for path in (folder / unfinished, *folder.glob(f".{unfinished}.*")):
            remove(path)
        target, replaced = folder / cls.file_name, folder / f".{cls.file_name}.old"
        if replaced.exists() and not target.exists():
            replaced.rename(target)
        remove(replaced)

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
                if self.target.exists() and (self.target.is_dir() or self.temporary.is_dir()):
                    # Only a file takes the place of another in one step.
                    self.target.rename(self.target.with_name(f".{self.file_name}.old"))
                self.temporary.replace(self.target)
        finally:
            self.clear(self.target.parent)


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
