"""Changes of a finished run that happen as a whole or not at all, and can be undone.

    revisions/001/revision.json   what was asked, and how much work it was
    revisions/001/old/…           the files that it replaced
    revisions/001/new/…           only while its files move to their places

A revision counts from the moment its folder has its name. A process that ends before leaves the
run as it was; after, the next one to open the run finishes the moves. The same holds for undoing,
which begins by renaming the folder. Whoever changes a run holds its lock.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tracker import durable
from tracker.errors import RunError

REVISIONS = "revisions"
_UNFINISHED = ".new"


@dataclass(frozen=True)
class Revision:
    """One change of a run.

    Attributes:
        number: from 1.
        made: local time, ISO 8601.
        asked: what was asked for, one line each.
        frames_tracked: how many frames the model worked on, each object's counted.
        changed: object id to the frames that have other masks now, ascending.
    """

    number: int
    made: str
    asked: tuple[str, ...]
    frames_tracked: int
    changed: Mapping[int, tuple[int, ...]]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Revision:
        """Inverse of `to_json`. Raises KeyError or ValueError on anything else."""
        return cls(
            number=int(value["number"]),
            made=value["made"],
            asked=tuple(value["asked"]),
            frames_tracked=int(value["frames_tracked"]),
            changed={int(i): tuple(frames) for i, frames in value["changed"].items()},
        )


def list_revisions(run: Path) -> tuple[Revision, ...]:
    """The revisions of a run, the first one first. Raises RunError when one is damaged."""
    return tuple(_read(folder) for folder in _numbered(run))


def commit(
    run: Path,
    files: Mapping[str, str],
    asked: tuple[str, ...],
    frames_tracked: int,
    changed: Mapping[int, tuple[int, ...]],
) -> Revision:
    """Replace files of a run as one revision.

    Args:
        files: path inside the run to the new text; each is there already.

    Raises:
        RunError: when it cannot be written, on a full disk for instance; the run is as it was.
    """
    finish(run)
    number = len(_numbered(run)) + 1
    made = datetime.now().astimezone().isoformat(timespec="seconds")
    revision = Revision(number, made, asked, frames_tracked, changed)
    unfinished = run / REVISIONS / _UNFINISHED
    try:
        _prepare(run, unfinished, files)
        durable.write_json(unfinished / "revision.json", revision.to_json())
        folder = unfinished.rename(run / REVISIONS / f"{number:03d}")
    except BaseException as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if isinstance(error, OSError):
            raise durable.cannot_write(unfinished, error) from error
        raise
    durable.sync_folder(folder.parent)
    _move_in(run, folder)
    return revision


def undo(run: Path) -> Revision:
    """Take the newest revision back.

    Raises:
        RunError: when there is none.
    """
    finish(run)
    folders = _numbered(run)
    if not folders:
        raise RunError(f"{run} has no revision to undo")
    revision = _read(folders[-1])
    undone = folders[-1].rename(folders[-1].with_suffix(".undo"))
    durable.sync_folder(undone.parent)
    _move_back(run, undone)
    return revision


def finish(run: Path) -> None:
    """Finish or clear away what a process that was killed has left half done."""
    folder = run / REVISIONS
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        if entry.name == _UNFINISHED:
            shutil.rmtree(entry)
        elif entry.suffix == ".undo":
            _move_back(run, entry)
        elif (entry / "new").is_dir():
            _move_in(run, entry)


def is_half_done(run: Path) -> bool:
    """Whether a revision or its undoing was cut short after it began to count."""
    undone = any((run / REVISIONS).glob("*.undo"))
    return undone or any((folder / "new").is_dir() for folder in _numbered(run))


def _prepare(run: Path, folder: Path, files: Mapping[str, str]) -> None:
    """Put the old and the new state of files side by side."""
    for name, text in files.items():
        for part in ("old", "new"):
            (folder / part / name).parent.mkdir(parents=True, exist_ok=True)
        durable.write_text(folder / "old" / name, (run / name).read_text("utf-8"))
        durable.write_text(folder / "new" / name, text)


def _move_in(run: Path, folder: Path) -> None:
    for path in sorted((folder / "new").rglob("*")):
        if path.is_file():
            place = run / path.relative_to(folder / "new")
            os.replace(path, place)
            durable.sync_folder(place.parent)
    shutil.rmtree(folder / "new")


def _move_back(run: Path, folder: Path) -> None:
    for path in sorted((folder / "old").rglob("*")):
        if path.is_file():
            durable.write_text(run / path.relative_to(folder / "old"), path.read_text("utf-8"))
    shutil.rmtree(folder)


def _numbered(run: Path) -> list[Path]:
    return sorted((run / REVISIONS).glob("[0-9][0-9][0-9]"))


def _read(folder: Path) -> Revision:
    path = folder / "revision.json"
    try:
        return Revision.from_json(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
