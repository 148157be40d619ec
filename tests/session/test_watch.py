"""A watch sees every position once, its prompts take hold at once, and gaps are filled backward."""

from __future__ import annotations

import numpy as np
import pytest

from tests.made_videos import make_video
from tracker.session import propagation
from tracker.session.propagation import Watch, propagate
from tracker.session.resume.snapshots import Snapshots
from tracker.session.run_folder import RunFolder
from tracker.session.session import TrackSession
from tracker.session.tracking import track
from tracker.settings import TrackSettings
from tracker.types import Prompt

FRAMES = 12
BOX = (8, 6, 40, 40)
FOUND = (30, 10, 60, 46)


class Script(Watch):
    """Prompts where it is told to: `at` maps a position to its prompt, `down_to` to its gap.

    On the way back, masks on the positions `weak` do not hold.
    """

    def __init__(self, at=None, down_to=None, weak=()):
        self.at, self.down_to, self.weak = at or {}, down_to or {}, weak
        self.calls, self.told, self.held = [], [], []

    def after(self, position, objects):
        self.calls.append((position, tuple(mask.object_id for mask in objects)))
        prompt = self.at.get(position)
        return {prompt.object_id: prompt} if prompt else {}

    def gap(self, object_id, position):
        return self.down_to.get(position)

    def holds(self, position, objects):
        self.held.append((position, tuple(mask.object_id for mask in objects)))
        return position not in self.weak

    def saw(self, position, objects):
        self.told.append(position)


class Noise:
    """A FrameSource of different frames."""

    height, width = 48, 64

    def __init__(self):
        shape = (FRAMES, self.height, self.width, 3)
        self._images = np.random.default_rng(3).integers(0, 255, shape, dtype=np.uint8)

    def __len__(self):
        return FRAMES

    def __getitem__(self, index):
        if index >= FRAMES:
            raise IndexError(index)
        return self._images[index]


def redetect(position, object_id=1):
    return Prompt(position, object_id, box_xyxy=FOUND, source="redetect", score=0.7)


PROMPTS = {1: {1: Prompt(1, 1, box_xyxy=BOX)}, 2: {4: Prompt(4, 2, box_xyxy=BOX)}}


def masks(steps):
    """The last word on each position and object, and the order of the positions."""
    found, order = {}, []
    for position, objects in steps:
        order.append(position)
        found |= {(position, mask.object_id): mask.mask_hw for mask in objects}
    return found, order


def test_a_watch_that_says_nothing_changes_nothing(small_predictor):
    watch = Script()
    plain, order = masks(propagate(small_predictor, Noise(), PROMPTS, "both"))
    watched, same = masks(propagate(small_predictor, Noise(), PROMPTS, "both", watch=watch))
    assert same == order
    assert all((watched[key] == mask_hw).all() for key, mask_hw in plain.items())
    assert watch.calls == [(p, (1,) if p < 4 else (1, 2)) for p in range(1, FRAMES)]


def test_its_prompt_takes_hold_on_the_same_frame_and_lasts(small_predictor):
    watch = Script({7: redetect(7)})
    plain, _ = masks(propagate(small_predictor, Noise(), PROMPTS, "forward"))
    found, order = masks(propagate(small_predictor, Noise(), PROMPTS, "forward", watch=watch))
    assert order == [*range(1, 8), *range(7, FRAMES)]
    assert [position for position, _ in watch.calls] == list(range(1, FRAMES))
    changed = {key for key in plain if not (plain[key] == found[key]).all()}
    assert (7, 1) in changed
    assert all(object_id == 1 and position >= 7 for position, object_id in changed)
    state = small_predictor.init_state(Noise())
    for position, box in ((1, BOX), (7, FOUND)):
        small_predictor.add_new_points_or_box(state, position, 1, box=box)
    for position, (mask,) in small_predictor.track(state, 7):
        assert (found[position, 1] == mask.mask_hw).all()


