import sqlite3

import pytest

from tracker.errors import ReferenceMemoryError
from tracker.memory import index
from tracker.memory.index import Index


def test_a_new_index_is_durable_and_at_the_newest_schema(tmp_path):
    with Index.create(tmp_path).write() as db:
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert db.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
        assert db.execute("PRAGMA user_version").fetchone()[0] == len(index.MIGRATIONS)
    assert [path.name for path in tmp_path.iterdir()] == [index.FILE_NAME]


def test_an_older_schema_is_brought_up_to_date_and_keeps_its_rows(tmp_path, monkeypatch):
    with Index.create(tmp_path).write() as db:
        index.set_feature_model(db, "tiny", "00")
    newer = (*index.MIGRATIONS, "ALTER TABLE reference ADD COLUMN note TEXT")
    monkeypatch.setattr(index, "MIGRATIONS", newer)
    for _ in range(2):
        with Index(tmp_path).read() as db:
            columns = [row["name"] for row in db.execute("PRAGMA table_info(reference)")]
            assert columns.count("note") == 1
            assert index.feature_model(db) == ("tiny", "00")


def test_a_failed_migration_changes_nothing(tmp_path, monkeypatch):
    Index.create(tmp_path)
    broken = (*index.MIGRATIONS, "ALTER TABLE reference ADD COLUMN note TEXT; SELECT nonsense")
    monkeypatch.setattr(index, "MIGRATIONS", broken)
    with pytest.raises(ReferenceMemoryError, match="nonsense"):
        Index(tmp_path)
    monkeypatch.undo()
    with Index(tmp_path).read() as db:
        assert "note" not in [row["name"] for row in db.execute("PRAGMA table_info(reference)")]


def test_a_newer_schema_is_refused(tmp_path, monkeypatch):
    Index.create(tmp_path)
    monkeypatch.setattr(index, "MIGRATIONS", ())
    with pytest.raises(ReferenceMemoryError, match="newer version of track"):
        Index(tmp_path)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / index.FILE_NAME
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE holiday (day TEXT)")
    db.close()
    with pytest.raises(ReferenceMemoryError, match="is not the index of a reference memory"):
        Index(tmp_path)
    path.write_bytes(b"this is no database, whatever its name says" * 30)
    with pytest.raises(ReferenceMemoryError, match="cannot be used: file is not a database"):
        Index(tmp_path)


def test_an_exception_undoes_a_write(tmp_path):
    made = Index.create(tmp_path)

    def write_and_fail():
        with made.write() as db:
            index.set_feature_model(db, "tiny", "00")
            raise KeyError("afterwards")

    with pytest.raises(KeyError, match="afterwards"):
        write_and_fail()
    with made.read() as db:
        assert index.feature_model(db) is None


def test_a_folder_without_write_permission_can_be_read(tmp_path, monkeypatch):
    with Index.create(tmp_path).write() as db:
        index.set_feature_model(db, "tiny", "00")
    monkeypatch.setattr(index.os, "access", lambda path, mode: False)  # tests may run as root
    reader = Index(tmp_path)
    with reader.read() as db:
        assert index.feature_model(db) == ("tiny", "00")
        assert [path.name for path in tmp_path.iterdir()] == [index.FILE_NAME]
    with pytest.raises(ReferenceMemoryError, match="read-only"), reader.write():
        pass
