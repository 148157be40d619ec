"""MOTChallenge's boxes and MOTS's masks, parsed back."""

from __future__ import annotations

import configparser
import csv
from collections import defaultdict

import numpy as np
import pytest
from PIL import Image

from tests.made_runs import FRAMES, made_frames, made_info, masks_of
from tracker.errors import RunError
from tracker.masks import decode_rle, mask_box
from tracker.output.export import FORMATS, ExportInfo


def read_rows(path, separator):
    rows = defaultdict(list)
    for line in path.read_text("utf-8").splitlines():
        number, *values = line.split(separator)
        rows[int(number)].append(values)
    return rows


def test_boxes_are_parsed_back_equal(written, kind):
    rows, info = read_rows(written("mot", kind) / "clip" / "gt" / "gt.txt", ","), made_info(kind)
    assert list(rows) == list(range(1, len(FRAMES) + 1))
    for number, (frame, _) in enumerate(made_frames(kind), start=1):
        made = masks_of(frame)
        assert [int(row[0]) for row in rows[number]] == list(made)
        for row, (object_id, mask_hw) in zip(rows[number], made.items(), strict=True):
            left, top, width, height = (int(value) for value in row[1:5])
            box = (left - 1, top - 1, left - 1 + width, top - 1 + height)
            assert box == mask_box(mask_hw)
            assert (row[5], int(row[6])) == ("1", info.category(object_id) + 1)


def test_a_doubtful_object_is_half_visible(written):
    rows = read_rows(written("mot") / "clip" / "gt" / "gt.txt", ",")
    assert [row[7] for row in rows[3]] == ["1", "0.5", "1", "1"]


@pytest.mark.parametrize("name", ["mot", "mots"])
def test_the_sequence_is_described(written, name):
    folder = written(name) / "clip"
    parser = configparser.ConfigParser()
    parser.optionxform = str
    parser.read(folder / "seqinfo.ini")
    assert dict(parser["Sequence"]) == {
        **{"name": "clip", "imDir": "img1", "frameRate": "7", "seqLength": "6"},
        **{"imWidth": "97", "imHeight": "55", "imExt": ".jpg"},
    }
    assert len(list((folder / "img1").glob("*.jpg"))) == len(FRAMES)
    assert (folder / "img1" / "000001.jpg").is_file()
    assert (folder / "labels.txt").read_text("utf-8").split() == [
        "ring",
        "pair",
        "corner",
        "object",
    ]
    with (folder / "frames.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [int(row["frame"]) for row in table] == list(FRAMES)
    assert [int(row["pts"]) for row in table] == [index * 1001 for index in FRAMES]


def test_masks_are_parsed_back_equal_from_text_and_png(written, kind):
    folder, info = written("mots", kind) / "clip", made_info(kind)
    rows = read_rows(folder / "gt" / "gt.txt", " ")
    for number, (frame, _) in enumerate(made_frames(kind), start=1):
        made = masks_of(frame)
        ids_hw = np.array(Image.open(folder / "instances" / f"{number:06d}.png"))
        assert ids_hw.dtype == np.uint16
        ids = {1000 * (info.category(i) + 1) + i: i for i in made}
        assert set(np.unique(ids_hw)) - {0} == ids.keys()
        assert [int(row[0]) for row in rows[number]] == list(ids)
        for track_id, class_id, height, width, counts in rows[number]:
            mask_hw = made[ids[int(track_id)]]
            rle = {"size": [int(height), int(width)], "counts": counts}
            assert (decode_rle(rle) == mask_hw).all()
            assert ((ids_hw == int(track_id)) == mask_hw).all()
            assert int(track_id) // 1000 == int(class_id)


def test_ids_that_do_not_fit_are_refused(tmp_path):
    info = ExportInfo(made_info().video, {1000: ""}, FRAMES)
    with pytest.raises(RunError, match="up to 999"):
        FORMATS["mots"](info, tmp_path)
    assert not list(tmp_path.iterdir())
