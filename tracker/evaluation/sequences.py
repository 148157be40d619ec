"""Sequences of index masks, and which mask of one belongs to which of another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from numpy.typing import NDArray

from tracker.errors import InputError
from tracker.video import read_index_mask
from tracker.video.image_folder import natural_key

_LISTED = 8  # sequences named in an error message


class MaskSequence(Protocol):
    """Index masks by frame name."""

    def names(self) -> tuple[str, ...]:
        """The frames' names, in order."""

    def read(self, name: str) -> NDArray:
        """The index mask `hw` of a frame."""


OpenRun = Callable[[Path], MaskSequence | None]
"""The masks of a run folder, None for a folder that is no run."""


class MaskFolder:
    """A folder of index PNGs; a frame's name is the file's without its extension.

    Frames come in the order people count them, 2 before 10.
    """

    def __init__(self, folder: str | Path, *, literal: bool = False) -> None:
        """Raises InputError when there is no such folder, or no PNG in it.

        `literal` keeps the ids as stored; else a mask of 0 and 255 is one of 0 and 1.
        """
        self.folder = Path(folder)
        self._literal = literal
        if not self.folder.is_dir():
            raise InputError(f"{folder} is not a folder of masks")
        stems = (path.stem for path in _pngs(self.folder))
        self._names = tuple(sorted(stems, key=natural_key))
        if not self._names:
            raise InputError(f"{folder} holds no PNG")

    def names(self) -> tuple[str, ...]:
        return self._names

    def read(self, name: str) -> NDArray:
        """Raises VideoError when the file cannot be read."""
        return read_index_mask(self.folder / f"{name}.png", literal=self._literal)


@dataclass(frozen=True)
class Comparison:
    """A sequence with its prediction."""

    name: str
    prediction: MaskSequence
    truth: MaskSequence


def find_comparisons(
    prediction: Path,
    truth: Path,
    open_run: OpenRun = lambda folder: None,
    only: Collection[str] = (),
    *,
    literal: bool = False,
) -> list[Comparison]:
    """The sequences of `truth` with their predictions, by name.

    Args:
        prediction, truth: one sequence each, a folder of index PNGs or a run; or folders with one
            subfolder per sequence. The sequences are those of the truth.
        open_run: how runs are opened.
        only: of several sequences, these.
        literal: whether the truth's ids are taken as stored, see `MaskFolder`.

    Raises:
        InputError: when a folder is missing or holds no masks, a sequence has no prediction, or
            `only` names an unknown one.
    """

    def open_masks(folder: Path, literal: bool = False) -> MaskSequence:
        return open_run(folder) or MaskFolder(folder, literal=literal)

    if not truth.is_dir():
        raise InputError(f"{truth} is not a folder of masks")
    folders = [path for path in truth.iterdir() if path.is_dir() and path.name[0] != "."]
    several = {f.name: f for f in sorted(folders) if open_run(f) or next(_pngs(f), None)}
    if open_run(truth) or next(_pngs(truth), None) or not several:
        if only:
            raise InputError(f"{truth} is one sequence; there is no {sorted(only)[0]!r} to choose")
        return [Comparison(truth.name, open_masks(prediction), open_masks(truth, literal))]
    for name in only:
        if name not in several:
            raise InputError(f"{truth} holds no sequence {name!r}, only {_listed(several)}")
    chosen = {name: folder for name, folder in several.items() if not only or name in only}
    if missing := [name for name in chosen if not (prediction / name).is_dir()]:
        raise InputError(f"{prediction} lacks sequences of the truth: {_listed(missing)}")
    return [
        Comparison(name, open_masks(prediction / name), open_masks(folder, literal))
        for name, folder in chosen.items()
    ]


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


def _pngs(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("*.png") if not path.name.startswith("."))


def _listed(names: Collection[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(list(names)[:_LISTED]) + more
