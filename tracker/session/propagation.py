"""Carries objects through a video: in which order, and from where each of them takes part.

An object joins a pass where the pass first meets one of its prompts. Forward, that is its earliest
prompt; backward, its latest. In both directions every object is carried forward from its earliest
prompt, and backward from there. Positions count the processed frames from 0.

A `Watch` may prompt objects anew while the forward pass runs; the gaps that it names are filled
backward when the passes are done. With `Snapshots`, a later process can go on where this one ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tracker.models import snapshot
from tracker.models.frames import FrameSource
from tracker.models.sam2 import ImagePrompter, MaskCandidate
from tracker.models.streaming import StreamingVideoPredictor
from tracker.session.resume.snapshots import EVERY, Gap, PromptsAt, Snapshot, Snapshots
from tracker.settings import Direction
from tracker.types import Frame, ObjectMask, Prompt

Step = tuple[int, tuple[ObjectMask, ...]]
"""A position, and the objects on it."""


class Watch(Protocol):
    """Looks on while the forward pass runs, and may prompt an object anew.

    Derive from it, and override what is needed. A backward pass is not watched.
    """

    def after(self, position: int, objects: tuple[ObjectMask, ...]) -> Mapping[int, Prompt]:
        """Called once for every position, in order, after its masks were handed on.

        Args:
            position: that was tracked.
            objects: that took part, object ids ascending.

        Returns:
            Object id to a prompt on this same frame, for any of `objects` or for a new one; mostly
            nothing. The prompts are applied at once: what the model remembers of these objects,
            but for their other prompts, is forgotten; new ones join; the frame is tracked and
            yielded again with its new masks, without another call; and tracking goes on from there.
        """
        return {}

    def gap(self, object_id: int, position: int) -> int | None:
        """The position down to which the masks before a prompt of `after` are to be made again.

        Called when the prompt was applied. The object is carried backward from `position` once all
        passes are done; None leaves the masks before as they are.
        """
        return None

    def holds(self, position: int, objects: tuple[ObjectMask, ...]) -> bool:
        """Whether masks that were made again in a gap are to be handed on.

        Called for every position of a gap, on the way back. Where they do not hold, the masks stay
        as they are.
        """
        return True

    def marked(self, frame: Frame, objects: tuple[ObjectMask, ...]) -> tuple[ObjectMask, ...]:
        """The masks of a frame as they are to be stored: with verdicts, say.

        Called for every frame that is handed on, in the order of the passes; before `after`.
        """
        return objects

    def saw(self, position: int, objects: tuple[ObjectMask, ...]) -> None:
        """Called in place of `after`, and before it, for what an earlier process has tracked.

        What it has tracked backward is shown by `marked`.
        """
        return


@dataclass(frozen=True)
class Pass:
    """One walk over the video, on a state of its own.

    Attributes:
        name: `forward`, `backward` or `gap`.
        joins: object id to the position where it joins.
        until: the last position; None for the end of the video.
        before: object id to a position; masks are handed on only below it. None for all.
    """

    name: str
    joins: Mapping[int, int]
    until: int | None = None
    before: Mapping[int, int] | None = None

    @property
    def reverse(self) -> bool:
        return self.name != "forward"


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
    prompts: PromptsAt,
    direction: Direction,
    *,
    watch: Watch | None = None,
    snapshots: Snapshots | None = None,
    start: Snapshot | None = None,
) -> Iterator[Step]:
    """Masks for every position that a pass reaches.

    Yields positions in the order of the passes. A position may come twice: with other objects
    backward at position 0, and with `both` between the first prompts of two objects; with new masks
    where the watch has prompted, and in the gaps that it names.

    Args:
        watch: see `Watch`.
        snapshots: are taken after a position was yielded, when the next one is asked for.
        start: goes on after this snapshot, taken with the same prompts and model.
    """
    own = {i: dict(places) for i, places in prompts.items()}
    yield from _Propagation(predictor, source, own, direction, watch, snapshots).steps(start)


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


def apply_prompt(
    predictor: StreamingVideoPredictor, state: dict[str, Any], position: int, prompt: Prompt
) -> None:
    """Give the model a prompt; it takes effect when tracking goes on.

    What a view shows of points and box becomes a mask, and so does a tight box where the model is
    so coarse that it is answered from near. Where nothing is seen, the whole frame is asked.
    """
    if prompt.mask_hw is not None:
        predictor.add_new_mask(state, position, prompt.object_id, prompt.mask_hw)
        return
    if prompt.view_xyxy is not None or (predictor.fits_edges and prompt.box_is_tight):
        found = _answered(predictor, state["images"].source[position], prompt)
        if predictor.can_see(found.mask_hw):
            seen = found.mask_hw, found.predicted_iou
            predictor.add_new_mask(state, position, prompt.object_id, *seen)
            return
    points = prompt.points_n2 if len(prompt.points_n2) else None
    labels = prompt.point_labels_n if points is not None else None
    predictor.add_new_points_or_box(
        state, position, prompt.object_id, points=points, labels=labels, box=prompt.box_xyxy
    )


def _answered(
    predictor: StreamingVideoPredictor, image_hwc: NDArray[np.uint8], prompt: Prompt
) -> MaskCandidate:
    prompter = ImagePrompter(predictor)
    prompter.set_image(image_hwc, prompt.view_xyxy)
    return prompter.answer(prompt)


@dataclass
class _Propagation:
    """`propagate`, with what its passes share."""

    predictor: StreamingVideoPredictor
    source: FrameSource
    prompts: dict[int, dict[int, Prompt]]
    direction: Direction
    watch: Watch | None
    snapshots: Snapshots | None
    gaps: list[Gap] = field(default_factory=list)

    def steps(self, start: Snapshot | None) -> Iterator[Step]:
        if start is not None:
            self.gaps = list(start.gaps)
        for number, walk in enumerate(self._passes()):
            if start is not None and number < start.walk:
                continue
            here = start if start is not None and start.walk == number else None
            if here is None and self.snapshots:
                self.snapshots.begin(number, walk.name, self.prompts, self.gaps)
            for position, objects in self._run(number, walk, here):
                if walk.before is None:
                    yield position, objects
                elif shown := self._handed_on(walk, walk.before, position, objects):
                    yield position, shown

    def _handed_on(
        self, walk: Pass, before: Mapping[int, int], position: int, objects: tuple[ObjectMask, ...]
    ) -> tuple[ObjectMask, ...]:
        """Those of the objects whose masks take the place of what an earlier pass has made."""
        shown = tuple(mask for mask in objects if position < before[mask.object_id])
        if shown and self.watch and walk.name == "gap" and not self.watch.holds(position, shown):
            return ()
        return shown

    def _passes(self) -> Iterator[Pass]:
        """In order. The gaps are known once the forward pass is done, so this is lazy."""
        if self.direction == "backward":
            yield Pass("backward", {i: max(places) for i, places in self.prompts.items()})
            return
        firsts = {i: min(places) for i, places in self.prompts.items()}
        yield Pass("forward", firsts)
        if self.direction == "both" and any(firsts.values()):
            yield Pass("backward", firsts, before=firsts)
        for object_id, position, down_to in self.gaps:
            only = {object_id: position}
            yield Pass("gap", only, until=down_to, before=only)

    def _run(self, number: int, walk: Pass, start: Snapshot | None) -> Iterator[Step]:
        state = self.predictor.init_state(self.source)
        todo = stretches(walk.joins, walk.reverse)
        if walk.until is not None:
            todo = [replace(each, count=abs(each.first - walk.until) + 1) for each in todo]
        if start is not None and start.position is not None:
            self._restore(state, start, walk.reverse)
            todo = _rest(todo, start.position, walk.reverse)
        for stretch in todo:
            for object_id in stretch.joining:
                for position, prompt in sorted(self.prompts[object_id].items()):
                    apply_prompt(self.predictor, state, position, prompt)
            if walk.reverse and stretch.first == 0:
                # SAM2 has no reverse pass from frame 0 (sam2_video_predictor.py:576), not even for
                # what is prompted there: a forward one of that frame alone takes its place.
                for position, objects in self.predictor.track(state, 0, 0):
                    yield position, tuple(m for m in objects if m.object_id in stretch.joining)
            else:
                yield from self._track(number, walk, state, stretch)

    def _track(
        self, number: int, walk: Pass, state: dict[str, Any], stretch: Stretch
    ) -> Iterator[Step]:
        """One stretch; where the watch prompts, tracking begins again at that position."""
        first: int | None = stretch.first
        asked = -1
        while first is not None and first < len(self.source):
            more = None  # SAM2 counts the frames after the first (:572, :578)
            if stretch.count is not None:
                more = stretch.count - 1 - abs(first - stretch.first)
            begun, first = first, None
            for position, objects in self.predictor.track(state, begun, more, walk.reverse):
                yield position, objects
                if self.watch and not walk.reverse and position > asked:
                    asked = position
                    if found := self.watch.after(position, objects):
                        self._prompt_anew(state, position, found)
                        first = position
                        break
                self._keep(number, walk, state, position)

    def _prompt_anew(
        self, state: dict[str, Any], position: int, found: Mapping[int, Prompt]
    ) -> None:
        for object_id, prompt in found.items():
            if object_id in snapshot.object_ids(state):
                snapshot.restart(state, object_id)
            elif object_id in self.prompts:
                raise ValueError(f"object {object_id} does not take part at position {position}")
            self.prompts.setdefault(object_id, {})[position] = prompt
            apply_prompt(self.predictor, state, position, prompt)
            down_to = self.watch.gap(object_id, position) if self.watch else None
            if down_to is not None and down_to < position:
                self.gaps.append((object_id, position, down_to))

    def _keep(self, number: int, walk: Pass, state: dict[str, Any], position: int) -> None:
        """Take a snapshot every 64 positions, and at prompts.

        None while a gap is filled: what the watch has refused there is not known afterwards.
        """
        if self.snapshots is None or walk.name == "gap":
            return
        if walk.reverse and position < 2:
            return  # SAM2 cannot begin backward from 0; see `_run`
        due = position % EVERY == (0 if walk.reverse else EVERY - 1)
        if due or any(position in self.prompts[i] for i in snapshot.object_ids(state)):
            self.snapshots.keep(
                number, walk.name, position, self.predictor, state, self.prompts, self.gaps
            )

    def _restore(self, state: dict[str, Any], start: Snapshot, reverse: bool) -> None:
        assert start.position is not None
        restore_objects(
            self.predictor,
            state,
            {i: self.prompts[i] for i in start.object_ids},
            self.snapshots,
        )
        snapshot.restore(self.predictor, state, start.tensors, start.object_ids)
        snapshot.mark_tracked(state, start.position, reverse)


def restore_objects(
    predictor: StreamingVideoPredictor,
    state: dict[str, Any],
    prompts: PromptsAt,
    snapshots: Snapshots | None,
) -> None:
    """Let objects join a state with all of their prompts, from disk where they are known there."""
    snapshot.restore(predictor, state, {}, list(prompts))
    for object_id, places in prompts.items():
        for position, prompt in sorted(places.items()):
            left = snapshots and snapshots.prompted(object_id, position, prompt)
            if left:
                snapshot.restore(predictor, state, left, ())
            else:
                apply_prompt(predictor, state, position, prompt)


def _rest(todo: list[Stretch], position: int, reverse: bool) -> list[Stretch]:
    """What is left of the stretches of a pass after a position."""
    left = []
    for stretch in todo:
        ahead = (position - stretch.first) * (-1 if reverse else 1)
        if ahead < 0:
            left.append(stretch)
        elif stretch.count is None or ahead + 1 < stretch.count:
            count = None if stretch.count is None else stretch.count - ahead - 1
            left.append(Stretch(position + (-1 if reverse else 1), count, ()))
    return left
