from __future__ import annotations

import os

import pytest

from tracker.errors import VideoError
from tracker.video.unfinished import unfinished


def test_the_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with unfinished(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_permissions_are_those_of_any_new_file(tmp_path):
    with unfinished(tmp_path / "made") as temporary:
        temporary.write_bytes(b"")
    (tmp_path / "plain").touch()
    assert (tmp_path / "made").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError(), VideoError("no")])
def test_after_an_exception_the_old_file_stands(tmp_path, error):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def fail_half_way() -> None:
        with unfinished(path) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(type(error)):
        fail_half_way()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_errors_of_the_system_become_typed(tmp_path):
    with (
        pytest.raises(VideoError, match="No space left on device"),
        unfinished(tmp_path / "file.bin"),
        open("/dev/full", "wb", buffering=0) as full,
    ):
        full.write(b"x")
    assert os.listdir(tmp_path) == []


def test_impossible_places_are_refused(tmp_path):
    with pytest.raises(VideoError, match="there is no folder"), unfinished(tmp_path / "a" / "b"):
        pass
    with pytest.raises(VideoError, match="it is a folder"), unfinished(tmp_path):
        pass
    with pytest.raises(VideoError, match="too long"), unfinished(tmp_path / ("n" * 250)):
        pass
