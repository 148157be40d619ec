import numpy as np
import pytest

from tracker.errors import ReferenceMemoryError
from tracker.memory import files


def test_content_id_depends_on_every_pixel_and_on_the_sizes():
    image, mask = np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), bool)
    ids = {files.content_id(image, mask)}
    ids.add(files.content_id(image.reshape(6, 4, 3), mask.reshape(6, 4)))
    other = image.copy()
    other[3, 5, 2] = 1
    ids.add(files.content_id(other, mask))
    marked = mask.copy()
    marked[0, 0] = True
    ids.add(files.content_id(image, marked))
    assert len(ids) == 4
    assert files.content_id(image.copy(), mask.copy()) in ids


def test_content_id_does_not_depend_on_the_memory_layout():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    mask = image[..., 0] > 100
    mirrored = np.ascontiguousarray(image[:, ::-1])
    assert files.content_id(image[:, ::-1], mask) == files.content_id(mirrored, mask)


def test_images_and_masks_come_back_as_they_were():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    mask = image[..., 0] > 100
    np.testing.assert_array_equal(files.decode_image(files.encode_image(image)), image)
    np.testing.assert_array_equal(files.decode_mask(files.encode_mask(mask)), mask)


def test_patches_come_back_normalised_and_close():
    patches = np.random.default_rng(0).normal(size=(3, 4, 64)).astype(np.float32)
    patches /= np.linalg.norm(patches, axis=2, keepdims=True)
    back = files.decode_patches(files.encode_patches(patches, "tiny", "00"))
    np.testing.assert_allclose(np.linalg.norm(back, axis=2), 1, atol=1e-6)
    assert np.linalg.norm(back - patches, axis=2).max() < 1e-3


@pytest.mark.parametrize("decode", [files.decode_image, files.decode_mask, files.decode_patches])
@pytest.mark.parametrize("data", [b"", b"\x80\x04\x95", b"\x89PNG\r\n\x1a\n" + b"\x00" * 40])
def test_other_bytes_are_refused(decode, data):
    with pytest.raises(ValueError, match="not a"):
        decode(data)


def test_a_failed_write_leaves_nothing(tmp_path):
    (tmp_path / "occupied").mkdir()
    with pytest.raises(ReferenceMemoryError, match="cannot write"):
        files.write_atomically(tmp_path / "occupied", b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["occupied"]
