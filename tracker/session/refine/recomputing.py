"""Makes masks of one object again, from its prompts on, for as long as a correction asks for it.

A box or a mask says what the object is, from its frame alone. Points correct the mask that was
there: the model is brought to that frame first, from the nearest snapshot or prompt on its way, and
sees the old mask and its memory; but where more of the points come right without them, the old mask
was of something else, and they stand alone. Tracking on from a correction begins with the prompts
alone, for what the model remembers of the frames before is what was wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tracker.errors import SettingsError
from tracker.masks import iou
from tracker.models import snapshot
from tracker.session.propagation import apply_prompt, restore_objects
from tracker.session.refine.corrections import Walk
from tracker.session.resume.snapshots import Snapshots, marks
from tracker.session.session import TrackSession
from tracker.types import POSITIVE, ObjectMask, Prompt


@dataclass(frozen=True)
class Settling:
    """When masks that are made again have come back to those that were there.

    Frames on which the object is absent before and after do not count, either way.

    Attributes:
        frames: so many in a row must agree; 0 never stops for that.
        iou: two masks agree from here on.
        confidence: going backward, a single frame that agrees is trusted, and ends the walk, when
            its stored confidence is at least this.

    Raises:
        SettingsError: for a value out of range.
    """

    frames: int = 10
    iou: float = 0.9
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
        tracked: on how many frames the model has worked so far.
    """

    session: TrackSession
    snapshots: Snapshots
    object_id: int
    old: Mapping[int, Prompt]
    new: Mapping[int, Prompt]
    stored: Mapping[int, ObjectMask]
    tracked: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        direction = self.session.settings.direction
        changed = sorted(self._changed(), reverse=direction == "backward")
        for position in changed:
            self.snapshots.forget_prompt(self.object_id, position, self.new[position])
        for position in changed:
            before = self.stored.get(position)
            if self.new[position].kind == "points" and before and before.mask_hw.any():
                self._correct(position, {k: self.new[k] for k in self.new if k != position})

    def walk(self, walk: Walk, settling: Settling) -> Iterator[tuple[int, ObjectMask]]:
        """The new masks of a walk, by position."""
        agreeing = 0
        for position, mask in self._masks(walk.start, abs(walk.limit - walk.start), walk.reverse):
            before = self.stored.get(position)
            beyond = abs(position - walk.start) > abs(walk.sure - walk.start)
            if not beyond or before is None:
                agreeing = 0
            elif mask.mask_hw.any() or before.mask_hw.any():
                alike = iou(mask.mask_hw, before.mask_hw) >= settling.iou
                agreeing = agreeing + 1 if alike else 0
                if alike and walk.back and before.confidence >= settling.confidence:
                    return  # a trusted frame keeps the mask that it has
            if position != walk.start or walk.own:
                yield position, mask
            if settling.frames and agreeing >= settling.frames:
                return

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

    def _changed(self) -> list[int]:
        return [
            at
            for at, prompt in self.new.items()
            if at not in self.old or marks(self.old[at]) != marks(prompt)
        ]

    def _correct(self, position: int, others: Mapping[int, Prompt]) -> None:
        """Keep what new points leave with the old mask and memory in sight.

        Unless points alone do better what they say: then the old mask was of something else.
        """
        state = self._brought_to(position, others)
        if state is None:
            return
        left = self._left(state, position)
        alone = self._left(self.session.predictor.init_state(self.session.frames), position)
        if self._obeyed(left, position) >= self._obeyed(alone, position):
            self.snapshots.keep_prompt(self.object_id, position, self.new[position], left)

    def _left(self, state: dict[str, Any], position: int) -> snapshot.Tensors:
        """What the prompt at a position leaves in a state."""
        apply_prompt(self.session.predictor, state, position, self.new[position])
        self.session.predictor.propagate_in_video_preflight(state)
        return snapshot.prompted(state)[self.object_id, position]

    def _obeyed(self, left: snapshot.Tensors, position: int) -> int:
        """How many points of a prompt its mask has on the right side."""
        prompt, info = self.new[position], self.session.info
        inside_n = snapshot.marked(left, prompt.points_n2, (info.width, info.height))
        return int((inside_n == (prompt.point_labels_n == POSITIVE)).sum())

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
