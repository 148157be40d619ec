import signal
import subprocess
import sys

import numpy as np
import pytest

from tracker.errors import ReferenceMemoryError
from tracker.memory.store import ReferenceMemory


@pytest.fixture
def memory(tmp_path, extractor):
    return ReferenceMemory.open(tmp_path / "memory", extractor, create=True)


def test_what_is_added_comes_back(memory, disc, extractor):
    image, mask = disc(80, 60)
    added = memory.add(image, mask, " ball ")
    assert len(added.id) == 64
    for reference in (added, memory.get(added.id), memory.get(added.id[:6].upper())):
        assert (reference.id, reference.label) == (added.id, "ball")
        np.testing.assert_array_equal(reference.image_hwc, image)
        np.testing.assert_array_equal(reference.mask_hw, mask)
    expected = extractor.extract(image)
    np.testing.assert_array_equal(added.features.global_c, expected.global_c)
    np.testing.assert_allclose(added.features.patches_hwc, expected.patches_hwc, atol=1e-3)


def test_the_list_needs_no_files(memory, disc):
    image, mask = disc(80, 60)
    added = memory.add(image, mask, "ball")
    memory.add(*disc(120, 90, colour=(20, 200, 20)), "apple")
    for path in memory.folder.rglob("*.png"):
        path.unlink()
    apple, ball = memory.list()
    assert (apple.label, ball.label, ball.id) == ("apple", "ball", added.id)
    assert (ball.width, ball.height, ball.area_px) == (240, 180, int(mask.sum()))
    assert memory.labels() == ("apple", "ball")


def test_the_same_reference_twice_is_one_entry(memory, disc):
    image, mask = disc(80, 60)
    first = memory.add(image, mask, "ball")
    files = {path: path.stat().st_mtime_ns for path in memory.folder.rglob("*")}
    assert memory.add(image.copy(), mask.copy(), "ball").id == first.id
    assert len(memory.list()) == 1
    assert {path: path.stat().st_mtime_ns for path in memory.folder.rglob("*")} == files


def test_another_label_for_the_same_reference_is_refused(memory, disc):
    image, mask = disc(80, 60)
    first = memory.add(image, mask, "ball")
    with pytest.raises(ReferenceMemoryError, match=f"as 'ball' already.*remove {first.id[:12]}"):
        memory.add(image, mask, "apple")
    assert memory.labels() == ("ball",)


def test_two_objects_of_one_image_are_two_entries(memory, disc):
    image, mask = disc(80, 60)
    ids = {memory.add(image, mask, "disc").id, memory.add(image, ~mask, "ground").id}
    assert len(ids) == len(memory.list()) == 2


@pytest.mark.parametrize("label", ["", "  ", "two\nlines", "\x1b[31m", "x" * 101])
def test_unusable_labels_are_refused(memory, disc, label):
    with pytest.raises(ReferenceMemoryError, match="a label is one line"):
        memory.add(*disc(80, 60), label)


def test_unusable_masks_are_refused(memory, disc):
    image, mask = disc(80, 60)
    with pytest.raises(ReferenceMemoryError, match="the mask is empty"):
        memory.add(image, np.zeros_like(mask), "ball")
    with pytest.raises(
        ReferenceMemoryError, match="the mask is 100x180 pixels but the image is 240"
    ):
        memory.add(image, mask[:, :100], "ball")
    assert memory.list() == ()


def test_remove_takes_the_files_along(memory, disc):
    kept = memory.add(*disc(80, 60), "ball")
    gone = memory.add(*disc(120, 90), "ball")
    assert memory.remove(gone.id[:8]) == gone.id
    assert [entry.id for entry in memory.list()] == [kept.id]
    assert memory.verify() == ()
    with pytest.raises(ReferenceMemoryError, match="no id begins with"):
        memory.get(gone.id)


def test_ids_must_be_clear(memory, disc):
    memory.add(*disc(80, 60), "ball")
    for prefix in ("", "abc", "xyz123", "%%%%"):
        with pytest.raises(ReferenceMemoryError, match="is not an id"):
            memory.get(prefix)
    with memory._index.write() as db:
        copy = (
            "INSERT INTO reference SELECT ?, label, added_at, width, height, area_px, global_f32,"
        )
        columns = " image_sha256, mask_sha256, features_sha256 FROM reference LIMIT 1"
        db.execute(copy + columns, ("abcd" + 60 * "0",))
        db.execute(copy + columns, ("abcd" + 60 * "1",))
    with pytest.raises(ReferenceMemoryError, match="several ids begin with 'abcd'"):
        memory.find("abcd")
    assert memory.find("abcd0") == "abcd" + 60 * "0"


