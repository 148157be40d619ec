"""Damage that shows only by what is missing: frames that never come out, files that end early."""

from __future__ import annotations

from fractions import Fraction


class LostFrames:
    """Keeps the time stamps of packets whose frames are still to come out.

    A frame that has not come out when a later one does is lost, but only after damage: some
    codecs have packets of which no frame is ever made.
    """

    def __init__(self) -> None:
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
        if self._damaged_at is None or pts < self._damaged_at:
            return []
        self._damaged_at = None
        return overtaken

    def at_end(self) -> list[int]:
        """The time stamps of the frames that are lost, now that no more will come."""
        return [] if self._damaged_at is None else sorted(self._awaited)


def early_end(end: Fraction, promised: Fraction | None, frame_rate: Fraction) -> str | None:
    """What to say when the last frame ends at `end` seconds though `promised` are announced."""
    if promised is None or end >= promised - Fraction(3, 2) / frame_rate:
        return None
    return f"the file ends early: its frames stop at {float(end):.3f} s of {float(promised):.3f} s"
