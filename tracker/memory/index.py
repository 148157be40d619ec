"""The index of a reference memory: one SQLite file, safe with several processes at once.

Every operation opens its own connection: nothing is held between calls, threads and forks need no
care, and the write-ahead log is folded back into the one file when the last connection closes.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tracker.errors import ReferenceMemoryError

FILE_NAME = "index.sqlite"
APPLICATION_ID = 0x54524D31  # "TRM1" in the file's header: tells our index from other databases
BUSY_SECONDS = 30.0  # how long one process waits for another's write

# The schema, one script per version; `PRAGMA user_version` counts those that have run. A released
# script is never edited: a change of the schema is a further script.
MIGRATIONS = (
    """
    CREATE TABLE header (
        key   TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE reference (
        id              TEXT PRIMARY KEY,
        label           TEXT NOT NULL,
        added_at        TEXT NOT NULL,
        width           INTEGER NOT NULL,
        height          INTEGER NOT NULL,
        area_px         INTEGER NOT NULL,
        global_f32      BLOB NOT NULL,
        image_sha256    TEXT NOT NULL,
        mask_sha256     TEXT NOT NULL,
        features_sha256 TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX reference_label ON reference (label);
    """,
)


class Index:
    """The SQLite file in a memory's folder, at the newest schema version."""

    def __init__(self, folder: Path) -> None:
        """Open an existing index and bring its schema up to date.

        Raises:
            ReferenceMemoryError: when it is damaged, foreign, or made by a newer version.
        """
        self.path = folder / FILE_NAME
        self.read_only = not (os.access(folder, os.W_OK) and os.access(self.path, os.W_OK))
        with self.read() as db:
            version = _schema_version(db, self.path)
        if version < len(MIGRATIONS):
            if self.read_only:
                raise self._read_only_error()
            _prepare(self.path)

    @classmethod
    def create(cls, folder: Path) -> Index:
        """Create the index in a folder, or open it when another process was faster."""
        _prepare(folder / FILE_NAME)
        return cls(folder)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection whose reads all see the same state."""
        # A database in WAL mode cannot be opened in a folder without write permission unless
        # SQLite is promised that nobody changes it.
        mode = "ro&immutable=1" if self.read_only else "rw"
        with _connected(self.path, mode) as db, _transaction(db, "DEFERRED"):
            yield db

    @contextmanager
    def quiet(self) -> Iterator[sqlite3.Connection]:
        """A connection while nobody writes: the files on disk and the rows agree."""
        with self.read() if self.read_only else self.write() as db:
            yield db

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction that excludes other writers; undone on an exception."""
        if self.read_only:
            raise self._read_only_error()
        with _connected(self.path, "rw") as db, _transaction(db, "IMMEDIATE"):
            yield db

    def _read_only_error(self) -> ReferenceMemoryError:
        return ReferenceMemoryError(
            f"the reference memory in {self.path.parent} is read-only; copy the folder, or name "
            "another one with --memory"
        )


def feature_model(db: sqlite3.Connection) -> tuple[str, str] | None:
    """Name and weights' SHA-256 of the model behind the features; None in an empty memory."""
    header = {row["key"]: row["value"] for row in db.execute("SELECT key, value FROM header")}
    return (header["feature_model"], header["weights_sha256"]) if header else None


def set_feature_model(db: sqlite3.Connection, name: str, weights_sha256: str) -> None:
    values = {"feature_model": name, "weights_sha256": weights_sha256}
    db.executemany("REPLACE INTO header (key, value) VALUES (?, ?)", values.items())


def reference_count(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM reference").fetchone()[0])


@contextmanager
def _connected(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    try:
        uri = f"{path.resolve().as_uri()}?mode={mode}"
        db = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        with closing(db):
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA synchronous = FULL")
            yield db
    except sqlite3.DatabaseError as error:
        raise ReferenceMemoryError(
            f"the index of the reference memory, {path}, cannot be used: {error}"
        ) from error


def _enter_wal(db: sqlite3.Connection) -> None:
    """Switch to write-ahead logging; the switch itself does not wait for other processes."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@contextmanager
def _transaction(db: sqlite3.Connection, kind: str) -> Iterator[None]:
    db.execute(f"BEGIN {kind}")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _prepare(path: Path) -> None:
    """Bring an index, if need be a new one, to the newest schema. Processes do this in turn."""
    with _connected(path, "rwc") as db:
        _enter_wal(db)
        with _transaction(db, "IMMEDIATE"):
            for number in range(_schema_version(db, path) + 1, len(MIGRATIONS) + 1):
                for statement in MIGRATIONS[number - 1].split(";"):
                    if statement.strip():  # executescript() would commit the transaction
                        db.execute(statement)
                db.execute(f"PRAGMA user_version = {number}")
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _schema_version(db: sqlite3.Connection, path: Path) -> int:
    """How many migrations have run: 0 for a new file, which another process may be filling."""
    if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
        return 0
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise ReferenceMemoryError(f"{path} is not the index of a reference memory")
    if version > len(MIGRATIONS):
        raise ReferenceMemoryError(
            f"{path} was made by a newer version of track (schema {version}; this one knows "
            f"{len(MIGRATIONS)}); update track"
        )
    return int(version)
