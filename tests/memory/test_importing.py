import json

import cv2
import numpy as np
import pytest

from tracker.errors import ReferenceMemoryError, VideoError
from tracker.memory.importing import find_references, read_object_mask


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)


@pytest.fixture
def labelled(tmp_path, disc):
    for number, label in enumerate(["apple", "apple", "pear"]):
        image, mask = disc(60 + 20 * number, 60)
        write(tmp_path / "images" / label / f"{number}.jpg", image)
        write(tmp_path / "masks" / label / f"{number}.png", mask.astype(np.uint8) * 255)
    return tmp_path


@pytest.fixture
def memory_sam(tmp_path, disc):
    """As Memory-SAM writes it: index.json, and files by item, features among them."""
    items = []
    for number, metadata in enumerate([{"timestamp": "…"}, {"label": "cup"}, None]):
        image, mask = disc(60 + 20 * number, 60)
        write(tmp_path / f"item_{number}" / "image.png", image)
        write(tmp_path / f"item_{number}" / "mask.png", mask.astype(np.uint8) * 255)
        (tmp_path / f"item_{number}" / "features.npy").write_bytes(b"\x80\x04never unpickled")
        names = {f"{what}_path": f"item_{number}/{what}.png" for what in ("image", "mask")}
        item = {"id": number, **names, "features_path": f"item_{number}/features.npy"}
        items.append(item if metadata is None else {**item, "metadata": metadata})
    (tmp_path / "index.json").write_text(json.dumps({"items": items, "next_id": 3}))
    return tmp_path


def test_labelled_folders_are_read_in_order(labelled, disc):
    (labelled / "images" / "apple" / "notes.txt").write_text("no image")
    found = find_references(labelled)
    assert [entry.label for entry in found] == ["apple", "apple", "pear"]
    image, mask = found[2].read()
    np.testing.assert_array_equal(mask, disc(100, 60)[1])
    assert image.shape == (180, 240, 3)


def test_an_image_without_a_mask_is_named(labelled):
    (labelled / "masks" / "pear" / "2.png").unlink()
    with pytest.raises(ReferenceMemoryError, match=r"2\.jpg has no mask; expected .*pear/2\.png"):
        find_references(labelled)


def test_the_memories_of_memory_sam_are_read(memory_sam, disc):
    found = find_references(memory_sam)
    assert [entry.label for entry in found] == [None, "cup", None]
    for number, entry in enumerate(found):
        image, mask = disc(60 + 20 * number, 60)
        got_image, got_mask = entry.read()
        np.testing.assert_array_equal(got_image, image)
        np.testing.assert_array_equal(got_mask, mask)


def test_every_value_but_zero_marks_the_object_there(memory_sam):
    soft = np.zeros((180, 240), np.uint8)
    soft[50:80, 50:90] = 100
    soft[55:75, 55:85] = 255
    write(memory_sam / "item_0" / "mask.png", soft)
    _, mask = find_references(memory_sam)[0].read()
    np.testing.assert_array_equal(mask, soft > 0)


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "item_0/../../secret.png"])
def test_an_index_cannot_lead_out_of_its_folder(memory_sam, name):
    items = [{"image_path": name, "mask_path": "item_0/mask.png"}]
    (memory_sam / "index.json").write_text(json.dumps({"items": items}))
    with pytest.raises(ReferenceMemoryError, match="lies outside the folder"):
        find_references(memory_sam)


@pytest.mark.parametrize("text", ["", "[]", '{"items": [{}]}', '{"items": 3}', '{"items": [3]}'])
def test_other_indexes_are_refused(tmp_path, text):
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(ReferenceMemoryError, match="is not an index of Memory-SAM"):
        find_references(tmp_path)


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(ReferenceMemoryError, match="nothing to import"):
        find_references(tmp_path)


def test_the_object_of_a_mask_image(tmp_path):
    index = np.zeros((20, 30), np.uint8)
    write(tmp_path / "none.png", index)
    index[:10, :10] = 3
    write(tmp_path / "one.png", index)
    index[10:, 10:] = 7
    write(tmp_path / "two.png", index)
    np.testing.assert_array_equal(read_object_mask(tmp_path / "two.png", 7), index == 7)
    np.testing.assert_array_equal(read_object_mask(tmp_path / "one.png"), index == 3)
    with pytest.raises(ReferenceMemoryError, match="is empty"):
        read_object_mask(tmp_path / "none.png")
    with pytest.raises(ReferenceMemoryError, match="holds the objects 3, 7; choose one: --object"):
        read_object_mask(tmp_path / "two.png")
    with pytest.raises(ReferenceMemoryError, match="holds no object 4, only 3, 7"):
        read_object_mask(tmp_path / "two.png", 4)
    with pytest.raises(VideoError, match="no such image"):
        read_object_mask(tmp_path / "absent.png")
