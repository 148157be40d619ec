"""Images from end to end, on the embedded demo model: what is found, kept, written and done again.

The pictures are discs on a textured ground, of two sizes.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from tests.made_detector import make_detector
from tracker.errors import (
    ModelError,
    PromptError,
    ReferenceMemoryError,
    SettingsError,
    VideoError,
)
from tracker.masks import iou
from tracker.memory.prompting import find_prompts
from tracker.output.export import ExportOptions
from tracker.session.images import finders
from tracker.session.images.batch import Wanted, segment_images
from tracker.session.images.image_files import ImageFile
from tracker.session.images.measuring import LabelMeasure, Measures, Scale
from tracker.session.images.settings import ImageSettings
from tracker.session.progress import Progress
from tracker.types import Prompt
from tracker.video import open_video, read_image, read_index_mask

SIZES = {"a": (160, 120), "b": (120, 160)}  # width and height
CENTRE, RADIUS = (70, 60), 30
BOX = (40.0, 30.0, 101.0, 91.0)
SAMPLES = Path(__file__).parents[3] / "samples"
MODEL = {"model": "demo", "device": "cpu"}


def disc(size: tuple[int, int]) -> np.ndarray:
    rows, columns = np.mgrid[: size[1], : size[0]]
    return (columns - CENTRE[0]) ** 2 + (rows - CENTRE[1]) ** 2 <= RADIUS**2


def paint(path: Path, size: tuple[int, int]) -> Path:
    rng = np.random.default_rng(0)
    image_hwc = rng.integers(40, 90, (size[1], size[0], 3), np.uint8)
    image_hwc[disc(size)] = (220, 70, 40)
    Image.fromarray(image_hwc).save(path)
    return path


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, size in SIZES.items():
        paint(folder / f"{name}.png", size)
    return folder


class Heard(Progress):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int | None]] = []
        self.notices: list[str] = []
        self.frames = 0

    def stage(self, name, frames):
        self.stages.append((name, frames))

    def frame(self):
        self.frames += 1

    def notice(self, text):
        self.notices.append(text)


@pytest.fixture
def boxes(tmp_path):
    path = tmp_path / "boxes.json"
    entries = [
        {"image": "a.png", "box": BOX, "label": "ball", "score": 0.9},
        {"image": "a.png", "box": BOX, "label": "moon", "score": 0.1},
        {"image": "b.png", "box": BOX, "label": "ball", "score": 0.6},
    ]
    path.write_text(json.dumps(entries))
    return str(path)


def test_boxes_become_masks_and_every_output(pictures, boxes, tmp_path):
    heard, out = Heard(), tmp_path / "out"
    formats = ("png", "png-per-object", "coco", "yolo", "yolo-detect", "voc", "labelme", "cutout")
    batch = segment_images(
        [pictures],
        out,
        ImageSettings(boxes=boxes, **MODEL),
        wanted=Wanted((*formats, "overlay"), measures=Measures(Scale(px_per_cm=10.0), {})),
        progress=heard,
    )
    assert (batch.images, batch.done_before, batch.failures) == (2, 0, ())
    assert heard.stages == [("segmenting", 2), ("writing", 2)] and heard.frames == 4
    assert [row.values["label"] for row in batch.table.rows] == ["ball", "ball"]
    assert [row.values["score"] for row in batch.table.rows] == [0.9, 0.6]
    assert batch.table.rows[0].measured.area_cm2 == pytest.approx(
        np.count_nonzero(disc(SIZES["a"])) / 100, rel=0.15
    )

    coco = COCO(str(out / "coco" / "annotations" / "instances_train.json"))
    for name, (width, height) in SIZES.items():
        mask_hw = read_index_mask(out / "masks" / f"{name}.png") == 1
        assert mask_hw.shape == (height, width)
        assert iou(mask_hw, disc((width, height))) > 0.85
        (entry,) = [e for e in coco.imgs.values() if Path(e["file_name"]).stem == name]
        assert (entry["width"], entry["height"]) == (width, height)
        (annotation,) = coco.loadAnns(coco.getAnnIds(imgIds=[entry["id"]]))
        assert (coco.annToMask(annotation).astype(bool) == mask_hw).all()
        assert (out / "yolo" / "labels" / "train" / f"{name}.txt").read_text().startswith("0 ")
        labelme = json.loads((out / "labelme" / f"{name}.json").read_text())
        assert (labelme["imageWidth"], labelme["shapes"][0]["label"]) == (width, "ball")
        with Image.open(out / "cutout" / f"{name}.png") as cutout:
            assert ((np.asarray(cutout)[..., 3] == 255) == mask_hw).all()
        overlay_hwc = read_image(out / "overlays" / f"{name}.jpg")
        assert overlay_hwc.shape == (height, width, 3)
        assert np.abs(overlay_hwc.astype(int) - read_image(pictures / f"{name}.png")).max() > 60
    assert set(batch.outputs) == {*formats, "overlay"}


def test_what_is_done_is_not_done_again(pictures, boxes, tmp_path):
    def call(**options):
        settings = ImageSettings(boxes=boxes, **MODEL)
        return segment_images([pictures], tmp_path / "out", settings, wanted=Wanted(()), **options)

    assert call().done_before == 0
    result = tmp_path / "out" / "results" / "a.json"
    first = (result.stat().st_mtime_ns, result.read_text())
    paint(pictures / "c.png", (64, 64))
    (pictures / "b.png").unlink()
    paint(pictures / "b.png", (130, 140))  # another picture under the same name
    again = call()
    assert (again.images, again.done_before) == (3, 1)
    assert (result.stat().st_mtime_ns, result.read_text()) == first
    assert call(overwrite=True).done_before == 0
    assert result.read_text() == first[1]  # the same input, the same masks


def test_what_was_done_before_an_interruption_is_kept(pictures, boxes, tmp_path):
    class Interrupted(Progress):
        def frame(self):
            raise KeyboardInterrupt

    settings = ImageSettings(boxes=boxes, **MODEL)
    with pytest.raises(KeyboardInterrupt):
        segment_images([pictures], tmp_path / "out", settings, progress=Interrupted())
    batch = segment_images([pictures], tmp_path / "out", settings, wanted=Wanted(("png",)))
    assert (batch.images, batch.done_before) == (2, 1)
    assert {path.name for path in (tmp_path / "out" / "masks").iterdir()} == {"a.png", "b.png"}


def test_a_bad_image_does_not_stop_the_rest(pictures, boxes, tmp_path):
    (pictures / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing")
    entries = json.loads(Path(boxes).read_text())
    entries.append({"image": "c", "box": [500, 500, 510, 510]})
    Path(boxes).write_text(json.dumps(entries))
    paint(pictures / "c.png", (64, 64))
    heard = Heard()
    settings = ImageSettings(boxes=boxes, **MODEL)
    batch = segment_images([pictures], tmp_path / "out", settings, progress=heard)
    assert [failure.path.name for failure in batch.failures] == ["broken.jpg", "c.png"]
    assert "cannot decode" in batch.failures[0].message
    assert "is empty or not on the image" in batch.failures[1].message
    assert len(heard.notices) == 2
    assert len(batch.table.rows) == 2
    assert not (tmp_path / "out" / "masks" / "c.png").exists()


def test_points_boxes_and_masks_that_a_user_shows(pictures, tmp_path):
    shown_hw = np.zeros((160, 120), bool)
    shown_hw[:10, :20] = True
    prompts = [
        Prompt(0, 4, box_xyxy=BOX, label="ball"),
        Prompt(0, 3, box_xyxy=BOX, view_xyxy=(22, 12, 130, 112)),
        Prompt(0, 2, np.array([CENTRE, (5, 5)], np.float32), np.array([1, 0], np.int32)),
        Prompt(1, 2, mask_hw=shown_hw),
    ]
    out = tmp_path / "out"
    options = ExportOptions(frames="none")
    batch = segment_images(
        [pictures], out, ImageSettings(**MODEL), prompts, Wanted(("png-per-object",), options)
    )
    found = [(r.values["image"], r.values["object"], r.values["label"]) for r in batch.table.rows]
    assert found == [("a", 4, "ball"), ("a", 3, ""), ("a", 2, ""), ("b", 2, "")]
    for number in (4, 3):
        mask_hw = read_index_mask(out / f"objects/by-frame/a/{number}.png") == 1
        assert iou(mask_hw, disc(SIZES["a"])) > 0.85
    pointed_hw = read_index_mask(out / "objects/by-frame/a/2.png") == 1
    assert pointed_hw[CENTRE[1], CENTRE[0]] and not pointed_hw[5, 5]
    assert (read_index_mask(out / "objects/by-frame/b/2.png").astype(bool) == shown_hw).all()


def test_masks_end_where_the_picture_does_or_where_the_model_says(pictures, tmp_path):
    truth_hw, agreement = disc(SIZES["a"]), {}
    for edges in ("model", "picture"):
        settings = ImageSettings(**MODEL, edges=edges)
        wanted = Wanted(("png-per-object",), ExportOptions(frames="none"))
        out = tmp_path / edges
        segment_images([pictures / "a.png"], out, settings, [Prompt(0, 1, box_xyxy=BOX)], wanted)
        mask_hw = read_index_mask(out / "objects/by-frame/a/1.png") == 1
        agreement[edges] = iou(mask_hw, truth_hw)
    assert agreement["picture"] > max(agreement["model"], 0.95)


def test_labels_that_are_far_off_are_passed_over_and_nothing_is_missed(monkeypatch, tmp_path):
    """On the first frame of a sample, with the memory of all: as if every label were tried."""
    with open_video(SAMPLES / "pond" / "pond.mp4") as video:
        (frame,) = video.frames(0, 1)
    image = ImageFile(tmp_path / "frame.png", 0)
    settings = ImageSettings(auto_prompt=True, memory=str(SAMPLES / "memory"), **MODEL)
    tried = []

    def find(**more):
        def ask(*args, **given):
            decisions = find_prompts(*args, **(given | more))
            tried.append({each.label for each in decisions})
            return decisions

        monkeypatch.setattr(finders, "find_prompts", ask)
        found = finders.make_finder(settings, ()).find(image, frame.image_hwc)
        masks = [each.mask_hw for each in found.objects]
        return [(each.label, each.score) for each in found.objects], masks, found.doubts

    (objects, masks, doubts), (expected, all_masks, all_doubts) = find(), find(margin=1.0)
    assert objects == expected and doubts == all_doubts
    assert all(np.array_equal(*pair) for pair in zip(masks, all_masks, strict=True))
    assert tried[0] < tried[1]


def test_everything_at_once(pictures, tmp_path):
    # The demo model trusts its masks of such a picture little.
    loose = {"min_iou": 0.05, "min_stability": 0.3}
    settings = ImageSettings(everything=True, points_per_side=4, **loose, **MODEL)
    wanted = Wanted(("png",), review=True)
    batch = segment_images([pictures / "a.png"], tmp_path / "out", settings, wanted=wanted)
    areas = [row.values["area_px"] for row in batch.table.rows]
    assert areas == sorted(areas, reverse=True) and areas
    # Masks overlap, and the smaller one lies on top.
    index_hw = read_index_mask(tmp_path / "out" / "masks" / "a.png")
    assert np.count_nonzero(index_hw == len(areas)) == areas[-1]
    assert {row.values["label"] for row in batch.table.rows} == {""}


def test_limits_that_drop_everything_are_named(pictures, tmp_path):
    strict = {"points_per_side": 2, "min_iou": 1.0, "min_stability": 0.95}
    settings = ImageSettings(everything=True, **strict, **MODEL)
    for _ in range(2):  # also when nothing is left to do
        heard = Heard()
        segment_images([pictures], tmp_path / "out", settings, wanted=Wanted(()), progress=heard)
        assert heard.notices == [
            "nothing was kept on a, b: --everything drops masks below --min-iou 1 and "
            "--min-stability 0.95; to keep more: --min-iou 0.7 --min-stability 0.8"
        ]


def test_what_an_output_cannot_carry_over_is_told(pictures, tmp_path):
    low_hw, high_hw = np.zeros((2, 120, 160), bool)
    low_hw[10:50, 10:50] = high_hw[40:90, 40:90] = True
    prompts = [Prompt(0, 1, mask_hw=low_hw), Prompt(0, 2, mask_hw=high_hw)]
    heard, split = Heard(), ExportOptions(split=(0.5, 0.5, 0.0))
    wanted = Wanted(("png", "coco", "overlay"), split)
    segment_images(
        [pictures / "a.png"],
        tmp_path / "out",
        ImageSettings(**MODEL),
        prompts,
        wanted,
        progress=heard,
    )
    assert heard.notices == [
        "png: frames on which masks overlap, the larger number on top: 1",
        "png: this format is not split: --split has no effect",
    ]


def test_a_text_is_answered_by_a_detector(pictures, tmp_path):
    folder = make_detector(tmp_path / "detector")
    text = {"text": "a red ball . a dog .", "detector": str(folder), "box_threshold": 0.0}
    settings = ImageSettings(**text, **MODEL)
    batch = segment_images([pictures], tmp_path / "out", settings, wanted=Wanted(("coco",)))
    assert batch.failures == () and batch.table.rows
    assert {row.values["label"] for row in batch.table.rows} <= {"red ball", "dog"}
    assert {row.values["source"] for row in batch.table.rows} == {"detector"}
    assert all(0 <= row.values["score"] <= 1 for row in batch.table.rows)


def test_images_without_objects_have_empty_outputs_of_their_own_size(pictures, tmp_path):
    (tmp_path / "none.json").write_text('[{"image": "elsewhere", "box": [0, 0, 1, 1]}]')
    settings = ImageSettings(boxes=str(tmp_path / "none.json"), **MODEL)
    out = tmp_path / "out"
    batch = segment_images(
        [pictures], out, settings, wanted=Wanted(("png", "coco", "yolo"), review=True)
    )
    assert batch.table.rows == () and batch.doubtful == 2
    for name, (width, height) in SIZES.items():
        mask_hw = read_index_mask(out / "masks" / f"{name}.png")
        assert mask_hw.shape == (height, width) and not mask_hw.any()
        assert (out / "yolo" / "labels" / "train" / f"{name}.txt").read_text() == ""
    instances = json.loads((out / "coco" / "annotations" / "instances_train.json").read_text())
    assert len(instances["images"]) == 2 and instances["annotations"] == []


def test_a_missing_reference_to_measure_by_is_told(pictures, boxes, tmp_path):
    scale = Scale(None, "plate", "diameter_cm", 20.0)
    measures = Measures(scale, {"ball": LabelMeasure({"g": 1.0})})
    heard = Heard()
    settings = ImageSettings(boxes=boxes, **MODEL)
    batch = segment_images(
        [pictures / "a.png"],
        tmp_path / "out",
        settings,
        (),
        Wanted((), measures=measures),
        progress=heard,
    )
    assert heard.notices == ["a: no 'plate' was found to measure by"]
    assert batch.table.total.area_cm2 is None


@pytest.mark.parametrize(
    ("options", "prompts", "error", "message"),
    [
        ({}, [], PromptError, "say what to segment: --point"),
        (
            {"everything": True},
            [Prompt(0, 1, box_xyxy=BOX)],
            PromptError,
            "give prompts, or one of",
        ),
        ({}, [Prompt(2, 1, box_xyxy=BOX)], PromptError, "on image 2: there are 2 images"),
        (
            {},
            [Prompt(0, 1, box_xyxy=BOX, label="x"), Prompt(1, 1, box_xyxy=BOX, label="y")],
            PromptError,
            "object 1 is called both 'x' and 'y'",
        ),
        ({"boxes": "nowhere.json"}, [], PromptError, "cannot read nowhere.json"),
        ({"text": " . ", "detector": "."}, [], PromptError, "name what to look for"),
        ({"text": "dog", "detector": "."}, [], ModelError, "the detector in . cannot be loaded"),
        ({"auto_prompt": True, "memory": "empty"}, [], ReferenceMemoryError, "is empty; add an"),
    ],
)
def test_what_is_wrong_with_the_call_stops_it(
    pictures, tmp_path, monkeypatch, options, prompts, error, message
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        segment_images([pictures], tmp_path / "out", ImageSettings(**options, **MODEL), prompts)
    # Nothing stands in the way of trying again in another way.
    settings = ImageSettings(boxes="b.json", **MODEL)
    (tmp_path / "b.json").write_text("[]")
    assert segment_images([pictures], tmp_path / "out", settings, wanted=Wanted(())).images == 2


def test_a_format_that_cannot_begin_leaves_nothing(pictures, tmp_path):
    (tmp_path / "back.png").write_text("no picture")
    prompts = [Prompt(0, 1, mask_hw=np.ones((120, 160), bool))]
    wanted = Wanted(("png", "cutout"), ExportOptions(background=str(tmp_path / "back.png")))
    with pytest.raises(VideoError, match=r"back\.png"):
        segment_images(
            [pictures / "a.png"], tmp_path / "out", ImageSettings(**MODEL), prompts, wanted
        )
    there = {path.name for path in (tmp_path / "out").iterdir()}
    assert there == {".lock", "segment.json", "results", "objects.csv"}


def test_formats_that_need_a_video_are_refused(pictures, tmp_path):
    with pytest.raises(SettingsError, match="--format ytvis: one of png"):
        segment_images(
            [pictures], tmp_path / "out", ImageSettings(boxes="b"), wanted=Wanted(("ytvis",))
        )
    assert not (tmp_path / "out").exists()
