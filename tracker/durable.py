"""Files that are complete or absent, whenever the process or the machine stops."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tracker.errors import InputError, RunError


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file as a whole."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """The content of a JSON file."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_text(path: Path, text: str) -> None:
    """Replace a UTF-8 file as a whole; see `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(
    path: Path,
    content: bytes,
    temporary: Path | None = None,
    failure: type[InputError] = RunError,
) -> None:
    """Replace a file as a whole: a temporary name, synced and renamed.

    Args:
        temporary: that name, in the same folder. By default one that the next write takes again,
            so that a process that is killed leaves little behind; where several processes may write
            the same file, each needs its own.

    Raises:
        failure: when it cannot be written, on a full disk for instance.
    """
    temporary = temporary or path.with_name(f".{path.name}.tmp")
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
        raise cannot_write(path, error, failure) from error


def make_folder(path: Path) -> None:
    """Make a folder unless it is there. Raises RunError when it cannot be made."""
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError, failure: type[InputError] = RunError) -> InputError:
    return failure(f"cannot write {path}: {error.strerror or error}")


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable; Windows cannot open folders and needs no such call."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
