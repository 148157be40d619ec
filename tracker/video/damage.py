"""Damage that shows only by what is missing: frames that never come out, files that end early."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path


class LostFrames:
    """Keeps the time stamps of packets whose frames are still to come out.

    A frame that has not come out when a later one does is lost.

    Args:
        only_after_damage: believe that only after a damaged packet, because the source may have
            packets of which no frame is ever made.
    """

    def __init__(self, only_after_damage: bool) -> None:
        self._only_after_damage = only_after_damage
        self._awaited: list[int] = []
        self._damaged_at: int | None = None

    def packet_sent(self, pts: int) -> None:
        self._awaited.append(pts)

    def packet_damaged(self, pts: int) -> None:
        self._damaged_at = pts if self._damaged_at is None else max(pts, self._damaged_at)

    def frame_came_out(self, pts: int) -> list[int]:
        """The time stamps of the frames that are lost, now that the frame at `pts` is there."""
        overtaken = sorted(t for t in self._awaited if t < pts)
        self._awaited = [t for t in self._awaited if t > pts]
        if not self._only_after_damage:
            return overtaken
        if self._damaged_at is None or pts < self._damaged_at:
            return []
        self._damaged_at = None
        return overtaken

    def at_end(self) -> list[int]:
        """The time stamps of the frames that are lost, now that no more will come."""
        if self._only_after_damage and self._damaged_at is None:
            return []
        return sorted(self._awaited)


def early_end(end: Fraction, promised: Fraction | None, frame_rate: Fraction) -> str | None:
    """What to say when the last frame ends at `end` seconds though `promised` are announced."""
    if promised is None or end >= promised - Fraction(3, 2) / frame_rate:
        return None
    return f"the file ends early: its frames stop at {float(end):.3f} s of {float(promised):.3f} s"


def lacks_trailer(gif: Path) -> bool:
    """Whether a GIF stops before its end mark, the byte 3B (GIF89a, section 27)."""
    with open(gif, "rb") as file:
        file.seek(-1, 2)
        return file.read(1) != b";"
