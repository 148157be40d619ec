"""The prompts of one session: checked against the video, one per object and frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tracker.errors import PromptError
from tracker.session.grid import FrameGrid
from tracker.types import Prompt, VideoInfo
from tracker.views import View, holds, shows


class PromptSet:
    """Prompts in the order they were given; those for one object on one frame become one."""

    def __init__(self, info: VideoInfo, grid: FrameGrid) -> None:
        self._info = info
        self._grid = grid
        self._prompts: dict[tuple[int, int], Prompt] = {}

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        return tuple(self._prompts.values())

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ascending."""
        return tuple(sorted({prompt.object_id for prompt in self.prompts}))

    @property
    def next_object_id(self) -> int:
        """An id above all that are taken."""
        return max(self.object_ids, default=0) + 1

    @property
    def labels(self) -> dict[int, str | None]:
        """Object id to name, ids ascending."""
        named = {p.object_id: p.label for p in self.prompts if p.label is not None}
        return {i: named.get(i) for i in self.object_ids}

    def of(self, object_id: int) -> tuple[Prompt, ...]:
        """The prompts of one object."""
        return tuple(p for p in self.prompts if p.object_id == object_id)

    def add(self, prompt: Prompt) -> None:
        """Add a prompt, or what it adds to one for the same object and frame.

        Raises:
            PromptError: when it lies outside the video or the processed frames, names an object
                that has another name, or contradicts an earlier prompt. Nothing is added then.
        """
        self._check(prompt)
        place = (prompt.object_id, prompt.frame)
        earlier = self._prompts.get(place)
        self._prompts[place] = prompt if earlier is None else _joined(earlier, prompt)

    def correct(self, prompt: Prompt) -> Prompt:
        """Add points to the points or box there; a box or a mask takes the place of what is there.

        Returns:
            The prompt that is there now.

        Raises:
            PromptError: as `add`.
        """
        place = (prompt.object_id, prompt.frame)
        earlier = self._prompts.get(place)
        joins = prompt.kind == "points" and earlier is not None and earlier.mask_hw is None
        if earlier is None or joins:
            self.add(prompt)
        else:
            self._check(prompt)
            self._prompts[place] = replace(prompt, label=prompt.label or earlier.label)
        return self._prompts[place]

    def remove(self, object_id: int, frame: int) -> None:
        """Take a prompt away. Raises PromptError when there is none."""
        if (object_id, frame) not in self._prompts:
            raise PromptError(f"object {object_id} has no prompt on frame {frame}")
        del self._prompts[object_id, frame]

    def _check(self, prompt: Prompt) -> None:
        self._grid.check(prompt)
        prompt.check_inside(self._info)
        name = self.labels.get(prompt.object_id)
        if name is not None and prompt.label not in (None, name):
            raise PromptError(
                f"object {prompt.object_id} cannot be both {name!r} and {prompt.label!r}"
            )


def _joined(a: Prompt, b: Prompt) -> Prompt:
    """Two prompts for one object on one frame as one. Raises PromptError if they exclude it."""
    where = f"object {a.object_id} on frame {a.frame}"
    if a.box_xyxy is not None and b.box_xyxy is not None:
        raise PromptError(f"{where} has two boxes; give one")
    if a.mask_hw is not None or b.mask_hw is not None:
        raise PromptError(f"{where} has a mask and another prompt; give one of them")
    view = a.view_xyxy or b.view_xyxy
    if view and not (_lies_in(view, a) and _lies_in(view, b)):
        view = None  # what is marked outside of it is seen on the whole frame alone
    return replace(
        a,
        points_n2=np.concatenate([a.points_n2, b.points_n2]),
        point_labels_n=np.concatenate([a.point_labels_n, b.point_labels_n]),
        box_xyxy=a.box_xyxy or b.box_xyxy,
        view_xyxy=view,
        label=a.label or b.label,
    )


def _lies_in(view: View, prompt: Prompt) -> bool:
    box = prompt.box_xyxy
    return bool(shows(view, prompt.points_n2).all()) and (box is None or holds(view, box))
