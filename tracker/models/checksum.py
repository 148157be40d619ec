"""The SHA-256 of a file, and a stamp beside it that saves reading it in full at each start.

A stamp notes which SHA-256 a file was found to have, and how the file looked then. It guards
against damage and exchange, not against someone who can write to the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from tracker.errors import ModelError


def read_sha256(path: Path) -> str:
    """The SHA-256 of a whole file, lower-case hexadecimal.

    Raises:
        ModelError: when it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from error


def is_stamped(path: Path, sha256: str) -> bool:
    """Whether the file was found to have this SHA-256, and nothing has touched it since."""
    try:
        return _stamp(path).read_text("utf-8") == _stamp_text(path, sha256)
    except (OSError, UnicodeDecodeError):
        return False


def write_stamp(path: Path, sha256: str) -> None:
    """Note that the file has this SHA-256. In a read-only folder nothing is noted."""
    with contextlib.suppress(OSError):
        _stamp(path).write_text(_stamp_text(path, sha256), "utf-8")


def remove_stamp(path: Path) -> None:
    """Forget what was noted of a file."""
    with contextlib.suppress(OSError):
        _stamp(path).unlink()


def _stamp(path: Path) -> Path:
    return path.with_name(f".{path.name}.verified")


def _stamp_text(path: Path, sha256: str) -> str:
    now = path.stat()  # the change time is included: unlike the others, nobody can set it back
    return f"{sha256} {now.st_size} {now.st_mtime_ns} {now.st_ctime_ns}\n"
