"""What every decoder offers to `VideoReader`: walks over the pictures of one video.

A decoder knows one kind of source (a container read by PyAV or decord, a folder of images). It
keeps no pictures: holding them is the reader's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tracker.types import VideoInfo


@dataclass(frozen=True)
class DecodeProblem:
    """Something that was damaged and skipped, or otherwise not as it should be.

    Attributes:
        time_s: where, in seconds of presentation time (`pts * time_base`); None if unknown.
        message: one line.
    """

    time_s: float | None
    message: str


class ProblemList(list[DecodeProblem]):
    """The problems of one source, in the order they were met, each once."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[DecodeProblem] = set()

    def report(self, time_s: float | None, message: str) -> None:
        """Append, unless a walk over the same place has already met the same problem."""
        problem = DecodeProblem(time_s, message)
        if problem not in self._seen:
            self._seen.add(problem)
            self.append(problem)


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded frame whose conversion to RGB waits until somebody wants it.

    Attributes:
        index: position in decoding order, from 0.
        pts: presentation time stamp, strictly rising, in units of `VideoInfo.time_base`.
        to_rgb: makes the upright RGB uint8 `hwc` image; call it before the walk goes on.
    """

    index: int
    pts: int
    to_rgb: Callable[[], NDArray[np.uint8]]


class Decoder(Protocol):
    """One open video.

    Attributes:
        info: size, rates and origin of the video.
        problems: grows while pictures are decoded.
        packets_decoded: how many packets (encoded frames) were handed to the decoder so far,
            all walks together; no more frames than that can have been decoded.
    """

    info: VideoInfo
    problems: ProblemList
    packets_decoded: int

    def walk(self, first: int) -> Iterator[Picture]:
        """The pictures from `walk_start(first)` on, in order, to the end of the video.

        A new walk ends the one before it.
        """

    def walk_start(self, first: int) -> int:
        """The index of an existing picture, `first` or before, where decoding can begin."""

    def close(self) -> None:
        """Let the source go."""
