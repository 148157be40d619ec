"""Prompts as they are typed."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.cli.prompt_options import parse_prompts
from tracker.errors import PromptError, VideoError
from tracker.video import write_index_mask


def parse(*, point=(), box=(), mask=()):
    return parse_prompts(point, box, mask)


@pytest.fixture
def mask_file(tmp_path):
    def make(name: str, *ids: int):
        index_hw = np.zeros((6, 8), np.uint8)
        for column, value in enumerate(ids):
            index_hw[2:4, 2 * column : 2 * column + 2] = value
        write_index_mask(tmp_path / name, index_hw)
        return str(tmp_path / name)

    return make


def test_object_1_on_frame_0_unless_said_otherwise():
    (prompt,) = parse(point=["10,20.5"])
    assert (prompt.object_id, prompt.frame) == (1, 0)
    assert prompt.points_n2.tolist() == [[10, 20.5]]
    (prompt,) = parse(box=["3@120:1,2,30,40"])
    assert (prompt.object_id, prompt.frame, prompt.box_xyxy) == (3, 120, (1, 2, 30, 40))


def test_points_and_box_for_one_object_on_one_frame_are_one_prompt():
    first, second = parse(point=["1,2", "2@5:3,4", "5,6,-"], box=["1@0:0,0,9,9"])
    assert first.box_xyxy == (0, 0, 9, 9)
    assert first.points_n2.tolist() == [[1, 2], [5, 6]]
    assert first.point_labels_n.tolist() == [1, 0]
    assert (second.object_id, second.frame) == (2, 5)


def test_a_mask_with_one_id_is_object_obj(mask_file):
    (prompt,) = parse(mask=[f"4@7:{mask_file('one.png', 9)}"])
    assert (prompt.object_id, prompt.frame, int(prompt.mask_hw.sum())) == (4, 7, 4)


def test_a_mask_with_several_ids_is_several_objects(mask_file):
    path = mask_file("three.png", 2, 5, 3)
    assert [p.object_id for p in parse(mask=[path])] == [2, 3, 5]
    assert [(p.object_id, p.frame) for p in parse(mask=[f"11@4:{path}"])] == [
        *((12, 4), (13, 4), (15, 4))
    ]


def test_colons_and_at_signs_in_file_names_are_no_prefix(mask_file):
    assert parse(mask=[mask_file("12:30 1@2.png", 1)])[0].frame == 0
    assert parse(mask=[f"2@3:{mask_file('12:30.png', 1)}"])[0].frame == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"point": ["1"]}, r"--point 1: expected \[OBJ@FRAME:\]X,Y"),
        ({"point": ["1,2,3"]}, "--point 1,2,3: expected"),
        ({"point": ["a,b"]}, "--point a,b: expected"),
        ({"point": ["1@x:2,3"]}, "--point 1@x:2,3: expected"),
        ({"point": ["nan,1"]}, "must be finite"),
        ({"point": ["1,2,-"]}, "at least one positive point"),
        ({"point": ["0@0:1,2"]}, "object ids count from 1"),
        ({"box": ["1,2,3"]}, "--box 1,2,3: expected"),
        ({"box": ["9,9,1,1"]}, "X1 < X2"),
        ({"box": ["1,1,2,2", "1@0:1,1,3,3"]}, "has a box already"),
    ],
)
def test_what_cannot_be_read_is_quoted(options, message):
    with pytest.raises(PromptError, match=message):
        parse(**options)


def test_an_empty_or_missing_mask_is_refused(mask_file, tmp_path):
    with pytest.raises(PromptError, match="the mask is empty"):
        parse(mask=[mask_file("empty.png")])
    with pytest.raises(VideoError, match="no such image"):
        parse(mask=[str(tmp_path / "nowhere.png")])
