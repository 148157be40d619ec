"""A stamp holds exactly as long as the file is untouched."""

from __future__ import annotations

import hashlib

import pytest

from tracker.errors import ModelError
from tracker.models.checksum import is_stamped, read_sha256, remove_stamp, write_stamp


def test_the_whole_file_counts(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 3_000_001)
    assert read_sha256(path) == hashlib.sha256(b"x" * 3_000_001).hexdigest()


def test_a_file_that_cannot_be_read_is_a_model_error(tmp_path):
    with pytest.raises(ModelError, match=r"cannot read .*none"):
        read_sha256(tmp_path / "none")


def test_a_stamp_is_for_one_hash_and_one_state_of_the_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    assert not is_stamped(path, "a" * 64)
    write_stamp(path, "a" * 64)
    assert is_stamped(path, "a" * 64) and not is_stamped(path, "b" * 64)
    path.touch()
    assert not is_stamped(path, "a" * 64)
    write_stamp(path, "a" * 64)
    remove_stamp(path)
    assert not is_stamped(path, "a" * 64)


def test_a_stamp_does_not_outlive_its_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    write_stamp(path, "a" * 64)
    path.unlink()
    assert not is_stamped(path, "a" * 64)
