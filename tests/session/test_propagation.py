"""Where objects join a pass, and that each is tracked as if it were alone."""

from __future__ import annotations

import numpy as np
import pytest

from tests.made_models import random_predictor
from tracker.models.sam2 import ImagePrompter, MaskCandidate
from tracker.session.propagation import Stretch, propagate, stretches
from tracker.types import Prompt

HEIGHT, WIDTH, FRAMES = 60, 80, 14


class Noise:
    """A FrameSource of different frames."""

    height, width = HEIGHT, WIDTH

    def __init__(self) -> None:
        shape = (FRAMES, HEIGHT, WIDTH, 3)
        self._images = np.random.default_rng(3).integers(0, 255, shape, dtype=np.uint8)

    def __len__(self) -> int:
        return FRAMES

    def __getitem__(self, index: int) -> np.ndarray:
        if index >= FRAMES:
            raise IndexError(index)
        return self._images[index]


def box(position: int, object_id: int) -> Prompt:
    return Prompt(position, object_id, box_xyxy=(8.0 * object_id, 5, 8.0 * object_id + 30, 50))


def prompts(**positions):
    """`prompts(a=(0, 5))`: object 1 has prompts at 0 and 5; the next name is object 2."""
    return {
        object_id: {position: box(position, object_id) for position in places}
        for object_id, places in enumerate(positions.values(), start=1)
    }


def masks(steps):
    """Position and object id to mask; each at most once."""
    found = {}
    for position, objects in steps:
        for mask in objects:
            assert (position, mask.object_id) not in found
            found[position, mask.object_id] = mask.mask_hw
    return found


def alone(predictor, places, start, reverse):
    """An object's masks by the predictor itself, without anything of ours around it."""
    state, found = predictor.init_state(Noise()), {}
    (object_id,) = {prompt.object_id for prompt in places.values()}
    for position, prompt in places.items():
        predictor.add_new_points_or_box(state, position, object_id, box=prompt.box_xyxy)
    for position, (mask,) in predictor.track(state, start, reverse=reverse):
        found[position, object_id] = mask.mask_hw
    return found


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for key, mask_hw in expected.items():
        assert (found[key] == mask_hw).all(), key


def test_stretches_begin_where_objects_join():
    joins = {1: 4, 2: 0, 3: 4, 4: 9}
    assert stretches(joins, reverse=False) == [
        *(Stretch(0, 4, (2,)), Stretch(4, 5, (1, 3)), Stretch(9, None, (4,)))
    ]
    assert stretches({1: 4, 4: 9}, reverse=True) == [Stretch(9, 5, (4,)), Stretch(4, None, (1,))]
    assert stretches({1: 0, 4: 9}, reverse=True) == [Stretch(9, None, (4,)), Stretch(0, None, (1,))]
    assert stretches({1: 0}, reverse=True) == [Stretch(0, None, (1,))]


def test_forward_an_object_joins_at_its_earliest_prompt(predictor):
    given = prompts(a=(0,), b=(5, 8))
    found = masks(propagate(predictor, Noise(), given, "forward"))
    expected = alone(predictor, given[1], 0, False) | alone(predictor, given[2], 5, False)
    assert_equal(found, expected)
    assert {position for position, i in found if i == 2} == set(range(5, FRAMES))


def test_backward_an_object_joins_at_its_latest_prompt(predictor):
    given = prompts(a=(3, 12), b=(5,))
    found = masks(propagate(predictor, Noise(), given, "backward"))
    expected = alone(predictor, given[1], 12, True) | alone(predictor, given[2], 5, True)
    assert_equal(found, expected)
    assert {position for position, i in found if i == 2} == set(range(6))


def test_backward_from_position_0_gives_that_position(predictor):
    given = prompts(a=(0,), b=(3,))
    found = masks(propagate(predictor, Noise(), given, "backward"))
    assert set(found) == {(0, 1), (3, 2), (2, 2), (1, 2), (0, 2)}
    assert_equal(
        {key: mask for key, mask in found.items() if key[1] == 2},
        alone(predictor, given[2], 3, True),
    )


