"""A lock on a folder that only one process holds."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self, TextIO

from tracker.errors import RunError


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
