"""A fish that leaves the picture and returns elsewhere, upside down, on the embedded models.

Swimming as before it would be found by the tracker itself, whose memory of the prompt stays.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.drifting_runs import SQUARE, disc, picture, square
from tracker.masks import iou, mask_box, mask_centre
from tracker.memory.store import ReferenceMemory
from tracker.models.dinov2 import load_features
from tracker.models.sam2 import ImagePrompter, load_video_predictor
from tracker.session.drift import thresholds
from tracker.session.progress import Progress
from tracker.session.resume.resuming import resume
from tracker.session.run_folder import RunFolder
from tracker.session.session import TrackSession
from tracker.session.tracking import track
from tracker.session.watch import look_again
from tracker.session.watch.look_again import Eyes, LookAgain, is_time, watch_session
from tracker.settings import TrackSettings
from tracker.types import Frame, ObjectMask, Prompt
from tracker.video import open_video, read_index_mask

SAMPLES = Path(__file__).parents[3] / "samples"
POND, MEMORY = SAMPLES / "pond", SAMPLES / "memory"
SEEN, AWAY = 5, 8  # frames before the fish leaves, and without it
BACK = SEEN + AWAY
SHIFT = 330  # pixels to the right on its return


class Notices(Progress):
    """Keeps what it is told; `stop_at` interrupts as Ctrl-C does."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.texts: list[str] = []
        self._left = stop_at

    def notice(self, text):
        self.texts.append(text)

    def frame(self):
        if self._left is not None:
            self._left -= 1
            if not self._left:
                raise KeyboardInterrupt


def moved(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.roll(image[::-1], SHIFT, axis=1))