def test_the_gap_is_filled_backward_for_that_object_alone(small_predictor):
    prompts = {**PROMPTS, 2: {2: Prompt(2, 2, box_xyxy=BOX)}}
    steps = list(
        propagate(
            *(small_predictor, Noise(), prompts, "forward"),
            watch=Script({8: redetect(8)}, {8: 5}),
        )
    )
    positions = [position for position, _ in steps]
    assert positions == [*range(1, 9), *range(8, FRAMES), 7, 6, 5]
    assert all([m.object_id for m in objects] == [1] for _, objects in steps[-3:])
    state = small_predictor.init_state(Noise())
    for position, box in ((1, BOX), (8, FOUND)):
        small_predictor.add_new_points_or_box(state, position, 1, box=box)
    expected = dict(small_predictor.track(state, 8, 3, reverse=True))
    for position, (mask,) in steps[-3:]:
        assert (expected[position][0].mask_hw == mask.mask_hw).all()


def test_masks_in_a_gap_that_do_not_hold_are_not_handed_on(small_predictor):
    def back(weak):
        watch = Script({8: redetect(8)}, {8: 3}, weak)
        steps = list(propagate(small_predictor, Noise(), PROMPTS, "forward", watch=watch))
        return steps[FRAMES:]  # all positions but 0, one of them twice

    whole, parts = back(()), back((5, 7))
    assert [position for position, _ in whole] == [7, 6, 5, 4, 3]
    assert [position for position, _ in parts] == [6, 4, 3]
    for position, (mask,) in parts:
        assert np.array_equal(mask.mask_hw, dict(whole)[position][0].mask_hw)


def test_a_gap_is_filled_from_its_beginning_again(small_predictor, tmp_path, monkeypatch):
    """What the watch has refused on the way is not known to a process that goes on."""
    monkeypatch.setattr(propagation, "EVERY", 5)
    watch = Script({8: redetect(8)}, {8: 5})
    how = {"watch": watch, "snapshots": Snapshots(tmp_path)}
    whole = list(propagate(small_predictor, Noise(), PROMPTS, "forward", **how))
    newest = next(iter(Snapshots(tmp_path).newest_first()))
    assert (newest.walk, newest.position) == (1, None)
    prompts = {**PROMPTS, 1: {**PROMPTS[1], 8: redetect(8)}}
    how = {"snapshots": Snapshots(tmp_path), "start": newest}
    again = list(propagate(small_predictor, Noise(), prompts, "forward", **how))
    assert [position for position, _ in again] == [7, 6, 5]
    for (_, expected), (_, found) in zip(whole[-3:], again, strict=True):
        assert np.array_equal(found[0].mask_hw, expected[0].mask_hw)


def test_an_object_that_is_not_there_cannot_be_found_again(small_predictor):
    watch = Script({2: redetect(2, object_id=2)})
    with pytest.raises(ValueError, match="object 2 does not take part at position 2"):
        list(propagate(small_predictor, Noise(), PROMPTS, "forward", watch=watch))


def test_what_it_prompts_is_recorded_with_the_run(small_predictor, tmp_path):
    video = make_video(tmp_path / "clip.mp4", frames=2 * FRAMES, size=(64, 48))
    settings = TrackSettings(stride=2, video=False)
    watch = Script({7: redetect(14)}, {7: 3})
    run = track(
        *(video, settings, [Prompt(2, 1, box_xyxy=BOX, label="cup")], tmp_path / "run"),
        predictor=small_predictor,
        watch=lambda session: watch if session.prompts else None,
    )
    given, found = run.prompts
    assert (given.source, found.source, found.score, found.frame) == ("user", "redetect", 0.7, 14)
    assert run.info.labels == {1: "cup"}
    assert watch.held == [
        (position, (1,)) for position in (6, 5, 4, 3)
    ]  # asked through the session
    masks = {f.index: f.objects[0].mask_hw for f in RunFolder(run.path).frames() if f.objects}
    assert sorted(masks) == list(range(2, 24, 2))


def test_a_prompt_for_another_frame_is_refused(small_predictor, tmp_path):
    video = make_video(tmp_path / "clip.mp4", frames=6, size=(64, 48))
    with TrackSession(video, predictor=small_predictor) as session:
        session.add_prompt(Prompt(0, 1, box_xyxy=BOX))
        with pytest.raises(ValueError, match=r"at position 3 is marked .* on frame 4"):
            list(session.propagate(Script({3: redetect(4)})))
