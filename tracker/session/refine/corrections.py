"""Corrections of a finished run: what they make of its prompts, and which frames that touches.

Between two prompts of an object, its masks come from the earlier one (in a run backward, from the
later one). So a prompt that is new or different has the stretch up to the next prompt made again;
one that is gone, the whole stretch that it lay in; and before a new one, frames are made again
backward until a trusted frame, unless they are made again anyway. Positions count the processed
frames from 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

from tracker.errors import PromptError
from tracker.session.grid import FrameGrid
from tracker.session.prompt_set import PromptSet
from tracker.session.prompts_file import marks
from tracker.settings import Direction
from tracker.types import Prompt, VideoInfo


@dataclass(frozen=True)
class Corrections:
    """What to change.

    Attributes:
        prompts: to add. Points join the points or box of the same object on the same frame; a box
            or a mask takes the place of what is there.
        removed: object id and frame of prompts to take away.
        dropped: objects to take away.
        labels: object id to its new name.
        replacement: all prompts of the run as they should be, in place of those it has; None to
            keep them.
    """

    prompts: tuple[Prompt, ...] = ()
    removed: tuple[tuple[int, int], ...] = ()
    dropped: tuple[int, ...] = ()
    labels: Mapping[int, str] = field(default_factory=dict)
    replacement: tuple[Prompt, ...] | None = None

    @property
    def asked(self) -> tuple[str, ...]:
        """One line for each change."""
        lines = [f"{p.kind} for object {p.object_id} on frame {p.frame}" for p in self.prompts]
        lines += [f"without the prompt of object {i} on frame {f}" for i, f in self.removed]
        lines += [f"without object {object_id}" for object_id in self.dropped]
        lines += [f"object {object_id} is {label!r}" for object_id, label in self.labels.items()]
        return (*["other prompts"] * (self.replacement is not None), *lines)

    def applied(
        self, prompts: tuple[Prompt, ...], info: VideoInfo, grid: FrameGrid
    ) -> tuple[Prompt, ...]:
        """The prompts of a run once it is corrected.

        Raises:
            PromptError: for what is not there, lies outside, or would leave an object without a
                prompt.
        """
        given = PromptSet(info, grid)
        for prompt in prompts if self.replacement is None else self.replacement:
            given.add(prompt)
        for object_id, frame in self.removed:
            given.remove(object_id, frame)
        for object_id in self.dropped:
            if not given.of(object_id):
                raise PromptError(f"there is no object {object_id}")
            for prompt in given.of(object_id):
                given.remove(object_id, prompt.frame)
        for prompt in self.prompts:
            given.correct(prompt)
        for object_id in {i for i, _ in self.removed} - set(self.dropped):
            if not given.of(object_id):
                raise PromptError(
                    f"that was the last prompt of object {object_id}; to take the object away: "
                    f"--drop-object {object_id}"
                )
        if not given.prompts:
            raise PromptError("that leaves no object; to begin anew: track VIDEO --overwrite")
        return self._named(given)

    def _named(self, given: PromptSet) -> tuple[Prompt, ...]:
        for object_id in self.labels:
            if not given.of(object_id):
                raise PromptError(f"there is no object {object_id}")
        return tuple(replace(p, label=self.labels.get(p.object_id, p.label)) for p in given.prompts)


@dataclass(frozen=True)
class Walk:
    """A stretch of one object's masks to be made again.

    Attributes:
        start: position of the prompt that it begins at.
        limit: where it ends at the latest, itself left out.
        sure: up to here, new masks take the place of old ones even where they agree.
        back: whether it fills backward what a new prompt says about the frames before it; then a
            single trusted frame ends it, too.
        own: whether the mask on `start` itself is made again.
    """

    start: int
    limit: int
    sure: int
    back: bool = False
    own: bool = True

    @property
    def reverse(self) -> bool:
        return self.limit < self.start


@dataclass(frozen=True)
class ObjectPlan:
    """What corrections mean for one object.

    Attributes:
        walks: in the order in which they are done.
        cleared: positions at which the object is absent now.
    """

    walks: tuple[Walk, ...] = ()
    cleared: range = range(0)

    def __bool__(self) -> bool:
        return bool(self.walks) or bool(self.cleared)


def plan(
    old: Mapping[int, Prompt], new: Mapping[int, Prompt], direction: Direction, length: int
) -> ObjectPlan:
    """Which masks of an object are to be made again.

    Args:
        old, new: position to prompt, before and after the correction.
        direction: of the run.
        length: how many frames it has.
    """
    if not new:
        return ObjectPlan(cleared=range(length) if old else range(0))
    changed = {at for at, p in new.items() if at not in old or marks(old[at]) != marks(p)}
    gone = old.keys() - new.keys()
    if direction != "backward":
        return _plan_forward(set(old), sorted(new), changed, gone, direction == "both", length)
    mirrored = _plan_forward(
        old={-at for at in old},
        places=sorted(-at for at in new),
        changed={-at for at in changed},
        gone={-at for at in gone},
        both=False,
        end=1,
    )
    walks = tuple(
        replace(walk, start=-walk.start, limit=-walk.limit, sure=-walk.sure)
        for walk in mirrored.walks
    )
    return ObjectPlan(walks, range(1 - mirrored.cleared.stop, 1 - mirrored.cleared.start))


def _plan_forward(
    old: set[int], places: list[int], changed: set[int], gone: set[int], both: bool, end: int
) -> ObjectPlan:
    """`plan` for a run whose main direction is up; `end` is the first position past the last."""
    walks: list[Walk] = []
    again: set[int] = set()
    for start, limit in pairwise([*places, end]):
        sure = [at for at in gone if start < at < limit]
        if start in changed or sure:
            again.add(start)
            walks.append(Walk(start, limit, max([start, *sure]), own=start in changed))
    for before, start in pairwise(places):
        if start in changed and before not in again:
            walks.append(Walk(start, before, start, back=True, own=False))
    first = places[0]
    early = [at for at in gone if at < first]
    if both and first > 0 and (first in changed or early):
        walks.append(Walk(first, -1, min([first, *early]), back=True, own=False))
    cleared = range(min(old), first) if early and not both else range(0)
    return ObjectPlan(tuple(walks), cleared)
