"""Which images a user means."""

from __future__ import annotations

import hashlib

import pytest

from tests.made_videos import make_image_folder
from tracker.errors import VideoError
from tracker.session.images.image_files import find_images


def test_folders_come_in_natural_order_and_files_as_given(tmp_path):
    folder = make_image_folder(tmp_path / "many", ["f10.png", "f9.jpg", ".hidden.png"], (8, 6))
    (folder / "notes.txt").write_text("no image")
    (folder / "inside").mkdir()
    other = make_image_folder(tmp_path / "one", ["a.png"], (8, 6)) / "a.png"
    found = find_images([other, folder])
    assert [image.stem for image in found] == ["a", "f9", "f10"]
    assert [image.index for image in found] == [0, 1, 2]
    assert found[0].sha256 == hashlib.sha256(other.read_bytes()).hexdigest()


def test_what_claims_to_be_an_image_is_not_passed_over(tmp_path):
    (tmp_path / "broken.JPG").write_bytes(b"nothing")
    (image,) = find_images([tmp_path])
    assert image.path.name == "broken.JPG"


def test_a_file_that_is_an_image_by_its_content_counts(tmp_path):
    make_image_folder(tmp_path, ["a.png"], (8, 6))
    (tmp_path / "a.png").rename(tmp_path / "picture")
    assert [image.stem for image in find_images([tmp_path])] == ["picture"]


def test_two_images_of_one_name_are_refused(tmp_path):
    make_image_folder(tmp_path / "x", ["a.png"], (8, 6))
    make_image_folder(tmp_path / "y", ["a.jpg"], (8, 6))
    with pytest.raises(VideoError, match=r"x/a\.png and .*y/a\.jpg have the same name"):
        find_images([tmp_path / "x", tmp_path / "y"])


def test_nothing_to_do_is_an_error(tmp_path):
    with pytest.raises(VideoError, match="there is no image in the folder"):
        find_images([tmp_path])
    with pytest.raises(VideoError, match=r"no such image or folder: .*nowhere"):
        find_images([tmp_path / "nowhere"])