def test_both_ways_every_object_has_every_position_once(predictor):
    given = prompts(a=(2,), b=(6,))
    steps = list(propagate(predictor, Noise(), given, "both"))
    found = masks(steps)
    assert set(found) == {(position, i) for position in range(FRAMES) for i in (1, 2)}
    forward = alone(predictor, given[1], 2, False) | alone(predictor, given[2], 6, False)
    backward = alone(predictor, given[1], 2, True) | alone(predictor, given[2], 6, True)
    assert_equal(found, backward | forward)
    assert all(objects for _, objects in steps)


@pytest.mark.parametrize("direction", ["forward", "both"])
def test_from_position_0_both_ways_is_forward(predictor, direction):
    steps = list(propagate(predictor, Noise(), prompts(a=(0,)), direction))
    assert [position for position, _ in steps] == list(range(FRAMES))


def test_masks_points_and_boxes_with_points_reach_the_model(predictor):
    mask_hw = np.zeros((HEIGHT, WIDTH), bool)
    mask_hw[10:40, 20:60] = True
    points = np.array([[30, 30], [70, 50]], np.float32)
    signs = np.array([1, 0], np.int32)
    given = {
        1: {0: Prompt(0, 1, mask_hw=mask_hw)},
        2: {0: Prompt(0, 2, points, signs)},
        3: {0: Prompt(0, 3, points, signs, (5, 5, 60, 55))},
    }
    position, objects = next(iter(propagate(predictor, Noise(), given, "forward")))
    assert position == 0
    assert np.count_nonzero(objects[0].mask_hw & mask_hw) > 0.95 * np.count_nonzero(mask_hw)

    state = predictor.init_state(Noise())
    predictor.add_new_points_or_box(state, 0, 2, points, signs)
    predictor.add_new_points_or_box(state, 0, 3, points, signs, box=(5, 5, 60, 55))
    _, expected = next(predictor.track(state))
    for ours, theirs in zip(objects[1:], expected, strict=True):
        assert (ours.mask_hw == theirs.mask_hw).all()


def test_a_prompt_with_a_view_is_answered_in_it(predictor):
    view, box_xyxy = (10, 5, 60, 45), (20, 10, 50, 40)
    prompter = ImagePrompter(predictor)
    prompter.set_image(Noise()[0], view)
    seen_hw = prompter.predict(box_xyxy=box_xyxy)[0].mask_hw
    assert seen_hw.any()
    seen = {1: {0: Prompt(0, 1, box_xyxy=box_xyxy, view_xyxy=view)}}
    given = {1: {0: Prompt(0, 1, mask_hw=seen_hw)}}
    whole = {1: {0: Prompt(0, 1, box_xyxy=box_xyxy)}}
    ours, theirs, other = (
        masks(propagate(predictor, Noise(), prompts, "forward")) for prompts in (seen, given, whole)
    )
    assert all((ours[place] == theirs[place]).all() for place in theirs)
    assert (ours[0, 1] != other[0, 1]).any()


def test_a_tight_box_is_tracked_as_it_is_answered_where_the_model_is_coarse():
    coarse = random_predictor(0, 128, edges="picture")
    prompter = ImagePrompter(coarse)
    prompter.set_image(Noise()[0])
    answered = prompter.answer(box(0, 1))
    assert answered.mask_hw.any() and answered.predicted_iou != 1
    _, (shown,) = next(propagate(coarse, Noise(), {1: {0: box(0, 1)}}, "forward"))
    assert (shown.mask_hw == answered.mask_hw).all()
    assert shown.predicted_iou == pytest.approx(answered.predicted_iou)


def test_where_a_view_shows_nothing_the_whole_frame_is_asked(predictor, monkeypatch):
    nothing = MaskCandidate(np.zeros((HEIGHT, WIDTH), bool), 0.5)
    monkeypatch.setattr(ImagePrompter, "answer", lambda *_, **__: nothing)
    box_xyxy, view = (20, 10, 50, 40), (10, 5, 60, 45)
    seen = {1: {0: Prompt(0, 1, box_xyxy=box_xyxy, view_xyxy=view)}}
    whole = {1: {0: Prompt(0, 1, box_xyxy=box_xyxy)}}
    ours, theirs = (
        masks(propagate(predictor, Noise(), prompts, "forward")) for prompts in (seen, whole)
    )
    assert all((ours[place] == theirs[place]).all() for place in theirs)
