"""Files that are complete or absent, and a lock that only one process holds."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any, TextIO

from tracker.errors import RunError


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file as a whole."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_text(path: Path, text: str) -> None:
    """Replace a file as a whole: a temporary name, synced and renamed.

    Raises:
        RunError: when it cannot be written, on a full disk for instance.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
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


def _sync_folder(folder: Path) -> None:
    """Make a rename durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
