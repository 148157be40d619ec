"""Watches objects while they are tracked: describes the frames that are worth it, judges masks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from tracker.models.dinov2 import FeatureExtractor
from tracker.session.drift import Judge, Observation, Thresholds, Verdict, observe
from tracker.session.watch.appearance import Likeness, Look, Sampler, Scenes, look
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
            self._judge_again(frame, new)
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
        for mask in objects:
            self._judge_one(frame, mask, cut)

    def _judge_again(self, frame: Frame, objects: Collection[ObjectMask]) -> None:
        self._scenes.is_cut(self.features(frame), stirred=False)
        self._sampler.described(objects)
        for mask in objects:
            self._judge_one(frame, mask, cut=False)

    def _judge_one(self, frame: Frame, mask: ObjectMask, cut: bool) -> None:
        likeness = self.likeness.setdefault(mask.object_id, Likeness())
        judge = self._judges.setdefault(mask.object_id, Judge(self._thresholds.rules))
        place = (frame.index, mask.object_id)
        found_again = place in self._redetected
        seen = observe(
            mask,
            frame.index,
            prompted=place in self._certain,
            redetected=found_again,
            cut=cut and not found_again,
        )
        here = look(self._features, mask.mask_hw) if self._features else None
        self._verdicts[mask.object_id] = judge_look(judge, likeness, seen, here)


def judge_look(judge: Judge, likeness: Likeness, seen: Observation, here: Look | None) -> Verdict:
    """Judge an observation by its look too, and let trusted looks be what later ones must be like.

    Args:
        here: None where the frame was not described; the observation's own appearance holds then.
    """
    if here is None:
        return judge.judge(seen)
    if seen.prompted:
        likeness.prompt(here)
    verdict = judge.judge(replace(seen, appearance=likeness.score(here)))
    if verdict.trusted and not seen.prompted:
        likeness.trust(here)
    return verdict
