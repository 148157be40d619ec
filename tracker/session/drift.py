"""From the history of one object's masks to a verdict: is it still what was prompted?

Five signs are held against thresholds, each by a ramp from what sound masks show (no doubt) to what
wrong ones show (as much doubt as the sign is worth). The doubts are joined as if they were
independent chances, `1 - (1 - a)(1 - b)...`, and the state follows from the sum. While a video is
tracked and when a run is reviewed the same rules judge. `configs/drift.json` holds the thresholds.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import log, prod
from statistics import median
from typing import Any

import numpy as np

from tracker import locations
from tracker.masks import Box, mask_box, mask_centre
from tracker.types import ObjectMask, State

FILE_NAME = "drift.json"
_DEFAULT = "default"

REASONS = {
    "presence": "the model doubts that it is there",
    "predicted_iou": "the model doubts its own mask",
    "size": "its size changed abruptly",
    "likeness": "what looks like the object lies elsewhere",
    "cut": "scene cut",
    "absent": "no mask",
}


@dataclass(frozen=True)
class Ramp:
    """How much doubt one sign brings: none at `fine`, `weight` at `bad`, in proportion between.

    `weight` is 0 to 1: how well the sign alone tells wrong masks from sound ones.
    """

    fine: float
    bad: float
    weight: float

    def doubt(self, value: float) -> float:
        share = (self.fine - value) / (self.fine - self.bad)
        return self.weight * min(max(share, 0.0), 1.0)


@dataclass(frozen=True)
class Rules:
    """The thresholds. Every ramp falls: a smaller value is a worse sign.

    Attributes:
        presence: of SAM2's object score, a logit.
        predicted_iou: of the decoder's own estimate.
        size: of minus the absolute logarithm of the area over the median of the trusted ones.
        likeness: of the appearance score; see `tracker.session.watch.appearance`.
        cut: doubt on the first frame of another scene.
        absent: doubt about an empty mask where nothing looks like the object.
        doubtful: from this doubt on, a mask is doubtful.
        trusted: up to this doubt, later masks may be measured by this one.
        lost_after: an object is lost once its mask was empty on so many frames in a row.
        recent: how many trusted areas the median is taken of.
        clues: doubt from which a sign is given as a reason.
    """

    presence: Ramp
    predicted_iou: Ramp
    size: Ramp
    likeness: Ramp
    cut: float
    absent: float
    doubtful: float
    trusted: float
    lost_after: int = 5
    recent: int = 10
    clues: float = 0.2


@dataclass(frozen=True)
class Thresholds:
    """All that was calibrated for a pair of models.

    Attributes:
        rules: of the verdicts.
        cut_below: cosine of the looks of two frames below which they show different scenes.
        redetect: decision score from which an object is held to be found again.
        redetect_likeness: appearance score that the mask found then must have.
    """

    rules: Rules
    cut_below: float
    redetect: float
    redetect_likeness: float


def thresholds(sam2: str, features: str) -> Thresholds:
    """The thresholds of a SAM2 model and a feature model, from `configs/drift.json`.

    Each entry there names the data that it was calibrated on and the command that did it; models
    without an entry of their own share `default`.
    """
    known = _calibrated()
    masks = known["sam2"].get(sam2, known["sam2"][_DEFAULT])
    looks = known["features"].get(features, known["features"][_DEFAULT])
    rules = Rules(
        presence=Ramp(**masks["presence"]),
        predicted_iou=Ramp(**masks["predicted_iou"]),
        size=Ramp(**masks["size"]),
        likeness=Ramp(**looks["likeness"]),
        cut=masks["cut"],
        absent=masks["absent"],
        doubtful=masks["doubtful"],
        trusted=masks["trusted"],
    )
    again = looks["redetect"]
    return Thresholds(rules, looks["cut_below"], again["score"], again["likeness"])


@cache
def _calibrated() -> dict[str, dict[str, Any]]:
    path = locations.shipped("configs") / FILE_NAME
    known: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return known


@dataclass(frozen=True)
class Observation:
    """What is known of one object on one frame.

    Attributes:
        frame: index in the video, from 0.
        object_score, predicted_iou: of its `ObjectMask`.
        area_px: 0 for an empty mask.
        box_xyxy, centre_xy: in pixels; None for an empty mask.
        appearance: as measured on this frame, None where it was not.
        prompted: whether somebody said on this frame where the object is.
        redetected: whether the tool found the object again on this frame.
        cut: whether the frame is the first of another scene.
    """

    frame: int
    object_score: float
    predicted_iou: float
    area_px: int
    box_xyxy: Box | None = None
    centre_xy: tuple[float, float] | None = None
    appearance: float | None = None
    prompted: bool = False
    redetected: bool = False
    cut: bool = False


@dataclass(frozen=True)
class Verdict:
    """What the rules make of an observation.

    Attributes:
        state: see `docs/drift.md`.
        doubt: 0 to 1.
        reasons: keys of `REASONS`, the weightiest first; empty for a visible object.
        trusted: whether later masks may be measured by this one.
        appearance: the newest appearance score that holds for the frame, None without one.
    """

    frame: int
    state: State
    doubt: float
    reasons: tuple[str, ...] = ()
    trusted: bool = False
    appearance: float | None = None


def observe(
    mask: ObjectMask,
    frame: int,
    *,
    prompted: bool = False,
    redetected: bool = False,
    cut: bool = False,
) -> Observation:
    """The observation that a mask stands for."""
    return Observation(
        frame=frame,
        object_score=mask.object_score,
        predicted_iou=mask.predicted_iou,
        area_px=int(np.count_nonzero(mask.mask_hw)),
        box_xyxy=mask_box(mask.mask_hw),
        centre_xy=mask_centre(mask.mask_hw),
        appearance=mask.appearance,
        prompted=prompted,
        redetected=redetected,
        cut=cut,
    )


class Judge:
    """Applies the rules to one object, frame by frame in the order of tracking."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._areas: deque[int] = deque(maxlen=rules.recent)
        self._appearance: float | None = None
        self._empty = 0

    def judge(self, seen: Observation) -> Verdict:
        """The verdict on the next frame. An appearance holds until it is measured again."""
        if seen.cut or seen.prompted or seen.redetected:
            self._areas.clear()
            self._appearance = None
        if seen.prompted or seen.redetected:
            self._empty = 0
        if bool(seen.area_px) == bool(self._empty):
            self._appearance = None  # what goes or comes back is compared anew
        if seen.appearance is not None:
            self._appearance = seen.appearance
        if not seen.area_px:
            return self._absent(seen)
        self._empty = 0
        doubts = {} if seen.prompted else self._doubts(seen)
        doubt = 1 - prod(1 - each for each in doubts.values())
        trusted = doubt <= self._rules.trusted
        if trusted:
            self._areas.append(seen.area_px)
        sound = doubt < self._rules.doubtful
        return Verdict(
            frame=seen.frame,
            state="visible" if sound else "doubtful",
            doubt=doubt,
            reasons=() if sound else self._weightiest(doubts),
            trusted=trusted,
            appearance=self._appearance,
        )

    def _absent(self, seen: Observation) -> Verdict:
        self._empty += 1
        state: State = "lost" if self._empty >= self._rules.lost_after else "occluded"
        likeness = self._likeness()
        return Verdict(
            frame=seen.frame,
            state=state,
            doubt=1 - (1 - self._rules.absent) * (1 - likeness),
            reasons=("absent", "likeness") if likeness >= self._rules.clues else ("absent",),
            appearance=self._appearance,
        )

    def _likeness(self) -> float:
        """The doubt that the newest appearance brings."""
        if self._appearance is None:
            return 0.0
        return self._rules.likeness.doubt(self._appearance)

    def _doubts(self, seen: Observation) -> dict[str, float]:
        rules = self._rules
        doubts = {
            "presence": rules.presence.doubt(seen.object_score),
            "predicted_iou": rules.predicted_iou.doubt(seen.predicted_iou),
            "likeness": self._likeness(),
            "cut": rules.cut if seen.cut else 0.0,
        }
        if self._areas:
            doubts["size"] = rules.size.doubt(size_sign(seen.area_px, self._areas))
        return doubts

    def _weightiest(self, doubts: dict[str, float]) -> tuple[str, ...]:
        ranked = sorted(doubts, key=lambda sign: -doubts[sign])
        return tuple(s for s in ranked if doubts[s] >= self._rules.clues) or tuple(ranked[:1])


