"""Sequences of index masks, and which mask of one belongs to which of another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from numpy.typing import NDArray

from tracker.errors import InputError
from tracker.video import read_index_mask


class MaskSequence(Protocol):
    """Index masks by frame name."""

    def names(self) -> tuple[str, ...]:
        """The frames' names, in order."""

    def read(self, name: str) -> NDArray:
        """The index mask `hw` of a frame."""


class MaskFolder:
    """A folder of index PNGs; a frame's name is the file's without its extension."""

    def __init__(self, folder: str | Path) -> None:
        """Raises InputError when there is no such folder, or no PNG in it."""
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise InputError(f"{folder} is not a folder of masks")
        self._names = tuple(sorted(path.stem for path in self.folder.glob("*.png")))
        if not self._names:
            raise InputError(f"{folder} holds no PNG")

    def names(self) -> tuple[str, ...]:
        return self._names

    def read(self, name: str) -> NDArray:
        """Raises VideoError when the file cannot be read."""
        return read_index_mask(self.folder / f"{name}.png")


def pairs(prediction: MaskSequence, truth: MaskSequence) -> Iterator[tuple[str, NDArray, NDArray]]:
    """Name, prediction and truth of every frame that the truth has, read when it is asked for.

    Raises:
        InputError: when the prediction lacks one of them.
    """
    missing = sorted(set(truth.names()) - set(prediction.names()))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(f"the prediction has no mask for frame {missing[0]}{more} of the truth")
    for name in truth.names():
        yield name, prediction.read(name), truth.read(name)
