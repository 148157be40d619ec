"""Boxes that a detector wrote into files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tracker.errors import PromptError
from tracker.session.images.boxes import read_boxes

PICTURE = np.zeros((100, 200, 3), np.uint8)


def boxes(file, name: str = "a.jpg"):
    """What a file says of a picture of 200 x 100 pixels."""
    found = read_boxes(file).of(Path(name).stem, PICTURE)
    return [(tuple(round(v, 3) for v in box.xyxy), box.label, box.score) for box in found]


@pytest.fixture
def written(tmp_path):
    def write(value, name: str = "boxes.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return path

    return write


def test_a_list_of_boxes(written):
    file = written(
        [
            {"image": "folder/a.jpg", "box": [10, 20, 30, 40], "label": "dog", "score": 0.9},
            {"image": "b.jpg", "box": [0, 0, 5, 5]},
            {"image": "a.png", "box": [1, 2, 3.5, 4]},
        ]
    )
    assert boxes(file) == [((10, 20, 30, 40), "dog", 0.9), ((1, 2, 3.5, 4), None, 1.0)]
    assert boxes(file, "b.jpg") == [((0, 0, 5, 5), None, 1.0)]
    assert boxes(file, "c.jpg") == []


def test_frames_of_a_video_may_go_by_their_number(written):
    file = written([{"frame": 12, "box": [10, 20, 30, 40], "label": "dog"}])
    assert boxes(file, "12") == [((10, 20, 30, 40), "dog", 1.0)]


def test_coco(written):
    file = written(
        {
            "images": [{"id": 7, "file_name": "train/a.jpg"}, {"id": 8, "file_name": "b.jpg"}],
            "categories": [{"id": 3, "name": "dog"}],
            "annotations": [
                {"image_id": 7, "category_id": 3, "bbox": [10, 20, 30, 40], "score": 0.5},
                {"image_id": 8, "category_id": 3, "bbox": [0, 0, 9, 9]},
            ],
        }
    )
    assert boxes(file) == [((10, 20, 40, 60), "dog", 0.5)]


@pytest.mark.parametrize(
    ("names_file", "names"),
    [
        ("classes.txt", "cat\ndog\n"),
        ("data.yaml", "names: [cat, dog]\n"),
        ("data.yaml", "names:\n  0: cat\n  1: dog\n"),
    ],
)
def test_yolo(written, names_file, names):
    file = written("1 0.5 0.5 0.25 0.5 0.75\n\n0 0.1 0.1 0.1 0.1\n", "labels/train/a.txt")
    written(names, f"labels/train/{names_file}")
    expected = [((75, 25, 125, 75), "dog", 0.75), ((10, 5, 30, 15), "cat", 1.0)]
    assert boxes(file.parent) == boxes(file) == expected


def test_yolo_names_may_stand_two_folders_up_or_nowhere(written):
    file = written("1 0.5 0.5 0.25 0.5\n", "set/labels/train/a.txt")
    assert boxes(file)[0][1] == "1"
    written("names: {1: dog}", "set/data.yaml")
    assert boxes(file)[0][1] == "dog"


def test_boxes_are_clipped_to_the_image(written):
    assert boxes(written([{"image": "a", "box": [-5, -5, 500, 50]}])) == [
        ((0, 0, 200, 50), None, 1.0)
    ]


@pytest.mark.parametrize("box", [[300, 0, 400, 50], [30, 30, 30, 50], [30, 50, 60, 40]])
def test_a_box_that_holds_nothing_of_the_image_is_named(written, box):
    with pytest.raises(PromptError, match=r"of a is empty or not on the image.*200x100"):
        boxes(written([{"image": "a.jpg", "box": box}]))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", "is not JSON"),
        ([{"image": "a"}], "'box' is missing"),
        ([{"image": "a", "box": [1, 2, 3]}], "values to unpack"),
        ([{"image": "a", "box": [1, 2, 3, 4], "size": 3}], "entry 0 has the unknown key 'size'"),
        ([{"image": "a", "box": [1, 2, 3, 4], "score": 7}], "score 7 is not between 0 and 1"),
        ([{"image": "a", "box": [1, 2, float("nan"), 4]}], "coordinates that are no numbers"),
        ({"images": [], "categories": []}, "'annotations' is missing"),
        (7, "docs/segment.md"),
    ],
)
def test_other_files_are_refused(written, value, message):
    with pytest.raises(PromptError, match=message):
        read_boxes(written(value))


def test_broken_yolo_files_are_refused(written, tmp_path):
    with pytest.raises(PromptError, match=r"a\.txt, line 2: expected class cx cy w h"):
        read_boxes(written("0 0 0 1 1\n0 1 2\n", "a.txt"))
    with pytest.raises(PromptError, match="no file in it holds a box"):
        read_boxes(written("", "empty/a.txt").parent)
    with pytest.raises(PromptError, match=r"cannot read .*nowhere"):
        read_boxes(tmp_path / "nowhere.json")
