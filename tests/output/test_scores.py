"""`scores.csv` and `scores.parquet` hold the same rows."""

from __future__ import annotations

import csv
import sys

import pytest

from tests.made_runs import made_frames, made_info
from tracker.errors import RunError
from tracker.output.export import FORMATS
from tracker.output.export.scores import COLUMNS, rows


def made_rows(kind):
    info = made_info(kind)
    return [row for frame, _ in made_frames(kind) for row in rows(info, frame)]


def test_csv_is_parsed_back_equal(written, kind):
    convert = {"int64": int, "float64": float, "string": str}
    with written("csv", kind).open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        assert next(reader) == list(COLUMNS)
        parsed = [
            tuple(
                None if text == "" and kind != "string" else convert[kind](text)
                for text, kind in zip(row, COLUMNS.values(), strict=True)
            )
            for row in reader
        ]
    assert parsed == made_rows(kind)


def test_parquet_is_read_back_equal_with_types(written, kind):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(written("parquet", kind))
    assert table.schema.names == list(COLUMNS)
    kinds = {"float64": "double"}
    assert [str(t) for t in table.schema.types] == [kinds.get(v, v) for v in COLUMNS.values()]
    assert [tuple(row.values()) for row in table.to_pylist()] == made_rows(kind)


def test_without_pyarrow_parquet_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as Python marks what cannot be imported
    with pytest.raises(RunError, match="pip install pyarrow"):
        FORMATS["parquet"](made_info(), tmp_path)
    assert not list(tmp_path.iterdir())