def test_no_memory_is_an_error_that_says_how_to_make_one(tmp_path, extractor):
    with pytest.raises(ReferenceMemoryError, match=r"no reference memory in .*track memory add"):
        ReferenceMemory.open(tmp_path / "none", extractor)
    assert not (tmp_path / "none").exists()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path, extractor):
    (tmp_path / "letter.txt").write_text("Dear Ada")
    with pytest.raises(ReferenceMemoryError, match=r"holds other files \('letter.txt'\)"):
        ReferenceMemory.open(tmp_path, extractor, create=True)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_another_feature_model_is_refused_until_everything_is_described_again(
    memory, disc, extractor, other_extractor
):
    ids = [memory.add(*disc(x, 60), "ball").id for x in (60, 120)]
    assert memory.feature_model == ("tiny", extractor.weights_sha256)
    with pytest.raises(ReferenceMemoryError, match=r"track memory reembed .*--features other"):
        ReferenceMemory.open(memory.folder, other_extractor)

    steps = []
    keeper = ReferenceMemory.open(memory.folder)
    assert keeper.reembed(other_extractor, lambda done, total: steps.append((done, total))) == 2
    assert steps == [(1, 2), (2, 2)]

    fresh = ReferenceMemory.open(memory.folder, other_extractor)
    assert fresh.verify() == ()
    reference = fresh.get(ids[0])
    expected = other_extractor.extract(reference.image_hwc)
    np.testing.assert_allclose(reference.features.patches_hwc, expected.patches_hwc, atol=1e-3)
    # The one that still holds the old model notices.
    with pytest.raises(ReferenceMemoryError, match="described by the feature model 'other'"):
        memory.global_features()
    with pytest.raises(ReferenceMemoryError, match="described by the feature model 'other'"):
        memory.add(*disc(90, 90), "ball")


def test_an_emptied_memory_takes_another_feature_model(memory, disc, other_extractor):
    memory.remove(memory.add(*disc(80, 60), "ball").id)
    assert memory.feature_model is None
    other = ReferenceMemory.open(memory.folder, other_extractor)
    other.add(*disc(80, 60), "ball")
    assert other.feature_model == ("other", other_extractor.weights_sha256)


def test_verify_finds_missing_damaged_and_forgotten_files(memory, disc):
    one, two = (memory.add(*disc(x, 60), "ball") for x in (60, 120))
    assert memory.verify() == ()
    (memory.folder / "images" / f"{one.id}.png").unlink()
    features = next(memory.folder.glob(f"features/*/{two.id}.safetensors"))
    data = bytearray(features.read_bytes())
    data[-1] ^= 1
    features.write_bytes(data)
    stray = memory.folder / "masks" / "stray.png.0123.tmp"
    stray.write_bytes(b"half")

    found = {(p.kind, p.reference_id, p.path): p.remedy for p in memory.verify()}
    missing = ("missing", one.id, memory.folder / "images" / f"{one.id}.png")
    damaged, orphan = ("damaged", two.id, features), ("orphan", None, stray)
    assert found.keys() == {missing, damaged, orphan}
    assert "track memory reembed" in found[damaged]
    assert "track memory remove" in found[missing]
    with pytest.raises(ReferenceMemoryError, match=r"is missing.*track memory verify"):
        memory.get(one.id)
    with pytest.raises(ReferenceMemoryError, match=r"is damaged.*track memory verify"):
        memory.get(two.id)

    assert memory.remove_orphans() == (stray,)
    memory.remove(one.id)
    memory.reembed(memory.extractor)
    assert memory.verify() == ()
    assert memory.get(two.id).id == two.id


# Adds references from a process of its own, without torch: mean colours are features enough here.
ADDER = """
import sys
import numpy as np
from tracker.memory.store import ReferenceMemory
from tracker.types import ImageFeatures

class MeanColours:
    name, weights_sha256 = "colours", "c0" * 32
    def extract(self, image_hwc):
        colour = image_hwc.mean(axis=(0, 1), dtype=np.float32)
        colour /= np.linalg.norm(colour)
        return ImageFeatures(colour, np.tile(colour, (2, 2, 1)))

memory = ReferenceMemory.open(sys.argv[1], MeanColours(), create=True)
mask = np.ones((40, 40), bool)
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    memory.add(np.full((40, 40, 3), number + 1, np.uint8), mask, "grey")
    print(number, flush=True)
"""


def start_adder(folder, first, last):
    command = [sys.executable, "-c", ADDER, str(folder), str(first), str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_make_and_fill_one_memory(tmp_path):
    processes = [start_adder(tmp_path / "memory", *span) for span in ((0, 12), (6, 18))]
    assert [process.wait(60) for process in processes] == [0, 0]
    memory = ReferenceMemory.open(tmp_path / "memory")
    assert len(memory.list()) == 18
    assert memory.verify() == ()


def test_a_killed_process_leaves_a_sound_memory(tmp_path):
    process = start_adder(tmp_path / "memory", 0, 200)
    for _ in range(5):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    memory = ReferenceMemory.open(tmp_path / "memory")
    assert 5 <= len(memory.list()) < 200
    assert {problem.kind for problem in memory.verify()} <= {"orphan"}
    memory.remove_orphans()
    assert memory.verify() == ()
    again = start_adder(tmp_path / "memory", 0, 8)
    assert again.wait(60) == 0