def size_sign(area_px: int, trusted_px: Iterable[int]) -> float:
    """Minus the absolute logarithm of an area over the median of trusted ones: 0 when equal."""
    return -abs(log(area_px / median(trusted_px)))


def tracking_order(history: Sequence[Observation]) -> tuple[range, range]:
    """Places in a history in the order of tracking: forward from the first prompt, then backward.

    The history has frames ascending. The backward part begins with the prompt again.
    """
    first = next((i for i, seen in enumerate(history) if seen.prompted), 0)
    return range(first, len(history)), range(first, -1, -1) if first else range(0)


@dataclass(frozen=True)
class Episode:
    """Frames in a row on which one object is not to be trusted.

    Attributes:
        object_id: from 1.
        first, last: frame indices, both included.
        look_at: the frame with the greatest doubt; of equals, the first.
        state: the worst on the way: `lost`, then `doubtful`, then `occluded`.
        doubt: the greatest, 0 to 1.
        weight: the sum of doubt: how much there is to gain.
        reasons: keys of `REASONS`, the most frequent first.
    """

    object_id: int
    first: int
    last: int
    look_at: int
    state: State
    doubt: float
    weight: float
    reasons: tuple[str, ...]


_WORST: tuple[State, ...] = ("lost", "doubtful", "occluded")


