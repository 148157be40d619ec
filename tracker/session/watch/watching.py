"""Watches objects while they are tracked: describes the frames that are worth it, judges masks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tracker.models.dinov2 import FeatureExtractor
from tracker.session.drift import Judge, Thresholds, Verdict, observe
from tracker.session.watch.appearance import Likeness, Sampler, Scenes
from tracker.types import Frame, ImageFeatures, ObjectMask, Prompt


@dataclass(frozen=True, eq=False)
class Judged:
    """One object on one frame, with what is thought of it.

    Attributes:
        mask: with verdict and appearance filled in.
        verdict: in full.
    """

    mask: ObjectMask
    verdict: Verdict


class DriftWatch:
    """Takes frames in the order of tracking, whichever way that goes.

    On a frame that comes again, those are judged that are new or were prompted anew. Where the way
    turns, a new pass begins: what objects look like is kept, where they were is forgotten.

    Attributes:
        likeness: object id to what the object has looked like so far.
    """

    def __init__(
        self,
        thresholds: Thresholds,
        extractor: FeatureExtractor,
        prompts: Iterable[Prompt],
        every: int,
    ) -> None:
        """`every`: the distance in frames at which appearance is measured, at most."""
        self.likeness: dict[int, Likeness] = {}
        self._thresholds, self._extractor, self._every = thresholds, extractor, every
        self._prompted: dict[int, set[int]] = {}
        self._certain: set[tuple[int, int]] = set()
        self._redetected: set[tuple[int, int]] = set()
        self._verdicts: dict[int, Verdict] = {}
        self._last, self._way = -1, 1
        for prompt in prompts:
            self.add_prompt(prompt)
        self._features: ImageFeatures | None = None
        self._begin_pass()

    def add_prompt(self, prompt: Prompt) -> None:
        """Take note of a prompt. What a `redetect` prompt gives must still look like the object."""
        self._prompted.setdefault(prompt.frame, set()).add(prompt.object_id)
        place = (prompt.frame, prompt.object_id)
        (self._redetected if prompt.source == "redetect" else self._certain).add(place)
        if prompt.frame == self._last:
            self._verdicts.pop(prompt.object_id, None)

    def features(self, frame: Frame) -> ImageFeatures:
        """Of the newest frame; computed once."""
        if self._features is None:
            self._features = self._extractor.extract(frame.image_hwc)
        return self._features

    @property
    def described(self) -> ImageFeatures | None:
        """Features of the newest frame, if they were needed."""
        return self._features

    def judge(self, frame: Frame, objects: Sequence[ObjectMask]) -> tuple[Judged, ...]:
        """Judge the masks of a frame, in their order; asking again gives the same."""
        if frame.index != self._last:
            self._turn(frame.index)
            self._judge_next(frame, objects)
        elif new := [mask for mask in objects if mask.object_id not in self._verdicts]:
            self._scenes.is_cut(self.features(frame), stirred=False)
            self._sampler.described(new)
            self._judge_all(frame.index, new, objects, cut=False)
        return tuple(self._marked(mask) for mask in objects)

    def _marked(self, mask: ObjectMask) -> Judged:
        verdict = self._verdicts[mask.object_id]
        marked = replace(mask, verdict=verdict.state, appearance=verdict.appearance)
        return Judged(marked, verdict)

    def _turn(self, index: int) -> None:
        way = 1 if index > self._last else -1
        if way != self._way:
            self._begin_pass()
        self._last, self._way = index, way
        self._features, self._verdicts = None, {}

    def _begin_pass(self) -> None:
        self._sampler, self._scenes = Sampler(self._every), Scenes(self._thresholds.cut_below)
        self._judges: dict[int, Judge] = {}

    def _judge_next(self, frame: Frame, objects: Sequence[ObjectMask]) -> None:
        cut = False
        prompted = self._prompted.get(frame.index, set())
        if objects and self._sampler.wants(frame.image_hwc, objects, prompted):
            cut = self._scenes.is_cut(self.features(frame), self._sampler.stirred)
        self._judge_all(frame.index, objects, objects, cut)

    def _judge_all(
        self, index: int, wanted: Collection[ObjectMask], objects: Sequence[ObjectMask], cut: bool
    ) -> None:
        """Judge the wanted ones of a frame's objects."""
        for mask in wanted:
            likeness = self.likeness.setdefault(mask.object_id, Likeness())
            if self._features and (index, mask.object_id) in self._certain:
                likeness.prompt(index, self._features, mask.mask_hw)
        scores = appearances(self._features, objects, self.likeness)
        for mask in wanted:
            place = (index, mask.object_id)
            found_again = place in self._redetected
            judge = self._judges.setdefault(mask.object_id, Judge(self._thresholds.rules))
            seen = observe(
                replace(mask, appearance=scores.get(mask.object_id)),
                index,
                prompted=place in self._certain,
                redetected=found_again,
                cut=cut and not found_again,
            )
            self._verdicts[mask.object_id] = judge.judge(seen)


def appearances(
    features: ImageFeatures | None,
    objects: Collection[ObjectMask],
    likeness: Mapping[int, Likeness],
) -> dict[int, float]:
    """Object id to appearance score on one frame, where there is one.

    Args:
        features: of the frame; None where it was not described.
        objects: all that are tracked on it.
        likeness: object id to what it looks like.
    """
    if features is None or not objects:
        return {}
    covers_hw = np.zeros(next(iter(objects)).mask_hw.shape, np.uint16)
    for mask in objects:
        covers_hw += mask.mask_hw
    scores = {}
    for mask in objects:
        known = likeness.get(mask.object_id)
        others_hw = covers_hw > mask.mask_hw
        score = known.score(features, mask.mask_hw, others_hw) if known else None
        if score is not None:
            scores[mask.object_id] = score
    return scores
