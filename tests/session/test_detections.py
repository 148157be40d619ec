"""A detector's boxes in videos: on the first frame, and later for what has come since."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from PIL import Image

from tests.made_detector import make_detector
from tracker.errors import InputError, NoMatchError, PromptError, SettingsError
from tracker.models.sam2 import load_video_predictor
from tracker.session.exchange.exporting import export_run
from tracker.session.progress import Progress
from tracker.session.resume.resuming import resume
from tracker.session.run_folder import RunFolder
from tracker.session.tracking import track
from tracker.settings import TrackSettings
from tracker.types import Prompt

FRAMES, COMES = 14, 6
HEIGHT, WIDTH = 96, 128
MODEL = {"model": "demo", "device": "cpu", "image_size": 192, "video": False}


def square(t: int) -> tuple[int, int, int, int]:
    """Where the red square is."""
    return 8 + 3 * t, 20, 40 + 3 * t, 52


def ball(t: int) -> tuple[int, int, int, int]:
    """Where the blue ball is, from frame `COMES` on."""
    left = 92 - 3 * (t - COMES)
    return left, 58, left + 30, 88


def picture(t: int) -> np.ndarray:
    image_hwc = np.full((HEIGHT, WIDTH, 3), (70, 110, 70), np.uint8)
    x1, y1, x2, y2 = square(t)
    image_hwc[y1:y2, x1:x2] = (220, 40, 40)
    if t >= COMES:
        x1, y1, x2, y2 = ball(t)
        rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
        image_hwc[np.hypot(rows - (y1 + y2) / 2, columns - (x1 + x2) / 2) < 15] = (40, 60, 220)
    return image_hwc


def boxes_on(*frames: int) -> list[dict]:
    """What a detector that misses nothing says of these frames."""
    found = [{"frame": t, "box": square(t), "label": "square", "score": 0.9} for t in frames]
    return found + [{"frame": t, "box": ball(t), "label": "ball"} for t in frames if t >= COMES]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detections") / "clip"
    folder.mkdir()
    for t in range(FRAMES):
        Image.fromarray(picture(t)).save(folder / f"{t:05d}.png")
    return folder


@pytest.fixture(scope="module")
def demo():
    return load_video_predictor("demo", "cpu", MODEL["image_size"])


@pytest.fixture
def follow(clip, demo, tmp_path):
    """Tracks the clip into `tmp_path/name` with boxes from a file; keywords are settings."""

    def call(boxes, name="run", prompts=(), progress=None, **settings) -> RunFolder:
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(boxes))
        chosen = TrackSettings(boxes=str(file), **{**MODEL, **settings})
        return track(clip, chosen, prompts, tmp_path / name, predictor=demo, progress=progress)

    return call


class Told(Progress):
    """Keeps notices; `stop_at` interrupts as Ctrl-C does."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.notices: list[str] = []
        self._left = stop_at

    def notice(self, text):
        self.notices.append(text)

    def frame(self):
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                raise KeyboardInterrupt


def on_target(run: RunFolder, object_id: int, box_of, frames) -> float:
    """The least IoU of an object's box with where it really is."""
    worst = 1.0
    for t in frames:
        mask_hw = {m.object_id: m.mask_hw for m in run.frame_masks(t).objects}[object_id]
        there = np.zeros_like(mask_hw)
        x1, y1, x2, y2 = box_of(t)
        there[y1:y2, x1:x2] = True
        both = np.count_nonzero(mask_hw & there)
        worst = min(worst, both / max(np.count_nonzero(mask_hw), np.count_nonzero(there)))
    return worst


def test_what_has_come_since_becomes_an_object_and_what_is_known_stays_one(follow):
    told = Told()
    run = follow(boxes_on(0, 3, COMES, 9, 12), detect_every=3, progress=told)
    assert run.info.labels == {1: "square", 2: "ball"}
    kept = [(p.frame, p.object_id, p.source, p.label, p.kind, p.score) for p in run.prompts]
    assert kept == [
        (0, 1, "detector", "square", "box", 0.9),
        (COMES, 2, "detector", "ball", "box", 1.0),
    ]
    assert on_target(run, 1, square, range(FRAMES)) > 0.5
    assert on_target(run, 2, ball, range(COMES, FRAMES)) > 0.6  # a ball fills 0.79 of its box
    assert [m.object_id for m in run.frame_masks(COMES - 1).objects] == [1]
    assert "object 2 (ball) was found on frame 6, score 1.00" in told.notices


def test_of_several_boxes_for_one_new_thing_the_surest_becomes_the_object(follow):
    x1, y1, x2, y2 = ball(COMES)
    twice = {"frame": COMES, "box": (x1 - 1, y1 - 1, x2 + 1, y2 + 1), "label": "sphere"}
    boxes = [{**twice, "score": 0.5}, *boxes_on(0, COMES), {**twice, "score": 0.7}]
    run = follow(boxes, detect_every=COMES, end=COMES + 2)
    assert run.info.labels == {1: "square", 2: "ball"}


