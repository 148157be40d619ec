"""A bounded store of decoded frames: the newest stay, the oldest go."""

from __future__ import annotations

from tracker.types import Frame

MAX_FRAMES = 64
MAX_BYTES = 256 * 2**20


def ring_capacity(width: int, height: int) -> int:
    """How many RGB frames of this size are kept: at most 64, and 256 MiB, but one in any case."""
    return max(1, min(MAX_FRAMES, MAX_BYTES // (3 * width * height)))


class FrameRing:
    """Up to `capacity` frames by their index."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._frames: dict[int, Frame] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def get(self, index: int) -> Frame | None:
        return self._frames.get(index)

    def put(self, frame: Frame) -> None:
        """Keep `frame`; the one that was put first makes room."""
        self._frames.pop(frame.index, None)
        while len(self._frames) >= self.capacity:
            del self._frames[next(iter(self._frames))]
        self._frames[frame.index] = frame

    def clear(self) -> None:
        self._frames.clear()