def find_episodes(object_id: int, verdicts: Sequence[Verdict], bridge: int = 3) -> list[Episode]:
    """Group the frames that are not `visible`; fewer than `bridge` sound ones do not part them.

    Args:
        verdicts: of one object, frames ascending.
        bridge: sound frames in a row that end an episode.
    """
    groups: list[list[int]] = []
    for place, verdict in enumerate(verdicts):
        if verdict.state == "visible":
            continue
        if groups and place - groups[-1][-1] <= bridge:
            groups[-1].append(place)
        else:
            groups.append([place])
    return [_episode(object_id, [verdicts[place] for place in group]) for group in groups]


def worst_first(episodes: Iterable[Episode]) -> list[Episode]:
    """By weight, so that a correction helps most where it is made first."""
    return sorted(episodes, key=lambda e: (-round(e.weight, 6), e.object_id, e.first))


def frames_to_look_at(
    episodes: Iterable[Episode], verdicts: Mapping[int, Sequence[Verdict]], apart: int = 5
) -> list[tuple[int, int]]:
    """Object id and frame, worst first: one for each episode, then others by their doubt.

    Those go on with frames on which the object is held to be visible, so that there is something to
    look at for whoever has the time; frames without any doubt are left out.

    Args:
        episodes: the worst first.
        verdicts: object id to its verdicts, frames ascending.
        apart: frames of one object that are less apart than so many show the same.
    """
    chosen = [(episode.object_id, episode.look_at) for episode in episodes]
    near = range(1 - apart, apart)
    shown = {(i, frame + step) for i, frame in chosen for step in near}
    others = [(i, v) for i, each in verdicts.items() for v in each if v.doubt > 0]
    for i, verdict in sorted(others, key=lambda each: -each[1].doubt):
        if (i, verdict.frame) not in shown:
            chosen.append((i, verdict.frame))
            shown |= {(i, verdict.frame + step) for step in near}
    return chosen


def _episode(object_id: int, verdicts: list[Verdict]) -> Episode:
    worst = max(verdicts, key=lambda verdict: verdict.doubt)
    states = {verdict.state for verdict in verdicts}
    said = [reason for verdict in verdicts for reason in verdict.reasons]
    return Episode(
        object_id=object_id,
        first=verdicts[0].frame,
        last=verdicts[-1].frame,
        look_at=worst.frame,
        state=next(state for state in _WORST if state in states),
        doubt=worst.doubt,
        weight=sum(verdict.doubt for verdict in verdicts),
        reasons=tuple(sorted(dict.fromkeys(said), key=lambda reason: -said.count(reason))),
    )
