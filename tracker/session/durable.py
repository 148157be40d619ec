"""Files that are complete or absent, and a lock that only one process holds."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any, Self, TextIO

from tracker.errors import RunError


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file as a whole."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """The content of a JSON file."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_text(path: Path, text: str) -> None:
    """Replace a UTF-8 file as a whole; see `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file as a whole: a temporary name, synced and renamed.

    Raises:
        RunError: when it cannot be written, on a full disk for instance.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def make_folder(path: Path) -> None:
    """Make a folder unless it is there. Raises RunError when it cannot be made."""
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> RunError:
    return RunError(f"cannot write {path}: {error.strerror or error}")


class Lock:
    """A kernel lock on a file that also names its holder; gone with the process that holds it."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            RunError: when another process holds it; the message names the process.
        """
        self._file = _open_locked(path)
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def check_not_locked(path: Path) -> None:
    """Raise RunError when another process holds the lock on this file."""
    if path.exists():
        _open_locked(path).close()


def _open_locked(path: Path) -> TextIO:
    # Opened for appending: the holder's number must survive until the lock is ours.
    file = path.open("a+", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise RunError(f"{path.parent} is in use by process {holder}") from error
    return file


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