@pytest.fixture(scope="module")
def demo():
    return load_video_predictor("demo", "cpu")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A folder of frames: the fish, plain water, the fish again at another place."""
    folder = tmp_path_factory.mktemp("leaving")
    with open_video(POND / "pond.mp4") as pond:
        frames = [frame.image_hwc for frame in pond.frames(0, SEEN + 4)]
    water = np.full_like(frames[0], frames[0].mean(axis=(0, 1)).astype(np.uint8))
    shown = [*frames[:SEEN], *[water] * AWAY, *map(moved, frames[SEEN:])]
    for number, image_hwc in enumerate(shown):
        Image.fromarray(image_hwc).save(folder / f"{number:02d}.png")
    return folder


def settings(**more) -> TrackSettings:
    given = {"device": "cpu", "video": False, "redetect_after": 2, "redetect_every": 2}
    return TrackSettings(**{**given, **more})


@pytest.fixture(scope="module")
def found_again(clip, demo, tmp_path_factory):
    """A run in which the fish is shown by a mask, and what was said while it was made."""
    truth_hw = read_index_mask(POND / "truth" / "00000.png") == 1
    prompt = Prompt(0, 1, mask_hw=truth_hw, label="fish")
    notices, folder = Notices(), tmp_path_factory.mktemp("runs") / "run"
    run = track(clip, settings(redetect="auto"), [prompt], folder, predictor=demo, progress=notices)
    return run, notices.texts


def test_a_lost_object_is_prompted_where_it_returns(found_again):
    run, notices = found_again
    first, again = run.prompts
    assert (first.source, again.source) == ("user", "redetect")
    assert (again.object_id, again.label) == (1, "fish")
    assert BACK <= again.frame <= BACK + 2
    assert 0 < again.score <= 1
    assert again.reference_id.startswith("run:")
    assert any(f"found again on frame {again.frame}, score" in text for text in notices)


def test_tracking_goes_on_from_there(found_again):
    run, _ = found_again
    truth_hw = moved(read_index_mask(POND / "truth" / f"{SEEN + 3:05d}.png") == 1)
    (mask,) = run.frame_masks(BACK + 3).objects
    assert iou(mask.mask_hw, truth_hw) > 0.5


@pytest.fixture
def watch(demo):
    """Of a square that was shown on the first of the drawn pictures."""
    features = load_features("demo", "cpu")
    return LookAgain(
        read=lambda position: Frame(position, position, picture(position)),
        prompts=(Prompt(0, SQUARE, mask_hw=square(0)),),
        eyes=Eyes(features, lambda: ImagePrompter(demo)),
        thresholds=thresholds("demo", "demo"),
        settings=settings(redetect="auto", appearance_every=3),
    )


def test_a_mask_that_took_something_along_is_prompted_anew_without_it(watch):
    def after(position, mask_hw):
        return watch.after(position, (ObjectMask(SQUARE, mask_hw, 6.0, 0.85),))

    assert not any(after(position, square(position)) for position in range(3))
    both_hw = square(3) | disc(3)
    prompt = after(3, both_hw)[SQUARE]
    assert (prompt.frame, prompt.source) == (3, "redetect")
    (x1, y1, x2, y2), middle = prompt.box_xyxy or mask_box(square(3)), mask_centre(square(3))
    assert x1 < middle[0] < x2 and y1 < middle[1] < y2
    x, y = mask_centre(disc(3))
    assert not (x1 < x < x2 and y1 < y < y2)
    # It was sound on the first frame, the last one that was looked at.
    assert watch.gap(SQUARE, 3) == 1
    # What a find has mended is not made again.
    assert not any(after(position, square(position)) for position in (4, 5))
    assert SQUARE in after(6, square(6) | disc(6))
    assert watch.gap(SQUARE, 6) == 4


def test_nothing_is_asked_while_nothing_looks_like_the_object(watch, monkeypatch):
    """The square leaves, is away from frame 1 to 7, and then lies elsewhere."""
    asked = []

    def ask(*_, frame, labels, **__):
        asked.append((frame, labels))
        return []

    monkeypatch.setattr(look_again, "find_prompts", ask)
    ground = np.where(square(4)[..., None], picture(20), picture(4))
    shown = [picture(0), *[ground] * 7, *[picture(12)] * 6]
    watch._read = lambda position: Frame(position, position, shown[position])
    watch.after(0, (ObjectMask(SQUARE, square(0), 6.0, 0.85),))
    for position in range(1, len(shown)):
        watch.after(position, (ObjectMask(SQUARE, np.zeros_like(square(0)), -6.0, 0.85),))
    assert asked
    assert all(frame > 7 and labels == [str(SQUARE)] for frame, labels in asked)


def test_masks_in_a_gap_hold_where_they_look_like_the_object(watch):
    watch.saw(0, (ObjectMask(SQUARE, square(0), 6.0, 0.85),))

    def holds(mask_hw):
        return watch.holds(5, (ObjectMask(SQUARE, mask_hw, 6.0, 0.85),))

    assert holds(square(5))
    assert holds(np.zeros_like(square(5)))
    assert not holds(np.roll(square(5), 50, axis=0))
    assert not holds(disc(5))


def test_nothing_is_filled_in_where_it_was_away(found_again):
    run, _ = found_again
    back = run.prompts[1].frame
    masks = {frame.index: frame.objects[0].mask_hw for frame in run.frames()}
    assert not any(masks[index].any() for index in range(SEEN + 1, BACK))
    assert all(masks[index].any() for index in range(BACK, back))


def test_states_and_appearance_are_stored(found_again):
    run, _ = found_again
    masks = [frame.objects[0] for frame in run.frames()]
    assert [mask.state for mask in masks[:SEEN]] == ["visible"] * SEEN
    assert all(mask.appearance > 0.6 for mask in masks[:SEEN])
    assert "visible" not in {mask.state for mask in masks[SEEN : BACK - 1]}
    assert run.info.models["features"].name == "demo"
    lines = (run.path / "masklets" / "000000.jsonl").read_text()
    assert '"appearance"' in lines


@pytest.mark.parametrize("frames_in_the_gap", [None, 3])
def test_a_run_that_was_interrupted_after_it_found_the_object_ends_the_same(
    found_again, clip, tmp_path, frames_in_the_gap
):
    """Interrupted four frames after that, or while the frames before it are filled."""
    run, _ = found_again
    given = settings(redetect="auto", model="demo")
    stop_at, goes_on = run.prompts[1].frame + 4, f"going on from frame {run.prompts[1].frame}"
    if frames_in_the_gap:  # the frame on which it was found is handed on twice
        stop_at = len(run.frame_indices) + 1 + frames_in_the_gap
        goes_on = "going on "
    stop = Notices(stop_at=stop_at)
    with pytest.raises(KeyboardInterrupt):
        track(clip, given, run.prompts[:1], tmp_path / "run", progress=stop)
    assert len(RunFolder(tmp_path / "run").prompts) == 2
    again = Notices()
    resumed = resume(tmp_path / "run", progress=again)
    assert again.texts[0].startswith(goes_on)
    assert [p.to_json() for p in resumed.prompts] == [p.to_json() for p in run.prompts]
    stored = [(f.name, f.read_text()) for f in (run.path / "masklets").iterdir()]
    assert stored == [(name, (resumed.path / "masklets" / name).read_text()) for name, _ in stored]


def test_what_is_away_for_long_is_looked_for_less_often():
    looks = [waited for waited in range(1, 2001) if is_time(waited, patience=3, every=4)]
    assert looks[:9] == [3, 7, 11, 15, 19, 23, 27, 31, 35]
    gaps = [b - a for a, b in pairwise(looks)]
    assert gaps == sorted(gaps)
    assert all(gap == max(4, a // 8) for a, gap in zip(looks, gaps, strict=False))
    assert len(looks) < 50  # of 500 that are 4 frames apart


def test_off_means_off(clip, demo):
    for given in (settings(exact=True), settings(redetect="off")):
        with TrackSession(clip, given, predictor=demo) as session:
            assert watch_session(session) is None


def test_the_users_references_are_asked_and_left_as_they_are(clip, demo):
    asked = settings(auto_prompt=True, memory=str(MEMORY), labels=["fish"])
    before = [entry.id for entry in ReferenceMemory.open(MEMORY).list()]
    with TrackSession(clip, asked, predictor=demo) as session:
        found = session.find_prompts()
        watch = watch_session(session, found.memory)
        (fish,) = found.prompts
        ids = watch._references.global_features([str(fish.object_id)]).ids
        assert fish.reference_id in ids
        assert watch.features.name == "demo"
    assert [entry.id for entry in ReferenceMemory.open(MEMORY).list()] == before


def test_a_run_without_a_watch_stores_no_appearance(clip, demo, tmp_path):
    prompt = Prompt(0, 1, box_xyxy=(120, 90, 240, 190))
    run = track(clip, settings(end=2, redetect="off"), [prompt], tmp_path / "run", predictor=demo)
    assert all(mask.appearance is None for frame in run.frames() for mask in frame.objects)
    assert "features" not in RunFolder(run.path).info.models
