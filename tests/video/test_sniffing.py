from __future__ import annotations

import os

import pytest
from PIL import Image

from tracker.errors import VideoError
from tracker.video import image_format
from tracker.video.sniffing import is_playlist, read_head


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_image_formats_are_told_from_the_content(tmp_path, name):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "file.dat", format=name)
    assert image_format(tmp_path / "file.dat") == name


@pytest.mark.parametrize("content", [b"", b"BM", b"BM is no bitmap", b"RIFF....WAVEfmt ", b"hello"])
def test_other_files_are_no_images(tmp_path, content):
    (tmp_path / "image.png").write_bytes(content)
    assert image_format(tmp_path / "image.png") is None


def test_missing_and_irregular_files_are_named(tmp_path):
    with pytest.raises(VideoError, match="no such file"):
        read_head(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(VideoError, match="not a regular file"):
        read_head(tmp_path / "pipe")
    with pytest.raises(VideoError, match="not a regular file"):
        read_head(tmp_path)


@pytest.mark.parametrize(
    "head", [b"#EXTM3U\n", b"\xef\xbb\xbf#EXTM3U", b"\n ffconcat v", b"[playlist]"]
)
def test_playlists(head):
    assert is_playlist(head)
    assert not is_playlist(b"\x00\x00\x00\x20ftypisom")
