"""`prompts.json`: written, edited, passed back in."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tracker.errors import PromptError
from tracker.session.prompts_file import prompts_text, read_prompts
from tracker.types import Prompt

MASK = np.zeros((6, 8), bool)
MASK[2:4, 3:6] = True
PROMPTS = (
    Prompt(0, 1, box_xyxy=(1, 2, 3.5, 4), label="Tasse"),
    Prompt(2, 1, box_xyxy=(1, 2, 3.5, 4), view_xyxy=(0, 1, 6, 5), source="memory"),
    Prompt(7, 2, np.array([[1, 2], [3, 4]], np.float32), np.array([1, 0], np.int32)),
    Prompt(9, 3, mask_hw=MASK, source="memory", score=0.5, reference_id="ab"),
)


def as_json(prompts):
    return [prompt.to_json() for prompt in prompts]


def test_what_is_written_reads_back_equal(tmp_path):
    path = tmp_path / "prompts.json"
    path.write_text(prompts_text(PROMPTS), "utf-8")
    assert as_json(read_prompts(path)) == as_json(PROMPTS)
    assert len(path.read_text("utf-8").splitlines()) == len(PROMPTS) + 2  # one line per prompt


def test_a_bare_list_will_do(tmp_path):
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps([{"box": [1, 2, 3, 4]}]))
    (prompt,) = read_prompts(path)
    assert (prompt.object_id, prompt.frame, prompt.box_xyxy) == (1, 0, (1, 2, 3, 4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a JSON file"),
        ("{}", "has no list of prompts"),
        ('{"format": 9, "prompts": []}', "has format 9; this track reads 1"),
        ('[{"box": [1,2,3,4]}, {"bocks": 1}]', "prompt 2: unknown key 'bocks'"),
        ('[{"box": [1,2,3]}]', "prompt 1: malformed prompt"),
        ('[{"box": [1,2,3,4], "view": [0,0,9]}]', "prompt 1: malformed prompt"),
        ('[{"box": [1,2,3,4], "view": [0,0,9,9.5]}]', "a view has whole pixels"),
        ('[{"box": [1,2,3,4], "view": [9,0,0,9]}]', "X1 < X2 and Y1 < Y2"),
        ('[{"box": [1,2,3,4], "view": [2,0,9,9]}]', "points and box must lie in the view"),
        ('[{"points": [[9,9]], "view": [2,0,9,9]}]', "points and box must lie in the view"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path, text, message):
    path = tmp_path / "prompts.json"
    path.write_text(text)
    with pytest.raises(PromptError, match=message):
        read_prompts(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(PromptError, match=r"cannot read prompts .*nowhere"):
        read_prompts(tmp_path / "nowhere.json")
