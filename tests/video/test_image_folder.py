from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.made_videos import make_image_folder, paint_index, painted_index
from tracker.errors import VideoError
from tracker.video import open_video
from tracker.video.image_folder import natural_key


def test_names_sort_as_people_count():
    names = ["b2", "a10", "a2", "A1", "a02", "a", "10", "9", "a1b10", "a1b9", "ä1"]
    assert sorted(names, key=natural_key) == [
        *("9", "10", "a", "A1", "a1b9", "a1b10", "a02", "a2", "a10", "b2", "ä1")
    ]


def test_frames_follow_the_natural_order_and_keep_their_names(tmp_path):
    names = ["f1.jpg", "f2.png", "f10.webp", "f11.bmp", "f100.JPEG"]
    make_image_folder(tmp_path, names)
    with open_video(tmp_path) as reader:
        assert [painted_index(f.image_hwc) for f in reader.frames()] == [0, 1, 2, 3, 4]
        assert reader.info.stems == ("f1", "f2", "f10", "f11", "f100")
        assert reader.info.frame_count == 5
        assert not reader.info.has_audio


def test_every_image_is_decoded_once(tmp_path):
    make_image_folder(tmp_path, ["0.png", "1.png", "2.png"])
    with open_video(tmp_path) as reader:
        assert reader.packets_decoded == 1  # opening needs the size of the first
        assert [painted_index(f.image_hwc) for f in reader.frames()] == [0, 1, 2]
        assert reader.packets_decoded == 3


def test_a_jpeg_does_not_bring_every_decoder_along(tmp_path):
    """Pillow's fifty others take longer to import than the first mask to make."""
    make_image_folder(tmp_path, ["0.jpg"])
    code = (
        "import sys; from tracker.video.images import read_image; "
        f"read_image({str(tmp_path / '0.jpg')!r}); print('PIL.TiffImagePlugin' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_a_folder_does_not_bring_the_libraries_of_video_files_along(tmp_path):
    Image.new("RGB", (32, 24)).save(tmp_path / "0.jpg")
    code = (
        "import sys; from tracker.video import open_video; "
        f"open_video({str(tmp_path)!r}).read(0); print('av' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_other_files_are_passed_over(tmp_path):
    make_image_folder(tmp_path, ["0.png", "1.png"])
    (tmp_path / "notes.png").write_text("no picture in here")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / ".hidden.png").write_bytes((tmp_path / "0.png").read_bytes())
    (tmp_path / "masks").mkdir()
    with open_video(tmp_path) as reader:
        assert reader.info.stems == ("0", "1")


def test_images_are_known_by_content(tmp_path):
    make_image_folder(tmp_path, ["0.png", "1.jpg"])
    (tmp_path / "0.png").rename(tmp_path / "0.data")
    (tmp_path / "1.jpg").rename(tmp_path / "1")
    with open_video(tmp_path) as reader:
        assert [painted_index(f.image_hwc) for f in reader.frames()] == [0, 1]


def test_turned_photographs_stand_upright(tmp_path):
    stored = Image.fromarray(np.rot90(paint_index(0)))
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: turn clockwise by 90 degrees to show
    stored.save(tmp_path / "0.jpg", exif=exif)
    with open_video(tmp_path) as reader:
        assert painted_index(reader.read(0).image_hwc) == 0
        assert (reader.info.width, reader.info.height) == (160, 120)


def test_a_damaged_image_is_replaced_by_the_one_before_and_reported(tmp_path):
    make_image_folder(tmp_path, [f"{i}.png" for i in range(6)])
    for name in ("3.png", "4.png"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:80])
    with open_video(tmp_path) as reader:
        assert [painted_index(f.image_hwc) for f in reader.frames()] == [0, 1, 2, 2, 2, 5]
        reader._ring.clear()
        assert painted_index(reader.read(4).image_hwc) == 2
        assert {p.time_s for p in reader.problems} == {3 / 24, 4 / 24}
        assert all("stands in" in p.message for p in reader.problems)


def test_a_damaged_first_image_is_an_error(tmp_path):
    make_image_folder(tmp_path, ["0.png", "1.png"])
    (tmp_path / "0.png").write_bytes((tmp_path / "0.png").read_bytes()[:80])
    with pytest.raises(VideoError, match="cannot decode the image"):
        open_video(tmp_path)


def test_images_of_another_size_are_refused(tmp_path):
    make_image_folder(tmp_path, ["0.png"])
    Image.new("RGB", (80, 60)).save(tmp_path / "1.png")
    with open_video(tmp_path) as reader:
        reader.read(0)
        with pytest.raises(VideoError, match=r"1\.png is 80x60 pixels but the first .* 160x120"):
            reader.read(1)
        assert painted_index(reader.read(0).image_hwc) == 0


def test_two_images_of_one_stem_are_refused(tmp_path):
    make_image_folder(tmp_path, ["0.jpg", "0.png"])
    with pytest.raises(VideoError, match=r"0.jpg and 0.png in .* differ only in their suffix"):
        open_video(tmp_path)
