"""What a tracking state has to keep: the outputs that a later frame can still read, no others."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

Output = dict[str, Any]
"""What tracking one object on one frame left, as in sam2_video_predictor.py:796-802."""

Outputs = dict[str, dict[int, Output]]
"""One object's outputs by frame, prompted and propagated frames apart: SAM2's `output_dict`."""

_MEMORY = ("maskmem_features", "maskmem_pos_enc")
_SHOWN = ("pred_masks", "predicted_iou")

KEPT = "kept_by_policy"
"""Key of an output that stays, memory and all, until a memory policy takes the mark away."""

GIVEN = "given_mask"
"""Key of the mask that a prompted frame was given: uint8 (bits), at the video's resolution."""


@dataclass(frozen=True)
class Reach:
    """How many frames away an output is still read, in either direction of travel.

    Attributes:
        memory: the farthest recent memory (sam2_base.py:538-568). SAM2.1 reads 6 frames back.
        pointer: the farthest object pointer (sam2_base.py:612-620). SAM2.1 reads 15 frames back.
    """

    memory: int
    pointer: int

    @classmethod
    def of(cls, model: Any) -> Reach:
        """The reach of a SAM2Base, with its stride between recent memories counted in."""
        stride = model.memory_temporal_stride_for_eval
        memory = max(0, (model.num_maskmem - 2) * stride + 1)
        pointer = model.max_obj_ptrs_in_encoder - 1 if model.use_obj_ptrs_in_encoder else 0
        return cls(memory, pointer)


def prompted_frames(outputs_of_objects: Iterable[Outputs]) -> set[int]:
    """The frames on which any object was prompted (SAM2's conditioning frames)."""
    return {frame for outputs in outputs_of_objects for frame in outputs["cond_frame_outputs"]}


def nearest_prompted(frames: Collection[int], frame: int, at_most: int | None) -> list[int]:
    """Of prompted frames, oldest prompt first: the first, the newest, and those nearest to `frame`.

    All of them, in the same order, unless there are more than `at_most`.
    """
    if at_most is None or len(frames) <= at_most:
        return list(frames)
    *_, newest = frames
    kept = {min(frames), newest}
    for t in sorted(frames, key=lambda t: (abs(t - frame), t)):
        if len(kept) == at_most:
            break
        kept.add(t)
    return [t for t in frames if t in kept]


def passed_prompts(outputs: Outputs, frame: int, reverse: bool, at_most: int | None) -> list[int]:
    """The prompted frames that lie behind `frame` and are no longer read there.

    Those ahead stay however many they are: their masks have yet to be shown.
    """
    prompted = outputs["cond_frame_outputs"]
    kept = nearest_prompted(prompted, frame, at_most)
    return [t for t in prompted if t not in kept and (t > frame if reverse else t < frame)]


def forget(outputs: Outputs, anchors: Iterable[int], reach: Reach) -> None:
    """Drop from one object's `outputs` what no later frame reads.

    Conditioning outputs stay whole. The output of a propagated frame (non-conditioning) stays while
    it is within reach of an anchor, a frame that tracking may go on from: the newest frame, and
    every prompted frame, from where a later pass may run either way. Farther from all anchors than
    `reach.memory` it keeps only its pointer and object score, unless it is marked `KEPT`. What is
    shown, or fed back at a correction, is kept on the anchors themselves.
    """
    ascending = sorted(anchors)
    propagated = outputs["non_cond_frame_outputs"]
    for frame in list(propagated):
        distance = _distance(frame, ascending)
        if propagated[frame].get(KEPT):
            distance = min(distance, reach.memory)
        if distance > max(reach.memory, reach.pointer):
            del propagated[frame]
            continue
        if distance > reach.memory:
            propagated[frame].update(dict.fromkeys(_MEMORY))
        if distance > 0:
            propagated[frame].update(dict.fromkeys(_SHOWN))


def readable(outputs: Outputs, frame: int, reach: Reach) -> Outputs:
    """`outputs` as tracking `frame` may read them.

    SAM2 takes the memory of every output that it finds within reach. One that has kept only its
    pointer, because tracking went on elsewhere, is left out.
    """
    propagated = {
        t: out
        for t, out in outputs["non_cond_frame_outputs"].items()
        if out["maskmem_features"] is not None or abs(t - frame) > reach.memory
    }
    return {**outputs, "non_cond_frame_outputs": propagated}


def _distance(frame: int, anchors: list[int]) -> int:
    """From `frame` to the nearest of the ascending `anchors`."""
    right = bisect_left(anchors, frame)
    return min(abs(frame - anchor) for anchor in anchors[max(0, right - 1) : right + 1])


class TrackedFrames:
    """Which frames were tracked, and in which direction: SAM2's `frames_tracked_per_obj` entry.

    Stands for the dict `{frame: {"reverse": bool}}`, but holds one run per stretch of frames, so
    its size does not grow with the video.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[int, int, bool]] = []  # first, last, reverse; disjoint

    def __contains__(self, frame: int) -> bool:
        return any(first <= frame <= last for first, last, _ in self._runs)

    def __getitem__(self, frame: int) -> dict[str, bool]:
        for first, last, reverse in self._runs:
            if first <= frame <= last:
                return {"reverse": reverse}
        raise KeyError(frame)

    def __setitem__(self, frame: int, how: dict[str, bool]) -> None:
        self.pop(frame)
        first = last = frame
        apart = []
        for run in self._runs:
            if run[2] == how["reverse"] and run[1] == frame - 1:
                first = run[0]
            elif run[2] == how["reverse"] and run[0] == frame + 1:
                last = run[1]
            else:
                apart.append(run)
        self._runs = [*apart, (first, last, how["reverse"])]

    def pop(self, frame: int, default: None = None) -> None:
        """Forget that `frame` was tracked. `default` is there for the dict's signature."""
        cut: list[tuple[int, int, bool]] = []
        for first, last, reverse in self._runs:
            inside = first <= frame <= last
            left = ((first, frame - 1), (frame + 1, last)) if inside else ((first, last),)
            cut += [(a, b, reverse) for a, b in left if a <= b]
        self._runs = cut

    def clear(self) -> None:
        self._runs = []
