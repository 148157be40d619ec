"""`annotated.mp4`: the video with the masks drawn onto it, and its sound."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tracker.output.export.contract import Export, ExportInfo, FrameMasks
from tracker.output.export.options import DEFAULT_OPTIONS, ExportOptions
from tracker.output.styles import OVERLAY
from tracker.video import VideoWriter

_BESIDE = "side-by-side"


class AnnotatedVideo(Export):
    """H.264 that browsers play, with the time stamps of the source and its audio streams."""

    name: ClassVar[str] = "video"
    file_name: ClassVar[str] = "annotated.mp4"

    def __init__(
        self, info: ExportInfo, folder: Path, options: ExportOptions = DEFAULT_OPTIONS
    ) -> None:
        from tracker.output.annotate import Annotator  # its library takes seconds to import

        super().__init__(info, folder, options)
        video = info.video
        self._beside = _BESIDE in options.style
        styles = tuple(style for style in options.style if style != _BESIDE) or OVERLAY
        self._annotator = Annotator(video.height, info.labels, styles)
        self._writer = VideoWriter(
            self.temporary,
            width=video.width * (2 if self._beside else 1),
            height=video.height,
            frame_rate=video.frame_rate / info.stride,
            time_base=video.time_base,
            audio_from=video.path if video.has_audio else None,
        )

    def wants_image(self, index: int) -> bool:
        return True

    def write(self, frame: FrameMasks, image_hwc: NDArray[np.uint8] | None) -> None:
        assert image_hwc is not None  # it was wanted
        drawn_hwc = self._annotator.annotate(image_hwc, frame.objects)
        if self._beside:
            drawn_hwc = np.concatenate([image_hwc, drawn_hwc], axis=1)
        self._writer.write(drawn_hwc, frame.pts)

    def close(self, finished: bool) -> None:
        if finished:
            self._writer.close()
        else:
            self._writer.discard()

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(problem.message for problem in self._writer.problems)
