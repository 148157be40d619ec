"""A session over made videos: which frames come, with which objects, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from tests.made_videos import make_image_folder, make_video, painted_index
from tracker.errors import PromptError, SettingsError, VideoError
from tracker.session.session import TrackSession
from tracker.settings import TrackSettings
from tracker.types import Prompt

FRAMES = 16


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("videos") / "clip.mp4", frames=FRAMES)


@pytest.fixture
def session(video, predictor):
    """Opens a session; keywords are settings."""
    opened = []

    def make(path=video, **settings) -> TrackSession:
        opened.append(TrackSession(path, TrackSettings(**settings), predictor=predictor))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def box(frame: int, object_id: int = 1, **more) -> Prompt:
    return Prompt(frame, object_id, box_xyxy=(40, 20, 120, 100), **more)


def seen(session):
    """Frame index to object ids, in the order of the results; checks each image."""
    found = []
    for result in session.propagate():
        assert painted_index(result.frame.image_hwc) == result.frame.index
        found.append((result.frame.index, [mask.object_id for mask in result.objects]))
    return found


def test_every_frame_comes_and_objects_begin_at_their_first_prompt(session):
    clip = session()
    clip.add_prompt(box(3))
    clip.add_prompt(box(9, 4))
    assert seen(clip) == [(i, [] if i < 3 else [1] if i < 9 else [1, 4]) for i in range(FRAMES)]


def test_backward_ends_at_the_start_and_then_gives_the_rest(session):
    clip = session(direction="backward")
    clip.add_prompt(box(3))
    assert seen(clip) == [(i, [1]) for i in (3, 2, 1, 0)] + [(i, []) for i in range(4, FRAMES)]


def test_both_ways_covers_every_frame(session):
    clip = session(direction="both")
    clip.add_prompt(box(10))
    found = seen(clip)
    assert [index for index, _ in found] == [*range(10, FRAMES), *range(9, -1, -1)]
    assert all(ids == [1] for _, ids in found)


def test_a_strided_range_keeps_the_indices_of_the_video(session):
    clip = session(start=2, end=13, stride=4)
    clip.add_prompt(box(6))
    assert clip.frame_count == 3
    assert seen(clip) == [(2, []), (6, [1]), (10, [1])]


def test_masks_have_the_size_of_the_video_and_points_their_times(session):
    clip = session(end=3)
    clip.add_prompt(box(0))
    results = list(clip.propagate())
    assert results[0].objects[0].mask_hw.shape == (120, 160)
    assert [float(r.frame.pts * clip.info.time_base) for r in results] == pytest.approx(
        [0, 1 / 30, 2 / 30]
    )


def test_each_frame_is_decoded_once(session):
    clip = session()
    clip.add_prompt(box(0))
    for number, _ in enumerate(clip.propagate(), start=1):
        assert (
            clip.frames_decoded <= number + 6
        )  # four at once, two ahead, one that the codec holds
    assert number == clip.frames_decoded == FRAMES


def test_an_image_folder_is_a_video(tmp_path, session):
    folder = make_image_folder(tmp_path / "images", [f"img{n}.png" for n in (1, 2, 10)])
    clip = session(folder)
    clip.add_prompt(box(1))
    assert seen(clip) == [(0, []), (1, [1]), (2, [1])]
    assert clip.info.stems == ("img1", "img2", "img10")


@pytest.mark.parametrize(
    ("settings", "prompt", "message"),
    [
        ({}, box(FRAMES), f"object 1 on frame {FRAMES}: .*frames count from 0"),
        ({"start": 4}, box(0), "only frames 4 to the end are processed"),
        ({"stride": 3}, box(4), "prompt frame 3 or 6"),
        ({}, Prompt(0, 1, box_xyxy=(0, 0, 161, 5)), "lies outside"),
        ({}, Prompt(0, 1, mask_hw=np.ones((5, 5), bool)), "the mask is 5x5 pixels"),
    ],
)
def test_a_prompt_that_cannot_be_is_refused_and_changes_nothing(session, settings, prompt, message):
    clip = session(**settings)
    with pytest.raises(PromptError, match=message):
        clip.add_prompt(prompt)
    assert clip.prompts == ()


def test_what_cannot_begin_is_refused(session, tmp_path):
    with pytest.raises(PromptError, match="nothing to track"):
        next(session().propagate())
    with pytest.raises(SettingsError, match=f"--start {FRAMES}"):
        session(start=FRAMES)
    with pytest.raises(VideoError):
        session(tmp_path / "nowhere.mp4")


def test_labels_and_free_ids(session):
    clip = session()
    clip.add_prompt(box(0, 2, label="cup"))
    assert clip.labels == {2: "cup"}
    assert clip.next_object_id == 3


def test_the_switches_reach_the_model(video):
    switches = {"edges": "model", "candidates": "model", "memory_policy": "presence"}
    with TrackSession(video, TrackSettings(model="demo", device="cpu", **switches)) as session:
        options = session.predictor.options
    assert switches == {name: getattr(options, name) for name in switches}
    with TrackSession(video, TrackSettings(model="demo", device="cpu")) as session:
        assert session.predictor.fits_edges and session.predictor.asks_picture
