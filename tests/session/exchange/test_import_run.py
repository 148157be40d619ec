"""What was exported comes back as the same run, and what does not fit is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tests.made_runs import LABELS, masks_of, write_run
from tests.made_videos import make_image_folder, make_video
from tracker.errors import InputError, RunError
from tracker.masks import encode_rle, iou
from tracker.output.export import ExportOptions
from tracker.session.exchange.exporting import export_run
from tracker.session.exchange.importing import IMPORTERS, import_run
from tracker.session.progress import Progress
from tracker.session.resume.resuming import resume
from tracker.session.run_folder import RunFolder
from tracker.video import write_index_mask

FRAMES = range(2, 14, 3)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    return make_video(folder / "clip.mp4", 15, size=(97, 65), pixel_format="yuv444p")


def assert_same_masks(run: RunFolder, other: RunFolder) -> None:
    pairs = zip(run.frames(), other.frames(), strict=True)
    for a, b in pairs:
        assert (a.index, a.pts) == (b.index, b.pts)
        first, second = masks_of(a), masks_of(b)
        assert first.keys() == second.keys()
        assert all((first[i] == second[i]).all() for i in first)


@pytest.mark.parametrize("kind", ["special", "crowd"])
@pytest.mark.parametrize("name", IMPORTERS)
def test_an_export_comes_back_equal(video, tmp_path, name, kind):
    run = write_run(tmp_path / "run", video, FRAMES, kind, start=2, stride=3)
    (made,) = export_run(run, [name], tmp_path / "out")
    back = import_run(name, made.path, video, tmp_path / "back")
    assert_same_masks(run, back)
    assert back.info.status == "complete"
    assert back.info.models["sam2"].name == "imported"
    assert (back.info.settings.start, back.info.settings.stride) == (2, 3)
    assert (back.path / "masks").is_dir() and (back.path / "scores.csv").is_file()
    if kind == "special" and name in ("coco", "mots", "cvat"):
        assert back.info.labels == {i: label or None for i, label in LABELS.items()}


@pytest.mark.parametrize("name", IMPORTERS)
def test_the_first_mask_of_each_object_is_its_prompt(video, tmp_path, name):
    run = write_run(tmp_path / "run", video, FRAMES, start=2, stride=3)
    (made,) = export_run(run, [name], tmp_path / "out", ExportOptions(only=("1", "7")))
    back = import_run(name, made.path, video, tmp_path / "back")
    first = next(iter(run.frames()))
    prompts = {prompt.object_id: prompt for prompt in back.prompts}
    assert prompts.keys() == {1, 7}
    for object_id, prompt in prompts.items():
        assert prompt.frame == first.index
        assert (prompt.mask_hw == masks_of(first)[object_id]).all()


def test_polygons_of_coco_come_back_equal(video, tmp_path):
    run = write_run(tmp_path / "run", video, FRAMES, start=2, stride=3)
    options = ExportOptions(polygons=True, split=(0.5, 0.5, 0))
    (made,) = export_run(run, ["coco"], tmp_path / "out", options)
    assert_same_masks(run, import_run("coco", made.path, video, tmp_path / "back"))


def test_an_object_is_there_from_its_first_mask_on(video, tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    for index, value in ((0, 0), (1, 5), (2, 0)):
        index_hw = np.zeros((65, 97), np.uint8)
        index_hw[:20, :20] = 4
        index_hw[30:40, 30:40] = value
        write_index_mask(folder / f"frame_{index:04d}.png", index_hw)
    run = import_run("png", folder, video, tmp_path / "run")
    states = [[(m.object_id, m.state) for m in frame.objects] for frame in run.frames()]
    assert states == [
        [(4, "visible")],
        [(4, "visible"), (5, "visible")],
        [(4, "visible"), (5, "occluded")],
    ]


def test_names_of_images_and_binary_masks_are_understood(tmp_path):
    images = make_image_folder(tmp_path / "images", ["b.png", "a.png", "c.png"], (97, 65))
    folder = tmp_path / "masks"
    folder.mkdir()
    mask_hw = np.zeros((65, 97), np.uint8)
    mask_hw[10:20, 10:20] = 255
    Image.fromarray(mask_hw).save(folder / "c.png")
    run = import_run("png", folder, images, tmp_path / "run")
    (frame,) = run.frames()
    assert (frame.index, list(masks_of(frame))) == (2, [1])


def test_the_number_of_the_first_frame_can_be_given(video, tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    for number in (1, 2, 3):
        write_index_mask(folder / f"{number:05d}.png", np.full((65, 97), number, np.uint8))
    run = import_run("png", folder, video, tmp_path / "run", first=1)
    assert run.frame_indices == (0, 1, 2)
    with pytest.raises(InputError, match="names no frame"):
        import_run("png", folder, video, tmp_path / "other", first=2)


def test_davis_finds_the_sequence_of_the_video(video, tmp_path):
    run = write_run(tmp_path / "run", video, range(3))
    (made,) = export_run(run, ["davis"], tmp_path / "out")
    masks = made.path / "Annotations" / "480p"
    (masks / "clip").rename(masks / "bear")
    assert_same_masks(run, import_run("davis", made.path, video, tmp_path / "one"))
    (masks / "bear" / "x").mkdir()  # whatever else lies there
    (masks / "camel").mkdir()
    with pytest.raises(InputError, match="no one sequence 'clip' but bear, camel"):
        import_run("davis", made.path, video, tmp_path / "two")
    back = import_run("davis", masks / "bear", video, tmp_path / "two")
    assert_same_masks(run, back)


CVAT = """<annotations>
<meta><job><start_frame>0</start_frame><stop_frame>4</stop_frame></job></meta>
<track id="0" label="cup">
  <polygon frame="0" keyframe="1" outside="0" occluded="0" points="10.0,10.0;30.0,10.0;30.0,20.0"/>
  <polygon frame="3" keyframe="1" outside="1" occluded="0" points="10.0,10.0;30.0,10.0;30.0,20.0"/>
