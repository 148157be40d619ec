"""A video that has changed is noticed without reading all of it."""

from __future__ import annotations

import pytest

from tracker.errors import VideoError
from tracker.session.identity import identify_video, versions

MEGABYTE = 1 << 20


@pytest.mark.parametrize("size", [10, MEGABYTE, MEGABYTE + 10, 5 * MEGABYTE])
@pytest.mark.parametrize("place", [0, -1])
def test_a_changed_end_is_noticed(tmp_path, size, place):
    path = tmp_path / "clip.mp4"
    content = bytearray(size)
    path.write_bytes(content)
    before = identify_video(path)
    assert before == identify_video(path)
    assert before.bytes == size
    content[place] = 1
    path.write_bytes(content)
    assert identify_video(path).sha256_ends != before.sha256_ends


def test_a_folder_is_known_by_its_files(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(b"12345")
    before = identify_video(tmp_path)
    assert before.bytes == 15
    (tmp_path / "b.png").rename(tmp_path / "bb.png")
    renamed = identify_video(tmp_path)
    (tmp_path / "c.png").write_bytes(b"54321")
    changed = identify_video(tmp_path)
    assert len({before.sha256_ends, renamed.sha256_ends, changed.sha256_ends}) == 3


def test_a_missing_video_is_an_error(tmp_path):
    with pytest.raises(VideoError, match=r"cannot read .*nowhere"):
        identify_video(tmp_path / "nowhere")


def test_versions_are_those_of_the_packages():
    import numpy

    assert versions()["numpy"] == numpy.__version__
    assert "unknown" not in versions().values()
