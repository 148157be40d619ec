"""New masks carry a state and an appearance exactly where the run's other masks do."""

from __future__ import annotations

import shutil

import pytest

from tests.made_videos import make_video
from tracker.session.progress import Progress
from tracker.session.refine.corrections import Corrections
from tracker.session.refine.recomputing import Settling
from tracker.session.refine.refining import refine
from tracker.session.run_folder import RunFolder
from tracker.session.tracking import track
from tracker.settings import TrackSettings
from tracker.types import Prompt

FRAMES = 10
FIRST, NEW = Prompt(0, 1, box_xyxy=(8, 6, 40, 40)), Prompt(5, 1, box_xyxy=(30, 10, 60, 46))
ALL_THE_WAY = Settling(frames=0)


class Notices(Progress):
    def __init__(self):
        self.texts = []

    def notice(self, text):
        self.texts.append(text)


@pytest.fixture(scope="module")
def made(small_predictor, tmp_path_factory):
    """Runs over one video, watched or not; tests work on copies."""
    folder = tmp_path_factory.mktemp("runs")
    video = make_video(folder / "clip.mp4", frames=FRAMES, size=(64, 48))

    def make(redetect):
        settings = TrackSettings(
            redetect=redetect, redetect_after=99, appearance_every=3, features="demo", video=False
        )
        return track(video, settings, [FIRST], folder / redetect, predictor=small_predictor)

    return {redetect: make(redetect).path for redetect in ("auto", "off")}


@pytest.fixture
def refined(made, small_predictor, tmp_path):
    """Corrects a copy of a run; returns it with what was said."""

    def correct(redetect, change=lambda run: None):
        run, notices = shutil.copytree(made[redetect], tmp_path / redetect), Notices()
        change(run)
        given = {"predictor": small_predictor, "progress": notices}
        refine(run, Corrections((NEW,)), ALL_THE_WAY, **given)
        return RunFolder(run), notices.texts

    return correct


def test_new_masks_of_a_watched_run_are_judged(refined, made):
    run, notices = refined("auto")
    changed = run.revisions[0].changed[1]
    assert NEW.frame in changed
    masks = [run.frame_masks(frame).objects[0] for frame in changed]
    seen = [mask for mask in masks if mask.mask_hw.any()]
    assert seen and all(mask.appearance is not None for mask in seen)
    prompted = run.frame_masks(NEW.frame).objects[0]
    assert (prompted.state, prompted.appearance) == ("visible", pytest.approx(1, abs=0.15))
    assert notices == []


def test_new_masks_of_another_run_are_not(refined):
    run, _ = refined("off")
    assert all(mask.appearance is None for frame in run.frames() for mask in frame.objects)
    assert not run.was_watched


def test_without_its_feature_model_that_is_said(refined):
    def other_weights(run):
        file, sha256 = run / "run.json", RunFolder(run).info.models["features"].sha256
        file.write_text(file.read_text().replace(sha256, "0" * 64))

    run, (notice,) = refined("auto", other_weights)
    assert notice == "the new masks have no appearance: demo has other weights now"
    assert run.frame_masks(NEW.frame).objects[0].appearance is None
    assert run.was_watched
