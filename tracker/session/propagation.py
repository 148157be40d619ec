"""Carries objects through a video: in which order, and from where each of them takes part.

An object joins a pass where the pass first meets one of its prompts. Forward, that is its earliest
prompt; backward, its latest. In both directions every object is carried forward from its earliest
prompt, and backward from there. Positions count the processed frames from 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tracker.models.frames import FrameSource
from tracker.models.streaming import StreamingVideoPredictor
from tracker.settings import Direction
from tracker.types import ObjectMask, Prompt

Prompts = Mapping[int, Mapping[int, Prompt]]
"""Object id to position to prompt."""

Step = tuple[int, tuple[ObjectMask, ...]]
"""A position, and the objects on it."""


@dataclass(frozen=True)
class Stretch:
    """A part of a pass during which the same objects take part.

    Attributes:
        first: position where it begins.
        count: how many positions it has; None to the end of the pass.
        joining: ids of the objects that join at its beginning.
    """

    first: int
    count: int | None
    joining: tuple[int, ...]


def propagate(
    predictor: StreamingVideoPredictor,
    source: FrameSource,
    prompts: Prompts,
    direction: Direction,
) -> Iterator[Step]:
    """Masks for every position that a pass reaches.

    Yields positions in the order of the passes. A position may come twice, each time with other
    objects: backward at position 0, and with `both` between the first prompts of two objects.
    """
    firsts = {i: min(places) for i, places in prompts.items()}
    if direction == "backward":
        lasts = {i: max(places) for i, places in prompts.items()}
        yield from _run(predictor, source, prompts, lasts, reverse=True)
        return
    yield from _run(predictor, source, prompts, firsts, reverse=False)
    if direction == "both" and any(firsts.values()):
        for position, objects in _run(predictor, source, prompts, firsts, reverse=True):
            before = tuple(mask for mask in objects if position < firsts[mask.object_id])
            if before:
                yield position, before


def stretches(joins: Mapping[int, int], reverse: bool) -> list[Stretch]:
    """Split a pass where objects join. `joins`: object id to position."""
    places = sorted(set(joins.values()), reverse=reverse)
    counts: list[int | None] = [abs(b - a) for a, b in pairwise(places)]
    if reverse and len(places) > 1 and places[-1] == 0:
        counts[-1] = None  # those who are under way see position 0 too; `_run` says why
    return [
        Stretch(place, count, tuple(i for i, at in sorted(joins.items()) if at == place))
        for place, count in zip(places, [*counts, None], strict=True)
    ]


def _run(
    predictor: StreamingVideoPredictor,
    source: FrameSource,
    prompts: Prompts,
    joins: Mapping[int, int],
    reverse: bool,
) -> Iterator[Step]:
    """One pass, on a state of its own."""
    state = predictor.init_state(source)
    for stretch in stretches(joins, reverse):
        for object_id in stretch.joining:
            for position, prompt in sorted(prompts[object_id].items()):
                _apply(predictor, state, position, prompt)
        if reverse and stretch.first == 0:
            # SAM2 has no reverse pass from frame 0 (sam2_video_predictor.py:576), not even for
            # what is prompted there: a forward one of that frame alone takes its place.
            for position, objects in predictor.track(state, 0, 0):
                yield position, tuple(m for m in objects if m.object_id in stretch.joining)
        else:
            # SAM2 counts the frames after the first (:572, :578).
            more = None if stretch.count is None else stretch.count - 1
            yield from predictor.track(state, stretch.first, more, reverse)


def _apply(
    predictor: StreamingVideoPredictor, state: dict[str, Any], position: int, prompt: Prompt
) -> None:
    if prompt.mask_hw is not None:
        predictor.add_new_mask(state, position, prompt.object_id, prompt.mask_hw)
        return
    points = prompt.points_n2 if len(prompt.points_n2) else None
    labels = prompt.point_labels_n if points is not None else None
    predictor.add_new_points_or_box(
        state, position, prompt.object_id, points=points, labels=labels, box=prompt.box_xyxy
    )
