"""Which frames of a video are processed, and how the model sees them: without gaps, from 0."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.errors import PromptError, SettingsError
from tracker.models.frames import UNKNOWN_LENGTH
from tracker.settings import TrackSettings
from tracker.types import Frame, Prompt
from tracker.video import VideoReader


@dataclass(frozen=True)
class FrameGrid:
    """The frames `range(start, end, stride)` of a video; a frame's place in it is its position.

    Attributes:
        end: exclusive; None for the end of the video.
    """

    start: int = 0
    end: int | None = None
    stride: int = 1

    @classmethod
    def of(cls, settings: TrackSettings) -> FrameGrid:
        """The grid that settings ask for."""
        return cls(settings.start, settings.end, settings.stride)

    def frame(self, position: int) -> int:
        """The frame index at a position."""
        return self.start + position * self.stride

    def position(self, frame: int) -> int:
        """The position of a frame that lies on the grid."""
        return (frame - self.start) // self.stride

    def length(self, frame_count: int | None) -> int | None:
        """How many frames there are, if the video has `frame_count`; None if that is unknown."""
        ends = [end for end in (self.end, frame_count) if end is not None]
        return len(range(self.start, min(ends), self.stride)) if ends else None

    def by_position(self, prompts: Iterable[Prompt]) -> dict[int, dict[int, Prompt]]:
        """Object id to position to prompt, for prompts that lie on the grid."""
        places: dict[int, dict[int, Prompt]] = {}
        for prompt in prompts:
            places.setdefault(prompt.object_id, {})[self.position(prompt.frame)] = prompt
        return places

    def check(self, prompt: Prompt) -> None:
        """Raise PromptError, with a frame that would do, unless the prompt's frame is processed."""
        frame = prompt.frame
        name = f"prompt for object {prompt.object_id} on frame {frame}"
        if frame < self.start or (self.end is not None and frame >= self.end):
            end = "the end" if self.end is None else f"{self.end - 1}"
            raise PromptError(
                f"{name}: only frames {self.start} to {end} are processed; prompt one of them "
                f"(--box {prompt.object_id}@{self.start}:…), or change --start and --end"
            )
        if off := (frame - self.start) % self.stride:
            before, after = frame - off, frame - off + self.stride
            raise PromptError(
                f"{name}: every {self.stride}th frame from {self.start} is processed; prompt frame "
                f"{before} or {after}, or change --stride"
            )


class GridFrames:
    """The frames of a grid as the model's `FrameSource`; they stay in the reader, decoded once."""

    def __init__(self, video: VideoReader, grid: FrameGrid) -> None:
        """Raises SettingsError when the grid begins past the end of the video."""
        self._video = video
        self._grid = grid
        self.height, self.width = video.info.height, video.info.width
        self.read_ahead = video.read_ahead
        # What a file claims of its length may be wrong; images are counted.
        counted = video.info.frame_count if video.info.stems else None
        length = grid.length(counted)
        self._length = UNKNOWN_LENGTH if length is None else length
        try:
            video.read(grid.start)
        except IndexError as error:
            raise SettingsError(f"--start {grid.start}: {error}") from error

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, position: int) -> NDArray[np.uint8]:
        return self.frame(position).image_hwc

    def frame(self, position: int) -> Frame:
        """The frame at a position. Raises IndexError past the end."""
        if position >= self._length:
            raise IndexError(f"there is no frame at position {position}")
        return self._video.read(self._grid.frame(position))
