"""Files are replaced as a whole, or stay as they were."""

from __future__ import annotations

import json

import pytest

from tests.full_disk import files_limited_to
from tracker.durable import json_text, make_folder, write_bytes, write_json, write_text
from tracker.errors import ReferenceMemoryError, RunError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "a.txt"
    for text in ("first", "größer", ""):
        write_text(path, text)
        assert path.read_text("utf-8") == text
    assert names(tmp_path) == ["a.txt"]


def test_json_keeps_letters_and_ends_with_a_line_break(tmp_path):
    write_json(tmp_path / "a.json", {"name": "Bär", "at": [1, 2.5, None]})
    text = (tmp_path / "a.json").read_text("utf-8")
    assert json.loads(text) == {"name": "Bär", "at": [1, 2.5, None]}
    assert "Bär" in text and text.endswith("}\n")
    with pytest.raises(ValueError, match="JSON compliant"):
        json_text(float("nan"))


def test_a_full_disk_leaves_the_old_file_and_no_half_one(tmp_path):
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")
    with (
        pytest.raises(RunError, match=rf"cannot write {path}: File too large"),
        files_limited_to(1000),
    ):
        write_bytes(path, bytes(5000))
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_a_left_over_of_a_killed_process_is_taken_over(tmp_path):
    (tmp_path / ".a.txt.tmp").write_text("half of a longer te")
    write_text(tmp_path / "a.txt", "whole")
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_the_caller_chooses_the_temporary_name_and_the_error(tmp_path):
    path, temporary = tmp_path / "a", tmp_path / "a.1234"
    write_bytes(path, b"new", temporary)
    assert names(tmp_path) == ["a"]
    nowhere = tmp_path / "none" / "a"
    with pytest.raises(ReferenceMemoryError, match="No such file or directory"):
        write_bytes(nowhere, b"new", failure=ReferenceMemoryError)


def test_a_folder_may_be_there_already_but_not_a_file(tmp_path):
    make_folder(tmp_path / "sub")
    make_folder(tmp_path / "sub")
    assert (tmp_path / "sub").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot write .*file: File exists"):
        make_folder(tmp_path / "file")
