"""`cutout/`: the objects alone, on nothing or on another background."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tracker.output.export.alpha_video import AlphaVideo
from tracker.output.export.contract import ExportInfo, FrameMasks
from tracker.output.export.dataset import Dataset
from tracker.output.export.options import DEFAULT_OPTIONS, ExportOptions
from tracker.video import VideoWriter, read_image

_FILES = {"prores": "cutout.mov", "vp9": "cutout.webm", "mp4": "cutout.mp4"}


class _Writer(Protocol):
    """What `VideoWriter` and `AlphaVideo` have in common."""

    def write(self, image_hwc: NDArray[np.uint8], pts: int) -> None: ...
    def close(self) -> None: ...
    def discard(self) -> None: ...


class Cutout(Dataset):
    """All chosen objects of a frame in one picture: `00012.png`, or one video.

    Without a background, pictures and the videos `prores` and `vp9` are RGBA with straight alpha:
    255 in the masks, 0 elsewhere, where the colour is black too, so that nothing of the frame stays
    behind. On a background they are opaque. A feather makes the edge soft on both of its sides.
    """

    name: ClassVar[str] = "cutout"
    file_name: ClassVar[str] = "cutout"

    def __init__(
        self, info: ExportInfo, folder: Path, options: ExportOptions = DEFAULT_OPTIONS
    ) -> None:
        super().__init__(info, folder, options)
        self._background: NDArray[np.uint8] | None = None  # of the size of the last frame
        self._picture: NDArray[np.uint8] | None = None
        if options.background is not None and options.background_colour is None:
            self._picture = read_image(options.background)
        self._video = None if options.cutout == "png" else self._open_video()

    def wants_image(self, index: int) -> bool:
        return True

    def write(self, frame: FrameMasks, image_hwc: NDArray[np.uint8] | None) -> None:
        assert image_hwc is not None  # it was wanted
        alpha_hw = self._alpha(frame, image_hwc)
        if self.options.background is None:
            kept_hwc = np.where(alpha_hw[..., None] > 0, image_hwc, np.uint8(0))
            cut_hwc = np.dstack([kept_hwc, alpha_hw])
        else:
            cut_hwc = self._composed(image_hwc, alpha_hw)
        if self._video is None:
            path = self.path(f"{self.info.stem(frame.index)}.png")
            Image.fromarray(cut_hwc).save(path, compress_level=3)
        else:
            self._video.write(cut_hwc, frame.pts)

    def close(self, finished: bool) -> None:
        if self._video is not None and finished:
            self._video.close()
        elif self._video is not None:
            self._video.discard()

    def _open_video(self) -> _Writer:
        video, kind = self.info.video, self.options.cutout
        path = self.path(_FILES[kind])
        writer: Callable[..., _Writer] = VideoWriter if kind == "mp4" else AlphaVideo
        return writer(
            path,
            width=video.width,
            height=video.height,
            frame_rate=video.frame_rate / self.info.stride,
            time_base=video.time_base,
        )

    def _alpha(self, frame: FrameMasks, image_hwc: NDArray[np.uint8]) -> NDArray[np.uint8]:
        inside_hw = np.zeros(image_hwc.shape[:2], dtype=bool)
        for mask in frame.objects:
            inside_hw |= mask.mask_hw
        alpha_hw = inside_hw.astype(np.uint8) * 255
        if self.options.feather:
            alpha_hw = np.asarray(cv2.GaussianBlur(alpha_hw, (0, 0), self.options.feather))
        return alpha_hw

    def _composed(
        self, image_hwc: NDArray[np.uint8], alpha_hw: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        if self._background is None or self._background.shape != image_hwc.shape:
            self._background = self._fill(image_hwc.shape)
        share = alpha_hw[..., None].astype(np.float32) / 255
        mixed = image_hwc * share + self._background * (1 - share)
        return np.rint(mixed).astype(np.uint8)

    def _fill(self, shape_hwc: tuple[int, ...]) -> NDArray[np.uint8]:
        """The background at the size of a frame; a picture covers it and is cut where too long."""
        if self._picture is None:
            return np.full(shape_hwc, self.options.background_colour, np.uint8)
        height, width = shape_hwc[:2]
        return np.asarray(ImageOps.fit(Image.fromarray(self._picture), (width, height)))
