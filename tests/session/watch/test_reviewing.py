"""A review names the stretch that is wrong, on a run of which that is known."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.drifting_runs import ASTRAY, DISC, EMPTY, FRAMES, SQUARE, make_frames, make_run
from tracker.errors import ModelError, RunError
from tracker.session.lock import Lock
from tracker.session.run_folder import CONTACT, LOCK, REVIEW, TIMELINE, RunFolder
from tracker.session.summary import summarise
from tracker.session.watch.reviewing import review_run, review_stored


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory):
    """A run with its review; tests must not change it."""
    folder = tmp_path_factory.mktemp("reviewed")
    run = make_run(folder / "run", make_frames(folder / "frames"))
    return run, review_run(run, device="cpu")


def test_the_stretch_that_is_wrong_comes_first(reviewed):
    _, review = reviewed
    worst = review.episodes[0]
    assert (worst.object_id, worst.first, worst.last) == (SQUARE, ASTRAY, FRAMES - 1)
    assert worst.state == "lost"
    assert ASTRAY <= worst.look_at < EMPTY
    assert {"likeness", "absent"} <= set(worst.reasons)
    states = [verdict.state for verdict in review.verdicts[SQUARE]]
    assert states[:ASTRAY] == ["visible"] * ASTRAY
    assert set(states[ASTRAY:EMPTY]) == {"doubtful"}
    assert states[EMPTY:] == ["occluded"] * 4 + ["lost"] * 2


def test_an_object_that_is_tracked_well_is_left_alone(reviewed):
    _, review = reviewed
    assert {verdict.state for verdict in review.verdicts[DISC]} == {"visible"}
    assert min(v.appearance for v in review.verdicts[DISC]) > 0.8
    assert review.cuts == ()
    assert (review.frames, review.features) == (FRAMES, "demo")


def test_the_review_is_written_into_the_run(reviewed):
    run, review = reviewed
    stored = json.loads((run.path / REVIEW).read_text())
    assert stored == json.loads(json.dumps(review.to_json()))
    assert stored["episodes"][0]["look_at"] == review.episodes[0].look_at
    assert stored["objects"][0]["states"]["lost"] == 2
    assert {entry["frame"] for entry in stored["frames"]} == set(range(ASTRAY, FRAMES))
    timeline = np.asarray(Image.open(run.path / TIMELINE))
    assert timeline.shape[1] == 1200
    assert np.asarray(Image.open(run.path / CONTACT)).shape[1] > 420


def test_the_same_run_gives_the_same_review(reviewed):
    run, review = reviewed
    before = {name: (run.path / name).read_bytes() for name in (REVIEW, TIMELINE, CONTACT)}
    again = review_run(RunFolder(run.path), device="cpu")
    assert again.episodes == review.episodes
    assert {name: (run.path / name).read_bytes() for name in before} == before


def test_without_its_video_a_run_is_judged_by_its_scores(reviewed, tmp_path):
    folder = tmp_path / "here"
    run = make_run(folder / "run", make_frames(folder / "frames"))
    shutil.rmtree(folder / "frames")
    review = review_run(run)
    assert (review.episodes[0].object_id, review.episodes[0].last) == (SQUARE, FRAMES - 1)
    assert review.features is None
    (notice,) = review.notices
    assert "judged by the stored scores alone" in notice
    assert (run.path / TIMELINE).exists()
    assert not (run.path / CONTACT).exists()
    assert review_stored(run).episodes == review.episodes


def test_the_summary_counts_the_episodes(reviewed):
    run, _ = reviewed
    summary = summarise(run)
    assert summary.episodes == len(summary.worst) == 1
    assert summary.worst[0].object_id == SQUARE
    assert json.loads(json.dumps(summary.to_json()))["worst"][0]["first"] == ASTRAY
    square, disc = summary.objects
    assert (square.frames_visible, disc.frames_visible) == (EMPTY, FRAMES)


def test_an_unknown_feature_model_is_refused(reviewed):
    run, _ = reviewed
    with pytest.raises(ModelError, match="nonesuch"):
        review_run(run, features="nonesuch")


def test_a_run_that_is_in_use_keeps_its_old_review(reviewed):
    run, _ = reviewed
    before = (run.path / REVIEW).read_bytes()
    lock = Lock(run.path / LOCK)
    try:
        with pytest.raises(RunError, match="in use by process"):
            review_run(run, scores_only=True)
    finally:
        lock.release()
    assert (run.path / REVIEW).read_bytes() == before
