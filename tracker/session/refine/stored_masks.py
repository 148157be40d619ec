"""The masks of a finished run: read one object at a time, changed frame by frame."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from tracker.errors import RunError
from tracker.session.grid import FrameGrid
from tracker.session.run_folder import MASKLETS, RunFolder, chunk_name, from_entry, to_entry
from tracker.types import ObjectMask

Line = dict[str, Any]


class StoredObject(Mapping[int, ObjectMask]):
    """One object's masks by position, read from its run when they are asked for."""

    def __init__(self, run: RunFolder, grid: FrameGrid, object_id: int) -> None:
        self._run = run
        self._grid = grid
        self._object_id = object_id
        self._lines = lru_cache(2)(self._read)

    def __getitem__(self, position: int) -> ObjectMask:
        frame = self._grid.frame(position)
        for entry in self._lines(chunk_name(frame)).get(frame, ()):
            if entry["id"] == self._object_id:
                return from_entry(entry)
        raise KeyError(position)

    def __iter__(self) -> Iterator[int]:
        for frame in self._run.frame_indices:
            position = self._grid.position(frame)
            if position in self:
                yield position

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, position: object) -> bool:
        frame = self._grid.frame(position)  # type: ignore[arg-type]
        entries = self._lines(chunk_name(frame)).get(frame, ())
        return any(entry["id"] == self._object_id for entry in entries)

    def _read(self, chunk: str) -> dict[int, list[Line]]:
        return {line["frame"]: line["objects"] for line, _ in _lines(self._run, chunk)}


class ChangedMasks:
    """What a correction makes of a run's masks; nothing is written here.

    A mask that is not different from the stored one is no change.
    """

    def __init__(self, run: RunFolder, grid: FrameGrid) -> None:
        self._run = run
        self._grid = grid
        self._entries: dict[int, dict[int, Line | None]] = {}  # by frame, by object

    def put(self, position: int, mask: ObjectMask) -> None:
        """The object has this mask now."""
        self._entries.setdefault(self._grid.frame(position), {})[mask.object_id] = to_entry(mask)

    def clear(self, position: int, object_id: int) -> None:
        """The object is absent now."""
        self._entries.setdefault(self._grid.frame(position), {})[object_id] = None

    def files(self) -> tuple[dict[str, str], dict[int, tuple[int, ...]]]:
        """The new text of every masklet file that changes, and the frames that do, by object.

        A line on which nothing changes keeps its bytes.
        """
        files: dict[str, str] = {}
        changed: dict[int, list[int]] = {}
        for chunk in sorted({chunk_name(frame) for frame in self._entries}):
            texts = []
            for line, text in _lines(self._run, chunk):
                new = self._entries.get(line["frame"], {})
                different = {i: e for i, e in new.items() if _entry(line, i) != e}
                for object_id in different:
                    changed.setdefault(object_id, []).append(line["frame"])
                texts.append(_replaced(line, different) if different else text)
            files[f"{MASKLETS}/{chunk}"] = "".join(f"{text}\n" for text in texts)
        names = {f"{MASKLETS}/{chunk_name(f)}" for frames in changed.values() for f in frames}
        return (
            {name: text for name, text in files.items() if name in names},
            {object_id: tuple(frames) for object_id, frames in sorted(changed.items())},
        )


def _lines(run: RunFolder, chunk: str) -> list[tuple[Line, str]]:
    """The lines of a masklet file, read and as they stand; none if there is no such file."""
    path = run.path / MASKLETS / chunk
    try:
        return [(json.loads(text), text) for text in path.read_text("utf-8").splitlines()]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is damaged: {error}") from error


def _entry(line: Line, object_id: int) -> Line | None:
    return next((entry for entry in line["objects"] if entry["id"] == object_id), None)


def _replaced(line: Line, entries: Mapping[int, Line | None]) -> str:
    objects = {entry["id"]: entry for entry in line["objects"]} | dict(entries)
    kept = [entry for _, entry in sorted(objects.items()) if entry is not None]
    return json.dumps({**line, "objects": kept}, allow_nan=False)
