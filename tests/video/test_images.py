from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from tests.made_videos import paint_index, painted_index
from tracker.errors import VideoError
from tracker.video import index_palette, read_image, read_index_mask, write_index_mask

RAMP_HW = np.arange(12, dtype=np.uint8).reshape(3, 4)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "gif", "tiff"])
def test_images_come_as_rgb(tmp_path, suffix):
    Image.fromarray(paint_index(5)).save(tmp_path / f"image.{suffix}")
    image_hwc = read_image(tmp_path / f"image.{suffix}")
    assert (image_hwc.shape, image_hwc.dtype) == ((120, 160, 3), np.uint8)
    assert painted_index(image_hwc) == 5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_of_cameras_stand_upright(tmp_path, orientation):
    upright = Image.fromarray(paint_index(9))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "photo.jpg", exif=exif)
    image_hwc = read_image(tmp_path / "photo.jpg")
    assert image_hwc.shape == (120, 160, 3)
    assert painted_index(image_hwc) == 9


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK"])
def test_all_modes_become_rgb(tmp_path, mode):
    path = tmp_path / ("image.tiff" if mode == "CMYK" else "image.png")
    Image.new("RGB", (4, 3), (255, 255, 255)).convert(mode).save(path)
    assert read_image(path).tolist() == np.full((3, 4, 3), 255).tolist()


def test_16_bit_grey_is_cut_to_8(tmp_path):
    Image.fromarray(np.full((3, 4), 0x8040, np.uint16)).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png").tolist() == np.full((3, 4, 3), 0x80).tolist()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_orientation_does_not_stop_a_picture(tmp_path):
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff" + bytes(6)
    Image.fromarray(paint_index(3)).save(tmp_path / "photo.jpg", exif=exif)
    assert painted_index(read_image(tmp_path / "photo.jpg")) == 3


@pytest.mark.parametrize("read", [read_image, read_index_mask])
def test_what_is_no_image_is_named(tmp_path, read):
    with pytest.raises(VideoError, match="no such image"):
        read(tmp_path / "missing.png")
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(VideoError, match="is not an image"):
        read(tmp_path / "text.png")
    Image.fromarray(paint_index(0)).save(tmp_path / "cut.png")
    os.truncate(tmp_path / "cut.png", 100)
    with pytest.raises(VideoError, match="cannot decode"):
        read(tmp_path / "cut.png")
    with pytest.raises(VideoError):
        read(tmp_path)


def test_index_masks_survive_writing_and_reading(tmp_path):
    write_index_mask(tmp_path / "mask.png", RAMP_HW)
    index_hw = read_index_mask(tmp_path / "mask.png")
    assert index_hw.dtype == np.uint8
    assert index_hw.tolist() == RAMP_HW.tolist()
    with Image.open(tmp_path / "mask.png") as image:
        assert image.mode == "P"
        assert np.array(image.convert("RGB")).tolist() == index_palette()[RAMP_HW].tolist()


def test_many_ids_need_16_bits(tmp_path):
    wide_hw = RAMP_HW.astype(np.uint16) * 5000
    write_index_mask(tmp_path / "mask.png", wide_hw)
    index_hw = read_index_mask(tmp_path / "mask.png")
    assert index_hw.dtype == np.uint16
    assert index_hw.tolist() == wide_hw.tolist()


def test_arrays_in_any_memory_order_can_be_written(tmp_path):
    write_index_mask(tmp_path / "mask.png", np.asfortranarray(RAMP_HW)[::-1, ::2])
    assert read_index_mask(tmp_path / "mask.png").tolist() == RAMP_HW[::-1, ::2].tolist()


@pytest.mark.parametrize("greatest", [255, 65535])
def test_a_black_and_white_image_is_binary(tmp_path, greatest):
    dtype = np.uint8 if greatest == 255 else np.uint16
    Image.fromarray(np.array([[0, greatest], [greatest, 0]], dtype)).save(tmp_path / "mask.png")
    index_hw = read_index_mask(tmp_path / "mask.png")
    assert index_hw.dtype == np.uint8
    assert index_hw.tolist() == [[0, 1], [1, 0]]


def test_grey_and_one_bit_images_give_what_they_store(tmp_path):
    Image.fromarray(RAMP_HW).save(tmp_path / "grey.png")
    assert read_index_mask(tmp_path / "grey.png").tolist() == RAMP_HW.tolist()
    Image.fromarray(RAMP_HW % 2 == 1).save(tmp_path / "bit.png")
    assert read_index_mask(tmp_path / "bit.png").tolist() == (RAMP_HW % 2).tolist()


def test_a_mask_saved_as_colour_is_taken_if_it_is_grey(tmp_path):
    white_hwc = np.zeros((2, 3, 3), np.uint8)
    white_hwc[0] = 255
    Image.fromarray(white_hwc).save(tmp_path / "mask.png")
    assert read_index_mask(tmp_path / "mask.png").tolist() == [[1, 1, 1], [0, 0, 0]]
    white_hwc[1, 0] = (255, 0, 0)
    Image.fromarray(white_hwc).save(tmp_path / "colour.png")
    with pytest.raises(VideoError, match=r"colour image .* save the mask as a PNG"):
        read_index_mask(tmp_path / "colour.png")


def test_a_jpeg_is_cut_at_half(tmp_path):
    disc_hw = np.hypot(*np.mgrid[-20:20, -20:20]) < 12
    Image.fromarray(disc_hw.astype(np.uint8) * 255).save(tmp_path / "mask.jpg", quality=40)
    index_hw = read_index_mask(tmp_path / "mask.jpg")
    assert set(np.unique(index_hw)) == {0, 1}
    assert np.count_nonzero(index_hw != disc_hw) < 30


def test_an_empty_mask_stays_empty(tmp_path):
    write_index_mask(tmp_path / "mask.png", np.zeros((2, 2), np.uint8))
    assert not read_index_mask(tmp_path / "mask.png").any()


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.int64), np.zeros((0, 2), np.uint8)]
)
def test_what_is_no_index_mask_is_refused(tmp_path, wrong):
    with pytest.raises(VideoError, match="an index mask is"):
        write_index_mask(tmp_path / "mask.png", wrong)
    assert os.listdir(tmp_path) == []


def test_writing_into_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(VideoError, match="there is no folder"):
        write_index_mask(tmp_path / "missing" / "mask.png", RAMP_HW)


def test_the_palette_deals_bits_to_channels():
    palette_n3 = index_palette()
    assert palette_n3.shape == (256, 3)
    assert palette_n3[:5].tolist() == [
        *([0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128])
    ]
    assert palette_n3[255].tolist() == [224, 224, 192]
    assert len(np.unique(palette_n3, axis=0)) == 256
