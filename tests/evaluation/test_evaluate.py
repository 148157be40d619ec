"""Many sequences, and what is written of them."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from PIL import Image

from tracker.errors import InputError, VideoError
from tracker.evaluation.evaluate import evaluate
from tracker.evaluation.plot import write_plot
from tracker.evaluation.sequences import Comparison
from tracker.evaluation.tables import write_frame_table, write_object_table
from tracker.video import index_palette


class Masks:
    """A sequence in memory: rows of ten pixels."""

    def __init__(self, *rows: str) -> None:
        self._rows = {f"{i:05d}": row for i, row in enumerate(rows)}

    def names(self):
        return tuple(self._rows)

    def read(self, name):
        return np.array([[0 if c == "." else int(c) for c in self._rows[name]]], np.uint8)


ONE = Comparison("one", Masks(*["1111......"] * 4), Masks(*["1111......"] * 4))
TWO = Comparison("two", Masks(*["11..22...."] * 3), Masks(*["1111....33"] * 3))


def test_all_objects_count_alike_whatever_their_sequence():
    frames = []
    found = evaluate([ONE, TWO], scored="all", on_frame=lambda: frames.append(1))
    assert [s.name for s in found.sequences] == ["one", "two"]
    # Object 1 of the first is exact, object 1 of the second half found, object 3 missed.
    assert found.summary["J mean"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert found.summary["J recall"] == pytest.approx(1 / 3)
    assert len(frames) == 7
    assert found.tracking is None


def test_tracking_counts_every_frame_and_all_sequences_as_one():
    found = evaluate([ONE, TWO], tracking=True)
    assert [len(s.masks.frames) for s in found.sequences] == [2, 1]
    totals = found.to_json()["tracking"]
    assert (totals["TP"], totals["FP"], totals["FN"]) == (4, 6, 6)
    assert found.to_json()["sequences"][1]["tracking"]["MOTSA"] == -1.0


def test_an_error_names_its_sequence():
    wide = Comparison("wide", Masks("1.", "1."), Masks("1...", "1..."))
    with pytest.raises(InputError, match="wide: frame 00000: the prediction is 2x1 pixels"):
        evaluate([ONE, wide])
    with pytest.raises(InputError, match=r"wide: no frame is left.*--frames all"):
        evaluate([Comparison("wide", Masks("1.", "1."), Masks("1.", "1."))])


def rows(path):
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))


def test_the_object_table(tmp_path):
    write_object_table(evaluate([ONE, TWO], scored="all"), tmp_path / "o.csv")
    found = rows(tmp_path / "o.csv")
    assert [(r["sequence"], r["object"]) for r in found] == [
        *(("one", "1"), ("one", "mean"), ("two", "1"), ("two", "3"), ("two", "mean")),
        ("all", "mean"),
    ]
    assert [float(r["J mean"]) for r in found] == [1.0, 1.0, 0.5, 0.0, 0.25, 0.5]


def test_the_frame_table(tmp_path):
    write_frame_table(evaluate([TWO], scored="vot"), tmp_path / "f.csv")
    found = rows(tmp_path / "f.csv")
    assert [(r["frame"], r["object"], float(r["J"])) for r in found] == [
        *(("00001", "1", 0.5), ("00001", "3", 0.0)),
        *(("00002", "1", 0.5), ("00002", "3", 0.0)),
    ]


def test_the_plot_draws_every_object_in_its_colour(tmp_path):
    write_plot(evaluate([ONE, TWO], scored="all"), tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as image:
        picture_hwc = np.asarray(image.convert("RGB"))
    for object_id in (1, 3):
        assert (picture_hwc == index_palette()[object_id]).all(axis=2).sum() > 50
    taller, _ = picture_hwc.shape[:2]
    write_plot(evaluate([ONE]), tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as image:
        assert image.height < taller


def test_too_many_sequences_for_a_plot(tmp_path):
    with pytest.raises(InputError, match="100 sequences at most, not 101; choose some"):
        write_plot(evaluate([ONE] * 101), tmp_path / "p.png")


@pytest.mark.parametrize("write", [write_object_table, write_frame_table, write_plot])
def test_a_file_that_cannot_be_written(tmp_path, write):
    with pytest.raises(VideoError, match="there is no folder"):
        write(evaluate([ONE]), tmp_path / "nowhere" / "x")
