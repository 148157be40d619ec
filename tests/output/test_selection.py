"""Which frames and objects are chosen, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from tests.made_runs import FRAMES, made_frames, made_info
from tracker.errors import SettingsError
from tracker.output.export import ExportOptions, FrameMasks, Selection
from tracker.output.export.options import parse_split
from tracker.types import ObjectMask


def select(**options) -> Selection:
    def stored():
        return (frame for frame, _ in made_frames())

    return Selection(made_info(), stored, ExportOptions(**options))


def chosen(selection):
    return [(frame.index, [m.object_id for m in frame.objects]) for frame in selection.frames()]


def test_by_default_everything_is_taken():
    assert chosen(select()) == [(index, [1, 2, 3, 7]) for index in FRAMES]
    assert select().info == made_info()


def test_every_second_frame_of_the_run():
    selection = select(every=2)
    assert [index for index, _ in chosen(selection)] == list(FRAMES[::2])
    assert (selection.info.frames, selection.info.stride) == (FRAMES[::2], 8)


@pytest.mark.parametrize(
    ("only", "ids"), [(("ring",), [1]), (("7",), [7]), (("3", "pair", "2"), [2, 3])]
)
def test_objects_are_named_by_id_or_label(only, ids):
    selection = select(only=only)
    assert chosen(selection) == [(index, ids) for index in FRAMES]
    assert list(selection.info.labels) == ids


def test_masks_below_the_confidence_are_left_out_but_their_frames_stay():
    assert {tuple(ids) for _, ids in chosen(select(min_confidence=0.6))} == {(1, 2, 3)}
    assert len(chosen(select(min_confidence=0.999))) == len(FRAMES)


def test_frames_with_a_doubtful_object_are_left_out():
    frames = [FRAMES[n] for n in (0, 1, 3, 4, 5)]
    selection = select(exclude_doubtful=True)
    assert [index for index, _ in chosen(selection)] == frames
    assert selection.info.frames == tuple(frames)
    others = select(exclude_doubtful=True, only=("ring",))
    assert len(others.info.frames) == len(FRAMES)  # the doubtful one was not chosen


@pytest.mark.parametrize("state", ["doubtful", "lost"])
def test_a_doubtful_frame_stays_out_also_if_its_mask_is_not_sure_enough(state):
    unsure = ObjectMask(1, np.ones((55, 97), bool), -4.0, 0.1, verdict=state)
    frames = [FrameMasks(FRAMES[0], 0, (unsure,)), FrameMasks(FRAMES[1], 1, ())]
    options = ExportOptions(exclude_doubtful=True, min_confidence=0.5)
    assert Selection(made_info(), lambda: frames, options).info.frames == FRAMES[1:2]


def test_an_object_that_is_not_there_is_refused():
    with pytest.raises(SettingsError, match=r"--only cat: .* the run has 1 \(ring\), .*, 7"):
        select(only=("cat",))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"every": 0}, "--every 0"),
        ({"min_confidence": 1.5}, "from 0 to 1"),
        ({"feather": -1}, "--feather"),
        ({"frames": "gif"}, "one of jpg, png, none"),
        ({"style": ("sparkle",)}, "one of blur, pixelate"),
        ({"split": (0.5, 0.4, 0.2)}, "add up to 1"),
        ({"split": (0.0, 0.5, 0.5)}, "something to train on"),
        ({"cutout": "mp4"}, "give --background"),
        ({"background": "/no/such.png"}, "neither a colour nor an image"),
    ],
)
def test_options_that_cannot_be_are_refused(options, text):
    with pytest.raises(SettingsError, match=text):
        ExportOptions(**options)


def test_a_split_is_three_numbers():
    assert parse_split("0.8,0.1,0.1") == (0.8, 0.1, 0.1)
    for text in ("0.8,0.2", "a,b,c", ""):
        with pytest.raises(SettingsError, match="three shares"):
            parse_split(text)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 10, 1000])
def test_a_split_uses_every_frame_once_and_in_order(count):
    options = ExportOptions(split=(0.8, 0.1, 0.1))
    parts = [options.part(place, count) for place in range(count)]
    assert parts[0] == "train"
    assert parts == sorted(parts, key=["train", "val", "test"].index)
    assert parts.count("train") == round(0.8 * count)
