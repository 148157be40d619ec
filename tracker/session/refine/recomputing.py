"""Makes masks of one object again, from its prompts on, for as long as a correction asks for it.

A mask says what the object is. So does a box, from its frame alone, unless the old mask, cut to the
box, fills it and the model holds that to be the better one. Points correct the mask that was there:
the model is brought to that frame first, from the nearest snapshot or prompt on its way, and sees
the old mask and its memory; but where it finds the object at none of the points even then, the old
mask was of something else, and they stand alone. Tracking on from a correction begins with the
prompts alone, for what the model remembers of the frames before is what was wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.errors import PromptError, SettingsError
from tracker.masks import BoolMask, Box, box_iou, iou, mask_box
from tracker.models import snapshot
from tracker.session.prompts_file import marks
from tracker.session.propagation import apply_prompt, restore_objects
from tracker.session.refine.corrections import Walk
from tracker.session.resume.snapshots import Snapshots
from tracker.session.session import TrackSession
from tracker.types import POSITIVE, ObjectMask, Prompt

FILLS_BOX = 0.3  # IoU of a mask's own box with a given one, from which it is what the box shows


@dataclass(frozen=True)
class Settling:
    """When masks that are made again have come back to those that were there.

    Frames on which the object is absent before and after do not count, either way.

    Attributes:
        frames: so many in a row must agree; 0 never stops, before the next prompt on the way.
        iou: two masks agree from here on.
        confidence: going backward, a single frame that agrees is trusted, and ends the walk, when
            its stored confidence is at least this.

    Raises:
        SettingsError: for a value out of range.
    """

    frames: int = 5
    iou: float = 0.85
    confidence: float = 0.8

    def __post_init__(self) -> None:
        if self.frames < 0:
            raise SettingsError(f"--settle {self.frames}: must be 0 or more; 0 goes to the end")
        if not (0 < self.iou <= 1 and self.confidence > 0):
            raise SettingsError("an IoU to settle at lies between 0 and 1, a confidence above 0")


@dataclass
class Recomputing:
    """One object of a run that is being corrected.

    Attributes:
        session: over the video of the run.
        snapshots: of the run.
        object_id: from 1.
        old, new: its prompts by position, before and after.
        stored: its masks by position, before.
        doubted: stretches of positions on which those are not to be trusted.
        tracked: on how many frames the model has worked so far.
    """

    session: TrackSession
    snapshots: Snapshots
    object_id: int
    old: Mapping[int, Prompt]
    new: Mapping[int, Prompt]
    stored: Mapping[int, ObjectMask]
    doubted: Sequence[range] = ()
    tracked: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        direction = self.session.settings.direction
        changed = sorted(self.new.keys() - set(self.unchanged), reverse=direction == "backward")
        for position in changed:
            self.snapshots.forget_prompt(self.object_id, position, self.new[position])
        for position in changed:
            before = self.stored.get(position)
            if before is None or not before.mask_hw.any():
                continue
            if self.new[position].kind == "points":
                self._correct(position, {k: self.new[k] for k in self.new if k != position})
            elif self.new[position].kind == "box" and position not in self.old:
                self._cut_to_box(position, before)

    @property
    def unchanged(self) -> list[int]:
        """Positions of the prompts that mark what they marked before, ascending."""
        kept = sorted(self.new.keys() & self.old.keys())
        return [at for at in kept if marks(self.old[at]) == marks(self.new[at])]

    def walk(self, walk: Walk, settling: Settling) -> Iterator[tuple[int, ObjectMask]]:
        """The new masks of a walk, by position."""
        agreeing, limit = 0, self._limit(walk, settling)
        for position, mask in self._masks(walk.start, abs(limit - walk.start), walk.reverse):
            before = self.stored.get(position)
            beyond = abs(position - walk.start) > abs(walk.sure - walk.start)
            if not beyond or before is None:
                agreeing = 0
            elif mask.mask_hw.any() or before.mask_hw.any():
                alike = iou(mask.mask_hw, before.mask_hw) >= settling.iou
                agreeing = agreeing + 1 if alike else 0
                sure_before = bool(settling.frames) and before.confidence >= settling.confidence
                if alike and walk.back and sure_before:
                    return  # a trusted frame keeps the mask that it has
            if position != walk.start or walk.own:
                yield position, mask
            if settling.frames and agreeing >= settling.frames:
                return

    def _limit(self, walk: Walk, settling: Settling) -> int:
        """Where a walk ends at the latest, itself left out.

        What a new prompt says about the frames before it holds for the stretch around it that is
        doubted; where none is, for the frames that are nearer to it than to the prompt before.
        """
        if not (walk.back and settling.frames and walk.sure == walk.start):
            return walk.limit
        for doubted in self.doubted:
            if walk.start in doubted and walk.reverse:
                return max(walk.limit, doubted.start - 1)
            if walk.start in doubted:
                return min(walk.limit, doubted.stop)
        if walk.limit not in self.new:
            return walk.limit
        return (walk.start + walk.limit + (not walk.reverse)) // 2

    def first(self, position: int) -> ObjectMask:
        """The new mask on a prompted frame alone."""
        return next(mask for _, mask in self._masks(position, 1, reverse=False))

    def _masks(self, start: int, count: int, reverse: bool) -> Iterator[tuple[int, ObjectMask]]:
        state = self._state(self.new)
        reverse = reverse and start > 0  # SAM2 has no reverse pass from frame 0
        kept = False
        for position, (mask,) in self.session.predictor.track(state, start, count - 1, reverse):
            self.tracked += 1
            if not kept:
                self._keep(state)
                kept = True
            yield position, mask

    def _state(self, prompts: Mapping[int, Prompt]) -> dict[str, Any]:
        """A state with the object's prompts and no recent memory."""
        state = self.session.predictor.init_state(self.session.frames)
        only = {self.object_id: prompts}
        restore_objects(self.session.predictor, state, only, self.snapshots)
        return state

    def _keep(self, state: dict[str, Any]) -> None:
        for (object_id, at), left in snapshot.prompted(state).items():
            self.snapshots.keep_prompt(object_id, at, self.new[at], left)

    def _cut_to_box(self, position: int, before: ObjectMask) -> None:
        """Keep the old mask within a new box, where it fills the box and is held to be better."""
        box = self.new[position].box_xyxy
        assert box is not None
        inside_hw = before.mask_hw & _filled(box, before.mask_hw.shape)
        filled = mask_box(inside_hw)
        if filled is None or box_iou(filled, box) < FILLS_BOX:
            return
        state = self.session.predictor.init_state(self.session.frames)
        alone = self._left(state, position, self.new[position])
        if before.predicted_iou <= snapshot.predicted_iou(alone):
            return
        state = self.session.predictor.init_state(self.session.frames)
        with suppress(PromptError):  # the model may see too few pixels for a mask
            left = self._left(state, position, Prompt(0, self.object_id, mask_hw=inside_hw))
            self.snapshots.keep_prompt(self.object_id, position, self.new[position], left)

    def _correct(self, position: int, others: Mapping[int, Prompt]) -> None:
        """Keep what new points leave with the old mask and memory in sight.

        Unless that is of something else: it has none of the points on the object, and points alone
        do better what they say. Alone they may do so in any case, with a mask far worse elsewhere.
        """
        state = self._brought_to(position, others)
        if state is None:
            return
        prompt, fresh = self.new[position], self.session.predictor.init_state(self.session.frames)
        left, alone = (self._left(each, position, prompt) for each in (state, fresh))
        inside_n, inside_alone_n = (self._inside(each, position) for each in (left, alone))
        positive_n = prompt.point_labels_n == POSITIVE
        obeyed, obeyed_alone = (
            np.count_nonzero(each_n == positive_n) for each_n in (inside_n, inside_alone_n)
        )
        if (inside_n & positive_n).any() or obeyed >= obeyed_alone:
            self.snapshots.keep_prompt(self.object_id, position, prompt, left)

    def _left(self, state: dict[str, Any], position: int, prompt: Prompt) -> snapshot.Tensors:
        """What a prompt at a position leaves in a state."""
        apply_prompt(self.session.predictor, state, position, prompt)
        self.session.predictor.propagate_in_video_preflight(state)
        return snapshot.prompted(state)[self.object_id, position]

    def _inside(self, left: snapshot.Tensors, position: int) -> NDArray[np.bool_]:
        """Which points of a prompt lie in the mask that it left, bool (n,)."""
        info = self.session.info
        points_n2 = self.new[position].points_n2
        return snapshot.marked(left, points_n2, (info.width, info.height))

    def _brought_to(self, position: int, prompts: Mapping[int, Prompt]) -> dict[str, Any] | None:
        """A state that was tracked up to a position; None when nothing leads there."""
        direction = self.session.settings.direction
        first = min(self.old, default=0)
        reverse = direction == "backward" or (direction == "both" and position < first)
        on_the_way = [at for at in prompts if (at > position) == reverse]
        if not on_the_way:
            return None
        nearest = min(on_the_way, key=lambda at: abs(at - position))
        number = 1 if reverse and direction == "both" else 0
        found = self.snapshots.on_the_way(number, self.object_id, nearest, position)
        state, begin = self._state(prompts), nearest
        if found is not None and found.position is not None:
            recent = snapshot.of_objects(found.tensors, [self.object_id])
            snapshot.restore(self.session.predictor, state, recent, [self.object_id])
            snapshot.mark_tracked(state, found.position, reverse)
            begin = found.position + (-1 if reverse else 1)
        for _ in self.session.predictor.track(state, begin, abs(position - begin), reverse):
            self.tracked += 1
        return state


def _filled(box_xyxy: Box, shape_hw: tuple[int, ...]) -> BoolMask:
    """The pixels of a box that lies inside the frame."""
    x1, y1, x2, y2 = box_xyxy
    filled_hw = np.zeros(shape_hw, bool)
    filled_hw[int(y1) : ceil(y2), int(x1) : ceil(x2)] = True
    return filled_hw
