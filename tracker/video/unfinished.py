"""A file appears under its name only when it is complete."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tracker.errors import VideoError


class UnfinishedFile:
    """A new file that is written beside `path` and takes its place when it is done.

    Attributes:
        temporary: where to write: an empty file in the folder of `path`.

    Raises:
        VideoError: if the folder is missing or nothing can be created in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.part"
        if not path.parent.is_dir():
            raise VideoError(f"cannot write {path}: there is no folder {path.parent}")
        if path.is_dir():
            raise VideoError(f"cannot write {path}: it is a folder")
        try:
            self.temporary.touch(exist_ok=False)
        except OSError as error:
            raise VideoError(f"cannot write {path}: {error.strerror}") from error

    def finish(self) -> None:
        """Put the file in its place, all bytes on disk. Replaces what stood there."""
        try:
            with open(self.temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(self.temporary, self.path)
        except OSError as error:
            self.discard()
            raise VideoError(f"cannot write {self.path}: {error.strerror}") from error

    def discard(self) -> None:
        """Remove the unfinished file."""
        with suppress(OSError):
            self.temporary.unlink(missing_ok=True)


@contextmanager
def unfinished(path: Path) -> Iterator[Path]:
    """The temporary path to write to; it replaces `path` unless the block raises.

    Raises:
        VideoError: if the file cannot be written; an OSError of the block becomes one.
    """
    file = UnfinishedFile(path)
    try:
        yield file.temporary
    except OSError as error:
        file.discard()
        raise VideoError(f"cannot write {path}: {error.strerror or error}") from error
    except BaseException:
        file.discard()
        raise
    file.finish()
