"""Prompts from the reference memory, on the samples and the embedded models."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tracker.errors import NoMatchError, ReferenceMemoryError
from tracker.masks import iou
from tracker.memory.store import ReferenceMemory
from tracker.models.sam2 import load_video_predictor
from tracker.session.session import TrackSession
from tracker.session.tracking import track
from tracker.settings import TrackSettings
from tracker.types import Prompt
from tracker.video import open_video, read_index_mask

SAMPLES = Path(__file__).parents[2] / "samples"
POND, MEMORY = SAMPLES / "pond", SAMPLES / "memory"


@pytest.fixture(scope="module")
def demo():
    return load_video_predictor("demo", "cpu")


@pytest.fixture
def settings():
    """Settings that ask the samples' memory; keywords override."""

    def make(**more) -> TrackSettings:
        asked = {"auto_prompt": True, "memory": str(MEMORY), "device": "cpu", "video": False}
        return TrackSettings(**{**asked, **more})

    return make


@pytest.fixture(scope="module")
def late(tmp_path_factory):
    """A folder of frames in which the fish appears on frame 13, after plain water."""
    folder = tmp_path_factory.mktemp("late")
    with open_video(POND / "pond.mp4") as pond:
        frames = [frame.image_hwc for frame in pond.frames(0, 12)]
    water = np.full_like(frames[0], frames[0].mean(axis=(0, 1)).astype(np.uint8))
    for number, image_hwc in enumerate([water] * 13 + frames):
        Image.fromarray(image_hwc).save(folder / f"{number:02d}.png")
    return folder


def test_the_object_is_found_on_the_first_frame(demo, settings):
    with TrackSession(POND / "pond.mp4", settings(labels=["fish"]), predictor=demo) as session:
        session.add_prompt(Prompt(3, 4, box_xyxy=(300, 160, 380, 260)))
        found = session.find_prompts()
        (prompt,) = found.prompts
        assert (prompt.frame, prompt.object_id, prompt.label) == (0, 5, "fish")
        assert prompt.source == "memory"
        assert prompt.reference_id in {e.id for e in ReferenceMemory.open(MEMORY).list()}
        assert session.labels == {4: None, 5: "fish"}
        masks = {m.object_id: m.mask_hw for m in next(session.propagate()).objects}
    truth_hw = read_index_mask(POND / "truth" / "00000.png") == 1
    assert iou(masks[5], truth_hw) > 0.6


def test_the_first_frame_where_the_object_appears_is_found(demo, settings, late):
    asked = settings(labels=["fish"], search_samples=4)
    with TrackSession(late, asked, predictor=demo) as session:
        (prompt,) = session.find_prompts().prompts
        assert prompt.frame == 13


def test_the_search_stops_where_it_is_told(demo, settings, late, tmp_path):
    asked = settings(labels=["fish"], search_frames=13, search_samples=4)
    with pytest.raises(NoMatchError, match=r"the best score on 4 frames is .* is needed") as caught:
        track(late, asked, output=tmp_path / "run", predictor=demo)
    assert caught.value.best_score < caught.value.threshold
    assert not (tmp_path / "run").exists()


def test_decisions_and_models_are_recorded(demo, settings, tmp_path):
    asked = settings(labels=["fish"], end=2)
    run = track(POND / "pond.mp4", asked, output=tmp_path / "run", predictor=demo)
    (decision,) = run.info.decisions
    assert decision["accepted"]
    assert decision["label"] == "fish"
    assert decision["score"] >= decision["threshold"]
    assert decision["candidates"]
    assert run.info.models["features"].name == "demo"
    (prompt,) = run.prompts
    assert prompt.score == pytest.approx(decision["score"], abs=1e-3)


def test_the_accepted_mask_is_remembered_when_asked(demo, settings, tmp_path):
    shutil.copytree(MEMORY, tmp_path / "memory")
    memory = ReferenceMemory.open(tmp_path / "memory")
    before = {entry.id for entry in memory.list()}
    asked = settings(labels=["fish"], end=2, memory=str(memory.folder), remember=True)
    run = track(POND / "pond.mp4", asked, output=tmp_path / "run", predictor=demo)
    (added,) = [entry for entry in memory.list() if entry.id not in before]
    assert added.label == "fish"
    (mask,) = run.frame_masks(0).objects
    assert (memory.get(added.id).mask_hw == mask.mask_hw).all()


def test_a_label_that_the_memory_lacks_is_bad_input(demo, settings):
    with (
        TrackSession(POND / "pond.mp4", settings(labels=["whale"]), predictor=demo) as session,
        pytest.raises(ReferenceMemoryError, match="labelled 'whale'; labels: balloon, bird"),
    ):
        session.find_prompts()
