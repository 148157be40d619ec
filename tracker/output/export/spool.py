"""JSON that is gathered frame by frame and written in another order, at constant memory."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Spool:
    """Values by key, kept in a file until they are read, in the order they were added."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, as all methods, when the file cannot be written."""
        self._path = path
        with _os_errors():
            # One thread opens and closes it, another may write in between; never two at once.
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            # The file is gone with the export, finished or not: nothing needs to survive.
            self._database.execute("PRAGMA journal_mode = OFF")
            self._database.execute("PRAGMA synchronous = OFF")
            self._database.execute("CREATE TABLE texts (key TEXT, text TEXT)")
            self._database.execute("CREATE INDEX by_key ON texts (key)")
            self._database.execute("BEGIN")

    def add(self, key: str, value: Any) -> None:
        """Keep a JSON value."""
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        with _os_errors():
            self._database.execute("INSERT INTO texts VALUES (?, ?)", (key, text))

    def texts(self, key: str) -> Iterator[str]:
        """The values of a key, as JSON."""
        with _os_errors():
            query = "SELECT text FROM texts WHERE key = ? ORDER BY rowid"
            for (text,) in self._database.execute(query, (key,)):
                yield text

    def count(self, key: str) -> int:
        """How many values a key has."""
        with _os_errors():
            query = "SELECT count(*) FROM texts WHERE key = ?"
            return int(self._database.execute(query, (key,)).fetchone()[0])

    def close(self) -> None:
        """Remove the file. Closing twice is fine."""
        self._database.close()
        self._path.unlink(missing_ok=True)


def write_document(
    path: Path, head: Mapping[str, Any], arrays: Mapping[str, Iterable[str]]
) -> None:
    """A JSON object in pieces: the keys of `head`, then one array of JSON texts per name."""
    with path.open("w", encoding="utf-8") as file:
        file.write("{")
        for number, (key, value) in enumerate(head.items()):
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
            file.write(f"{',' if number else ''}\n{json.dumps(key)}: {text}")
        for number, (key, texts) in enumerate(arrays.items(), start=len(head)):
            file.write(f"{',' if number else ''}\n{json.dumps(key)}: [")
            file.writelines(joined(texts))
            file.write("]")
        file.write("\n}\n")


def joined(texts: Iterable[str]) -> Iterator[str]:
    """The texts with a comma and a new line between them."""
    for number, text in enumerate(texts):
        yield f",\n{text}" if number else text


@contextmanager
def _os_errors() -> Iterator[None]:
    """What SQLite cannot do is said as the file system says it."""
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(str(error)) from error