def test_without_detect_every_the_first_frame_alone_counts(follow):
    told, shown = Told(), [Prompt(2, 5, box_xyxy=square(2))]
    run = follow(boxes_on(0, COMES), start=2, end=4, prompts=shown, progress=told)
    assert run.info.labels == {5: None}  # no box is for frame 2
    assert any("the detector finds nothing there" in text for text in told.notices)
    run = follow(boxes_on(0, COMES), "other", end=8)
    assert run.info.labels == {1: "square"}


def test_the_first_frame_with_a_box_begins(follow):
    run = follow(boxes_on(4), detect_every=2, end=6)
    assert [p.frame for p in run.prompts] == [4]
    assert run.frame_masks(3).objects == ()


def test_an_interrupted_run_goes_on_with_the_same_detections(follow, tmp_path, demo):
    boxes, settings = boxes_on(0, COMES, 9), {"detect_every": 3, "end": 11}
    whole = follow(boxes, **settings)
    for name, stop_at in (("early", 3), ("late", 10)):
        with pytest.raises(KeyboardInterrupt):
            follow(boxes, name, progress=Told(stop_at), **settings)
        told = Told()
        resumed = resume(tmp_path / name, predictor=demo, progress=told)
        assert [p.to_json() for p in resumed.prompts] == [p.to_json() for p in whole.prompts]
        assert resumed.info.labels == whole.info.labels
        for a, b in zip(whole.frames(), resumed.frames(), strict=True):
            assert [m.object_id for m in a.objects] == [m.object_id for m in b.objects]
            for x, y in zip(a.objects, b.objects, strict=True):
                assert (x.mask_hw == y.mask_hw).all()
    assert any("going on from frame 6" in text for text in told.notices)


def test_in_both_directions_a_new_object_is_carried_back_too(follow):
    run = follow(boxes_on(0, COMES), detect_every=COMES, direction="both", end=8)
    assert [m.object_id for m in run.frame_masks(0).objects] == [1, 2]


@pytest.mark.parametrize("format", ["coco", "yolo-detect"])
def test_exported_boxes_come_back(format, follow, clip, demo, tmp_path):
    run = follow(boxes_on(0), end=2)
    (made,) = export_run(run, [format], tmp_path)
    inner = {"coco": "annotations/instances_train.json", "yolo-detect": "labels/train"}[format]
    settings = TrackSettings(boxes=str(made.path / inner), end=2, **MODEL)
    again = track(clip, settings, output=tmp_path / "again", predictor=demo)
    assert again.info.labels == {1: "square"}
    assert on_target(again, 1, square, range(2)) > 0.7


def test_a_text_is_answered_by_a_detector(clip, small_predictor, tmp_path):
    """The detector's weights are random: any boxes, but named by the phrases, and each new once."""
    detector = make_detector(tmp_path / "detector")
    asked = partial(TrackSettings, detector=str(detector), device="cpu", video=False, end=3)
    settings = asked(text="a red ball . a dog .", box_threshold=0.5, detect_every=2)
    run = track(clip, settings, output=tmp_path / "run", predictor=small_predictor)
    first = [p for p in run.prompts if p.frame == 0]
    assert first
    assert {p.label for p in run.prompts} <= {"red ball", "dog"}
    assert all(p.source == "detector" and p.score >= 0.5 for p in run.prompts)
    assert [p.object_id for p in run.prompts] == list(range(1, len(run.prompts) + 1))
    assert run.info.models["detector"].name == str(detector)


def test_where_nothing_is_detected_nothing_is_written(follow, tmp_path):
    with pytest.raises(NoMatchError, match=r"nothing on frame 0; --detect-every N looks on later"):
        follow(boxes_on(3))
    with pytest.raises(NoMatchError, match="nor every 2 frames after it"):
        follow(boxes_on(3), detect_every=2)
    with pytest.raises(NoMatchError, match="nothing on frame 0"):
        follow(boxes_on(0), box_threshold=0.95)
    assert not (tmp_path / "run").exists()


def test_boxes_that_fit_no_frame_are_refused(follow, tmp_path):
    with pytest.raises(InputError, match="'photo' names no frame of"):
        follow([{"image": "photo.jpg", "box": [0, 0, 9, 9]}])
    with pytest.raises(PromptError, match="is empty or not on the image, which is 128x96"):
        follow([{"frame": 0, "box": [200, 0, 300, 9]}])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"boxes": "b.json", "text": "a dog ."}, "give --boxes or --text, not both"),
        ({"auto_prompt": True, "text": "a dog ."}, "give --auto-prompt or --text"),
        ({"detect_every": 5}, "--detect-every needs --boxes or --text"),
        ({"boxes": "b.json", "detector": "tiny"}, "--detector needs --text"),
        ({"text": "a dog .", "box_threshold": 1.5}, "--box-threshold 1.5: from 0 to 1"),
        ({"text": "a dog .", "detect_every": 0}, "--detect-every 0: must be 1 or more"),
        ({"text": "a .", "detect_every": 2, "direction": "backward"}, "looks forward"),
        ({"text": "a .", "detect_every": 2, "redetect": "auto"}, "--redetect auto, not both"),
    ],
)
def test_contradictions_are_refused(settings, message):
    with pytest.raises(SettingsError, match=message):
        TrackSettings(**settings)
