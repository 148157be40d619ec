"""Frames as the model wants them, made one at a time when they are asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from tracker.errors import VideoError

if TYPE_CHECKING:
    from tracker.video.pipeline import ReadAhead

UNKNOWN_LENGTH = 2**31 - 1
"""`len` of a source whose length shows only at its end.

A large constant, because SAM2 scales its pointer encodings by `min(number of frames, 16)`
(sam2_base.py:588): a length that grew while streaming would change the masks.
"""

# sam2/utils/misc.py:217, load_video_frames_from_jpg_images
_MEAN_RGB = (0.485, 0.456, 0.406)
_STD_RGB = (0.229, 0.224, 0.225)


@runtime_checkable
class FrameSource(Protocol):
    """Where frames come from: an indexed video.

    `height` and `width` are those of every frame, in pixels. `len` is the number of frames, or
    `UNKNOWN_LENGTH`. `source[index]` is RGB uint8 `hwc`, and raises IndexError past the end. A
    source with an attribute `read_ahead` is also read in a thread, so many frames before they are
    wanted.
    """

    @property
    def height(self) -> int: ...

    @property
    def width(self) -> int: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]: ...


class EndOfVideo(IndexError):
    """The source has no frame of this index, nor of any larger one."""


class VideoFileFrames:
    """A video file or a folder of images as a `FrameSource`.

    Only a folder knows its length; what a file's header claims is often wrong, so the end is where
    decoding ends.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        from tracker.video import (
            open_video,
        )  # not for those who bring frames of their own

        self._reader = open_video(Path(path))
        info = self._reader.info
        self.height, self.width = info.height, info.width
        exact = None if info.stems is None else info.frame_count
        self._length = UNKNOWN_LENGTH if exact is None else exact
        self.read_ahead = self._reader.read_ahead

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        return self._reader.read(index).image_hwc


class IteratorFrames:
    """Frames that come one after the other, from a camera or a generator, as a `FrameSource`.

    A frame is taken from the iterator when it is first asked for, never earlier; the newest are
    kept, so that a prompt can be given on one that has just been tracked.
    """

    def __init__(self, images: Iterator[NDArray[np.uint8]]) -> None:
        from tracker.video.ring import ring_capacity  # not for those who bring indexed frames

        self._images = images
        self._newest: deque[NDArray[np.uint8]] = deque(maxlen=1)
        self._count = 0
        first = self._take()
        if first is None:
            raise VideoError("the video has no frames")
        self.height, self.width = first.shape[:2]
        self._newest = deque([first], maxlen=ring_capacity(self.width, self.height))

    def __len__(self) -> int:
        return UNKNOWN_LENGTH

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        while index >= self._count:
            image_hwc = self._take()
            if image_hwc is None:
                raise IndexError(f"there are {self._count} frames, so no frame {index}")
            if image_hwc.shape[:2] != (self.height, self.width):
                raise VideoError(f"frame {self._count - 1} has another size than those before")
            self._newest.append(image_hwc)
        back = self._count - index
        if back > len(self._newest):
            raise VideoError(
                f"frame {index} is gone: of frames that come one by one the newest "
                f"{len(self._newest)} are kept"
            )
        return self._newest[-back]

    def _take(self) -> NDArray[np.uint8] | None:
        image_hwc = next(self._images, None)
        if image_hwc is None:
            return None
        image_hwc = np.array(image_hwc)  # a camera may use its buffer again
        if image_hwc.ndim != 3 or image_hwc.shape[2] != 3 or image_hwc.dtype != np.uint8:
            raise VideoError(
                f"frame {self._count} must be RGB uint8 of shape (height, width, 3), "
                f"not {image_hwc.dtype} of shape {image_hwc.shape}"
            )
        self._count += 1
        return image_hwc


def open_frames(
    source: str | PathLike[str] | FrameSource | Iterable[NDArray[np.uint8]],
) -> FrameSource:
    """`source` as a FrameSource: a path, an indexed video, or frames that come one by one.

    Raises:
        VideoError: for anything else, or a video that cannot be opened or has no frames.
    """
    if isinstance(source, str | PathLike):
        return VideoFileFrames(source)
    if isinstance(source, FrameSource):
        return source
    if isinstance(source, Iterable) and not isinstance(source, bytes):
        return IteratorFrames(iter(source))
    raise VideoError(
        "expected a path, a FrameSource (height, width, len, [index]) or an iterator of frames, "
        f"got {type(source)}"
    )


class FrameTensors:
    """`inference_state["images"]`: as many tensors as the source has frames, none of them kept.

    `images[index]` is the normalised float32 tensor of shape (3, size, size) on `device`, with the
    bits that sam2/utils/misc.py gives it: resized with Pillow (`_load_img_as_tensor`), divided by
    255, less the mean, divided by the standard deviation. The frame travels to the device as uint8,
    to a GPU from pinned memory, so that nobody waits for it.

    Attributes:
        source: of the frames.
        reads_ahead: whether frames are read before they are wanted.
    """

    def __init__(self, source: FrameSource, image_size: int, device: torch.device) -> None:
        self.source = source
        self.reads_ahead = getattr(source, "read_ahead", 0) > 0
        self._size = image_size
        self._device = device
        self._ahead: ReadAhead[torch.Tensor] | None = None
        # Divisors are tensors because CUDA multiplies by the rounded inverse of a Python number.
        self._white = torch.tensor(255.0, device=device)
        self._mean = torch.tensor(_MEAN_RGB, device=device)[:, None, None]
        self._std = torch.tensor(_STD_RGB, device=device)[:, None, None]

    def __len__(self) -> int:
        return len(self.source)

    @contextmanager
    def follow(self, order: range) -> Iterator[None]:
        """A context in which frames are asked for in this order, mostly.

        Forward only: a reader that walks backwards decodes a stretch at a time, which would push
        frames out that are still wanted.
        """
        if not self.reads_ahead or order.step != 1:
            yield
            return
        at_most = self.source.read_ahead  # type: ignore[attr-defined]
        from tracker.video.pipeline import ReadAhead

        with closing(ReadAhead(self._resized, order, at_most)) as self._ahead:
            try:
                yield
            finally:
                self._ahead = None

    def __getitem__(self, index: int) -> torch.Tensor:
        if index < 0:
            raise IndexError(f"frames count from 0, not from {index}")
        small_hwc = self._ahead.take(index) if self._ahead else self._resized(index)
        small_hwc = small_hwc.to(self._device, non_blocking=True)
        small_chw = small_hwc.permute(2, 0, 1).contiguous()
        return small_chw.float().div_(self._white).sub_(self._mean).div_(self._std)

    def _resized(self, index: int) -> torch.Tensor:
        """The frame at the model's size, RGB uint8 `hwc` on the host."""
        try:
            image_hwc = self.source[index]
        except IndexError as error:
            raise EndOfVideo(f"the video has no frame {index}") from error
        picture = Image.fromarray(image_hwc).resize((self._size, self._size))
        small_hwc = torch.from_numpy(np.array(picture))
        return small_hwc.pin_memory() if self._device.type == "cuda" else small_hwc
