"""Which of the past frames are read as memory: SAM2's rule, and others beside it.

A policy names frames; `memory_reading` fetches what is stored of them. Frames are counted in the
direction of travel: `frame - 1` forward is `frame + 1` in reverse.

Comments name the lines they mirror of sam2 1.1.0: SB is sam2/modeling/sam2_base.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

from tracker.masks import BoolMask, box_iou, mask_box
from tracker.models.bounded_state import KEPT, Output, Outputs

Slot = tuple[int, int]
"""SAM2's `t_pos` and a frame. 0 is the slot of prompted frames, which has no age; of the recent
memories 1 is the oldest and the largest is the frame before."""


class MemoryPolicy(Protocol):
    """Chooses among the propagated frames of one object. Prompted frames are always read."""

    name: str
    needs_candidates: bool
    """Whether `note` is called with the decoder's candidate masks after every frame."""

    def reach(self, stride: int, slots: int) -> int:
        """The farthest frame that `recent` may name but for those that `note` has marked."""

    def recent(
        self, outputs: Outputs, frame: int, reverse: bool, stride: int, slots: int
    ) -> list[Slot]:
        """The propagated frames to read at `frame`, in SAM2's order.

        Args:
            outputs: what is stored of the object.
            stride: SAM2's `memory_temporal_stride_for_eval`.
            slots: how many recent memories the model has room for (`num_maskmem - 1`).
        """

    def note(self, outputs: Outputs, frame: int, candidates: Candidates) -> None:
        """Look at what was just stored for `frame`; may mark it with `KEPT`."""


@dataclass(frozen=True)
class Candidates:
    """What the decoder offered for one object on one frame.

    Attributes:
        masks_mhw: bool, at the decoder's resolution.
        chosen: index of the mask that was taken.
        predicted_iou: of that mask.
        object_score: above 0 when the object is there.
    """

    masks_mhw: Sequence[BoolMask]
    chosen: int
    predicted_iou: float
    object_score: float

    @property
    def area_px(self) -> int:
        """Pixels of the mask that was taken."""
        return int(self.masks_mhw[self.chosen].sum())

    @property
    def least_box_iou(self) -> float:
        """How far the alternatives stray: the least box IoU with the mask that was taken."""
        boxes = [mask_box(mask_hw) for mask_hw in self.masks_mhw]
        chosen = boxes[self.chosen]
        others = [box for i, box in enumerate(boxes) if i != self.chosen and box is not None]
        return min((box_iou(chosen, other) for other in others), default=1.0) if chosen else 1.0


def strided(frame: int, back: int, stride: int, reverse: bool) -> int:
    """The frame of the memory `back` places behind `frame`, as SB:539-560."""
    if back == 1:
        return frame + 1 if reverse else frame - 1
    if reverse:
        return -(-(frame + 2) // stride) * stride + (back - 2) * stride
    return ((frame - 2) // stride) * stride - (back - 2) * stride


class Sam2Memory:
    """SAM2's own rule: the frame before, and the nearest of every `stride`-th frame behind it."""

    name = "sam2"
    needs_candidates = False

    def reach(self, stride: int, slots: int) -> int:
        return max(0, (slots - 1) * stride + 1)

    def recent(
        self, outputs: Outputs, frame: int, reverse: bool, stride: int, slots: int
    ) -> list[Slot]:
        return [
            (slots + 1 - back, strided(frame, back, stride, reverse))
            for back in range(slots, 0, -1)
        ]

    def note(self, outputs: Outputs, frame: int, candidates: Candidates) -> None:
        """Nothing is noted."""


class PresenceMemory(Sam2Memory):
    """SAM2's rule, less the frames on which the object was absent; the frame before is kept.

    The part of DAM4SAM (Videnovic et al., CVPR 2025) that costs nothing.
    """

    name = "presence"

    def recent(
        self, outputs: Outputs, frame: int, reverse: bool, stride: int, slots: int
    ) -> list[Slot]:
        before = strided(frame, 1, stride, reverse)
        return [
            (slot, t)
            for slot, t in super().recent(outputs, frame, reverse, stride, slots)
            if t == before or _is_present(outputs["non_cond_frame_outputs"].get(t))
        ]


class DistractorMemory:
    """DAM4SAM's rule (Videnovic et al., CVPR 2025): half recent memories, half anchors.

    Recent are the frame before and the last two of every fifth frame on which the object was
    present. Anchors are frames that told the object from something like it: the decoder was sure of
    its mask, the area was as usual, and an alternative mask lay elsewhere. They are read without
    an age, like prompted frames; the newest `ANCHORS` are kept.
    """

    name = "distractor"
    needs_candidates = True

    STRIDE, RECENT, ANCHORS = 5, 3, 3
    LEAST_IOU = 0.8  # predicted, of the mask that was taken
    LARGEST_CHANGE = 0.2  # of the area, against the median of the last visible frames
    VISIBLE_FRAMES = 10
    LEAST_GAP = 5  # frames between anchors are more than this
    MOST_BOX_IOU = 0.7  # of an alternative mask, for it to count as something else

    def reach(self, stride: int, slots: int) -> int:
        return max(0, (self.RECENT - 1) * self.STRIDE + 1)

    def recent(
        self, outputs: Outputs, frame: int, reverse: bool, stride: int, slots: int
    ) -> list[Slot]:
        stored = outputs["non_cond_frame_outputs"]
        before = strided(frame, 1, self.STRIDE, reverse)
        anchors = [(0, t) for t in sorted(stored) if stored[t].get(KEPT) and t != before]
        taken = {t for _, t in anchors}
        places = range(min(self.RECENT, slots), 0, -1)
        recent = [(slots + 1 - b, strided(frame, b, self.STRIDE, reverse)) for b in places]
        return anchors + [
            (slot, t)
            for slot, t in recent
            if t == before or (t not in taken and _is_present(stored.get(t)))
        ]

    def note(self, outputs: Outputs, frame: int, candidates: Candidates) -> None:
        stored = outputs["non_cond_frame_outputs"]
        if candidates.object_score <= 0:
            return
        nearest = sorted((t for t in stored if t != frame), key=lambda t: abs(t - frame))
        areas = [stored[t]["area_px"] for t in nearest if stored[t].get("area_px")]
        stored[frame]["area_px"] = candidates.area_px
        anchors = [t for t in nearest if stored[t].get(KEPT)]
        if not self._tells_apart(candidates, areas[: self.VISIBLE_FRAMES]):
            return
        if anchors and abs(anchors[0] - frame) <= self.LEAST_GAP:
            return
        stored[frame][KEPT] = True
        for old in anchors[self.ANCHORS - 1 :]:
            stored[old][KEPT] = False

    def _tells_apart(self, candidates: Candidates, areas: list[int]) -> bool:
        """Whether a frame is fit to be an anchor, but for its distance from the others."""
        usual = median(areas) if areas else 0
        return (
            candidates.predicted_iou > self.LEAST_IOU
            and usual > 0
            and abs(candidates.area_px - usual) <= self.LARGEST_CHANGE * usual
            and candidates.least_box_iou <= self.MOST_BOX_IOU
        )


POLICIES: dict[str, type[Any]] = {
    policy.name: policy for policy in (Sam2Memory, PresenceMemory, DistractorMemory)
}


def _is_present(out: Output | None) -> bool:
    score = None if out is None else out.get("object_score_logits")
    return score is not None and float(score) > 0
