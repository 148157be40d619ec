"""Writes a run folder while a video is being tracked; one writer per run."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tracker import durable
from tracker.errors import RunError
from tracker.output.export import FORMATS
from tracker.output.export.contract import FrameMasks, remove
from tracker.session.lock import Lock, check_not_locked
from tracker.session.prompts_file import prompts_text
from tracker.session.refine import revisions
from tracker.session.run_folder import (
    CHUNK_FRAMES,
    CONTACT,
    LOCK,
    MASKLETS,
    PROMPTS,
    REVIEW,
    RUN,
    SNAPSHOTS,
    TIMELINE,
    chunk_name,
    is_run,
    read_chunk,
    read_run_info,
    to_line,
)
from tracker.session.run_info import RunInfo
from tracker.types import FrameResult, Prompt


def check_target(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that a run must not be written to. Nothing is changed.

    Raises:
        RunError: when it holds a run and `overwrite` is off, is in use by another process, or
            holds anything that is not a run.
    """
    try:
        entries = {entry.name for entry in folder.iterdir()} - {LOCK}
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunError(f"{folder} cannot be a run folder: {error.strerror or error}") from error
    check_not_locked(folder / LOCK)
    if entries and not is_run(folder):
        raise RunError(f"{folder} exists and is not a run; name another folder with --output")
    if entries and not overwrite:
        raise RunError(
            f"{folder} holds a run; --overwrite replaces it, --resume goes on with it, --output "
            "names another folder"
        )


class RunWriter:
    """A context manager that takes results in any order and keeps what is complete.

    A frame that comes again replaces the objects that it brings; the others keep their masks. On
    leaving, the run's status becomes `complete`, `interrupted` or `failed`.
    """

    def __init__(
        self, folder: str | Path, info: RunInfo, prompts: Iterable[Prompt], overwrite: bool = False
    ) -> None:
        """Make the folder, or take the place of the run that is there.

        Raises:
            RunError: as `check_target`, and when the folder cannot be written.
        """
        check_target(Path(folder), overwrite)
        self._take(Path(folder), info)
        try:
            self.restart(prompts)
        except BaseException as error:
            if self._begun:
                self._end_early(error)
            self._lock.release()
            raise

    @classmethod
    def reopen(cls, folder: str | Path) -> Self:
        """Take the run that is there; its masks and its status change once `go_on` is called.

        Raises:
            RunError: when there is none, or another process is at work on it.
        """
        writer = cls.__new__(cls)
        writer._take(Path(folder), read_run_info(Path(folder)))
        try:
            revisions.finish(writer.folder)
            writer.reload()
        except BaseException:
            writer._lock.release()
            raise
        return writer

    def reload(self) -> None:
        """Take `run.json` as it is on disk now."""
        self.info = read_run_info(self.folder)

    def go_on(self) -> None:
        """The run is under way again."""
        self._begun = True
        self.note(status="running", error=None)

    def _take(self, folder: Path, info: RunInfo) -> None:
        self.folder = folder
        self.info = info
        self._open: dict[str, dict[int, dict[str, Any]]] = {}
        self._current = ""
        self._begun = False
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self.folder / LOCK)
        except OSError as error:
            raise durable.cannot_write(self.folder, error) from error

    def restart(self, prompts: Iterable[Prompt]) -> None:
        """Begin the run from its beginning: whatever was made of it so far goes."""
        durable.write_json(self.folder / RUN, self.info.to_json())
        self._begun = True
        self.write_prompts(prompts)
        parts = (MASKLETS, SNAPSHOTS, revisions.REVISIONS, REVIEW, TIMELINE, CONTACT)
        try:
            for name in parts:
                remove(self.folder / name)
            for output in FORMATS.values():
                output.clear(self.folder)
                remove(self.folder / output.file_name)
            (self.folder / MASKLETS).mkdir()
        except OSError as error:
            raise durable.cannot_write(self.folder, error) from error

    def write_prompts(self, prompts: Iterable[Prompt]) -> None:
        """Replace `prompts.json`."""
        durable.write_text(self.folder / PROMPTS, prompts_text(prompts))

    def write(self, result: FrameResult) -> None:
        """Take one frame; its image is not kept.

        Raises:
            RunError: when a chunk cannot be written, on a full disk for instance.
        """
        frame = result.frame
        chunk = chunk_name(frame.index)
        if chunk != self._current:
            self._keep_full()
            self._current = chunk
            if chunk not in self._open:
                self._open[chunk] = self._read(chunk)
        line = to_line(FrameMasks(frame.index, frame.pts, result.objects))
        self._open[chunk][frame.index] = _merge(self._open[chunk].get(frame.index), line)

    def flush(self) -> None:
        """Write every chunk, also those of which frames are still missing."""
        self._keep(list(self._open))

    def note(self, **changes: Any) -> None:
        """Change `run.json`."""
        self.info = replace(self.info, **changes)
        durable.write_json(self.folder / RUN, self.info.to_json())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if not self._begun:
                return
            if error is None:
                self.flush()
                self.note(status="complete")
            else:
                self._end_early(error)
        finally:
            self._lock.release()

    def _end_early(self, error: BaseException) -> None:
        """Keep what is complete and say how it ended; the error itself is raised by the caller."""
        with contextlib.suppress(RunError):  # the disk may be what failed
            self._keep_full()
            if isinstance(error, Exception):
                self.note(status="failed", error=str(error) or type(error).__name__)
            else:
                self.note(status="interrupted")

    def _keep_full(self) -> None:
        self._keep([c for c, lines in self._open.items() if len(lines) == self._frames_in(c)])

    def _keep(self, chunks: list[str]) -> None:
        for chunk in chunks:
            lines = sorted(self._open[chunk].items())
            text = "".join(json.dumps(line, allow_nan=False) + "\n" for _, line in lines)
            durable.write_text(self.folder / MASKLETS / chunk, text)
            del self._open[chunk]
        if self._current not in self._open:
            self._current = ""

    def _read(self, chunk: str) -> dict[int, dict[str, Any]]:
        path = self.folder / MASKLETS / chunk
        return {line["frame"]: line for line in read_chunk(path)} if path.exists() else {}

    def _frames_in(self, chunk: str) -> int:
        """How many frames of a chunk the settings ask for, as if the video had no end."""
        settings, first = self.info.settings, int(chunk.split(".")[0])
        last = first + CHUNK_FRAMES
        end = last if settings.end is None else min(settings.end, last)
        return sum(
            (f - settings.start) % settings.stride == 0
            for f in range(max(first, settings.start), end)
        )


def _merge(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """A frame's line with the objects of both; the new ones win."""
    if old is None:
        return new
    objects = {entry["id"]: entry for entry in (*old["objects"], *new["objects"])}
    return {**new, "objects": [objects[i] for i in sorted(objects)]}
