"""`annotated.mp4`: the video with the masks drawn onto it, and its sound."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tracker.output.export.contract import Export, ExportInfo, FrameMasks
from tracker.video import VideoWriter


class AnnotatedVideo(Export):
    """H.264 that browsers play, with the time stamps of the source and its audio streams."""

    name: ClassVar[str] = "video"
    file_name: ClassVar[str] = "annotated.mp4"

    def __init__(self, info: ExportInfo, folder: Path) -> None:
        from tracker.output.annotate import Annotator  # its library takes seconds to import

        super().__init__(info, folder)
        video = info.video
        self._annotator = Annotator(video.height, info.labels)
        self._writer = VideoWriter(
            self.temporary,
            width=video.width,
            height=video.height,
            frame_rate=video.frame_rate / info.stride,
            time_base=video.time_base,
            audio_from=video.path if video.has_audio else None,
        )

    def wants_image(self, index: int) -> bool:
        return True

    def write(self, frame: FrameMasks, image_hwc: NDArray[np.uint8] | None) -> None:
        assert image_hwc is not None  # it was wanted
        self._writer.write(self._annotator.annotate(image_hwc, frame.objects), frame.pts)

    def close(self, finished: bool) -> None:
        if finished:
            self._writer.close()
        else:
            self._writer.discard()

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(problem.message for problem in self._writer.problems)