</track></annotations>"""


def test_cvat_keeps_a_shape_until_the_next_keyframe_and_takes_polygons(video, tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(CVAT)
    run = import_run("cvat", path, video, tmp_path / "run")
    visible = [list(masks_of(frame)) for frame in run.frames()]
    assert visible == [[1], [1], [1], [], []]  # track 0 is object 1
    assert run.info.labels == {1: "cup"}
    triangle = np.zeros((65, 97), bool)
    for y in range(10, 20):
        triangle[y, 10 + 2 * (y - 10) + 1 : 30] = True
    (mask_hw,) = masks_of(run.frame_masks(0)).values()
    assert iou(mask_hw, triangle) > 0.9


MASKS = """<annotations>
<track id="0" label="cup" group_id="4">
  <mask frame="1" outside="0" keyframe="1" rle="0, 2, 1, 3" left="10" top="5" width="3" height="2"/>
  <mask frame="2" outside="1" keyframe="1" rle="0, 2, 1, 3" left="10" top="5" width="3" height="2"/>
</track>
<track id="1" label="cup" group_id="4">
  <mask frame="2" outside="0" keyframe="1" rle="1, 1" left="7" top="5" width="2" height="1"/>
  <mask frame="3" outside="1" keyframe="1" rle="1, 1" left="7" top="5" width="2" height="1"/>
