"""Values kept on disk, by key."""

from __future__ import annotations

import json

import pytest

from tests.full_disk import files_limited_to
from tracker.output.export.spool import Spool, write_document


def test_values_come_back_in_order_by_key(tmp_path):
    spool = Spool(tmp_path / "spool")
    for n in range(1000):
        spool.add(f"key {n % 3}", {"n": n, "text": "ä"})
    assert [json.loads(t)["n"] for t in spool.texts("key 1")] == list(range(1, 1000, 3))
    assert spool.count("key 0") == 334
    assert list(spool.texts("none")) == []
    spool.close()
    assert not list(tmp_path.iterdir())


def test_a_document_is_json(tmp_path):
    path = tmp_path / "a.json"
    arrays = {"many": iter(["1", '{"a":2}']), "none": iter([])}
    write_document(path, {"head": {"x": "ü"}, "n": 1}, arrays)
    expected = {"head": {"x": "ü"}, "n": 1, "many": [1, {"a": 2}], "none": []}
    assert json.loads(path.read_text("utf-8")) == expected


def test_a_full_disk_is_an_os_error(tmp_path):
    spool = Spool(tmp_path / "spool")
    with files_limited_to(1 << 20), pytest.raises(OSError, match="disk"):
        fill(spool)
    spool.close()


def fill(spool):
    for _ in range(400):
        spool.add("key", "x" * 20_000)
