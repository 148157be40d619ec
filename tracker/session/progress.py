"""How a caller follows the work on a run."""

from __future__ import annotations


class Progress:
    """What a caller may want to hear while a run is made; override what is of interest."""

    def stage(self, name: str, frames: int | None) -> None:
        """A part of the work begins; `frames` is how many frames it has, if known."""

    def frame(self) -> None:
        """One more frame of this stage is done."""

    def notice(self, text: str) -> None:
        """Something the user should know, in one line."""