</track></annotations>"""


def test_cvat_masks_of_one_group_are_one_object(video, tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(MASKS)
    run = import_run("cvat", path, video, tmp_path / "run")
    pixels = [{i: np.argwhere(m).tolist() for i, m in masks_of(f).items()} for f in run.frames()]
    block = [[5, 10], [5, 11], [6, 10], [6, 11], [6, 12]]
    assert run.frame_indices == (1, 2, 3)
    assert pixels == [{1: block}, {1: [[5, 8]]}, {}]


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("cvat", MASKS.replace("0, 2", "0, 3"), "damaged mask"),
        ("cvat", MASKS.replace('left="10"', 'left="95"'), "lies outside"),
        ("cvat", "<annotations></annotations>", "has no track"),
        ("cvat", "no xml", "not CVAT's XML"),
        ("cvat", CVAT.replace("polygon", "box"), "a box is no mask"),
        ("cvat", CVAT.replace("30.0,20.0", "x"), "damaged mask"),
        ("coco", "no json", "not COCO's instances JSON"),
        ("coco", "[]", "not COCO's instances JSON"),
        ("mots", "1 2 3", "not a MOTS text"),
        ("mots", "1 1001 1 10 10 0", "is 10x10 pixels but"),
        ("mots", "1 1001 1 10 10 PPYo5", "not a run-length coded mask"),
        ("png", "", "not a folder of masks"),
    ],
)
def test_what_cannot_be_read_is_refused_before_anything_is_written(
    video, tmp_path, name, content, text
):
    path = tmp_path / "annotations"
    path.write_text(content)
    with pytest.raises(InputError, match=text):
        import_run(name, path, video, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def coco_document(**changes):
    mask_hw = np.zeros((65, 97), bool)
    mask_hw[5:9, 5:9] = True
    image = {"id": 3, "file_name": "00001.jpg", "width": 97, "height": 65}
    entry = {"id": 9, "image_id": 3, "category_id": 1, "segmentation": encode_rle(mask_hw)}
    document = {
        "images": [image],
        "annotations": [{**entry, "track_id": 5}],
        "categories": [{"id": 1, "name": "cup"}],
    }
    return {**document, **changes}, image, entry


def test_coco_of_others_is_matched_by_file_name(video, tmp_path):
    document, _, _ = coco_document()
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document))
    run = import_run("coco", path, video, tmp_path / "run")
    assert run.frame_indices == (1,)
    assert run.info.labels == {5: "cup"}


def test_coco_that_does_not_fit_is_refused(video, tmp_path):
    document, image, entry = coco_document()
    wrong = {
        "without a track_id": {"annotations": [entry]},
        "is 10x65 pixels but": {"images": [{**image, "width": 10}]},
        "several videos": {"videos": [{"id": 1}, {"id": 2}]},
        "frame 99 is annotated, but": {"images": [{**image, "file_name": "99.jpg"}]},
        "names no frame": {"images": [{**image, "file_name": "abc.jpg"}]},
        "marks no pixel": {"annotations": []},
    }
    for text, changes in wrong.items():
        path = tmp_path / "a.json"
        path.write_text(json.dumps({**document, **changes}))
        with pytest.raises(InputError, match=text):
            import_run("coco", path, video, tmp_path / "run", overwrite=True)


def test_masks_of_another_size_are_refused(video, tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    write_index_mask(folder / "00000.png", np.ones((65, 96), np.uint8))
    with pytest.raises(InputError, match=r"frame 0, is 96x65 pixels but .* is 97x65"):
        import_run("png", folder, video, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_import_that_was_cut_short_is_begun_again(video, tmp_path):
    class Interrupted(Progress):
        importing = False

        def stage(self, name, frames):
            self.importing = name == "importing"

        def frame(self):
            if self.importing:
                raise KeyboardInterrupt

    run = write_run(tmp_path / "run", video, FRAMES, start=2, stride=3)
    (made,) = export_run(run, ["coco"], tmp_path / "out")
    back = tmp_path / "back"
    with pytest.raises(KeyboardInterrupt):
        import_run("coco", made.path, video, back, progress=Interrupted())
    assert RunFolder(back).info.status == "interrupted"
    with pytest.raises(RunError, match="was not imported to its end; track import"):
        resume(back)
    assert_same_masks(run, import_run("coco", made.path, video, back, overwrite=True))


def test_a_run_is_not_overwritten_unasked(video, tmp_path):
    run = write_run(tmp_path / "run", video, range(3))
    (made,) = export_run(run, ["png"], tmp_path / "out")
    with pytest.raises(RunError, match="--overwrite"):
        import_run("png", made.path, video, run.path)
    import_run("png", made.path, video, run.path, overwrite=True)
    with pytest.raises(RunError, match="lies in the run folder"):
        import_run("png", run.path / "masks", video, run.path, overwrite=True)
    with pytest.raises(RunError, match="unknown format 'voc'; known: png, davis"):
        import_run("voc", made.path, video, tmp_path / "other")
