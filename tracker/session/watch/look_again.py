"""Looks for an object again when it is lost: asks the references where it is, every few frames.

The references are the user's, and frames of this run on which the mask was trusted. A match becomes
a `redetect` prompt when its score and its likeness to the object reach the calibrated thresholds,
it is not another object, and it looks more like the object than what is tracked now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tracker.masks import BoolMask, iou
from tracker.memory.candidates import SAME_OBJECT_IOU
from tracker.memory.prompting import Decision, find_prompts
from tracker.memory.store import ReferenceMemory
from tracker.models.dinov2 import FeatureExtractor, load_features
from tracker.models.sam2 import ImagePrompter
from tracker.session.auto_prompt import open_memory
from tracker.session.drift import Thresholds, thresholds
from tracker.session.identity import ModelIdentity
from tracker.session.propagation import Watch
from tracker.session.watch.run_references import RunReferences
from tracker.session.watch.watching import DriftWatch, Judged, appearances
from tracker.settings import TrackSettings
from tracker.types import Frame, ImageFeatures, ObjectMask, Prompt

if TYPE_CHECKING:
    from tracker.session.session import TrackSession

RECENT_REFERENCES = 2  # trusted frames of the run that are kept beside the first
RARER = 8  # looks are an eighth of the time apart that the object has been away, if that is more
BETTER_BY = 0.1  # by so much a match must agree better with what looks like the object


@dataclass(frozen=True)
class Eyes:
    """What is looked with: features, and SAM2's image decoder, made when it is first needed."""

    extractor: FeatureExtractor
    prompter: Callable[[], ImagePrompter]


@dataclass
class _Loss:
    """Where an object was last not what it should be, and for how long.

    Attributes:
        since: position of the first such frame in a row; of the first that may be one.
        waited: on how many positions it has been so.
        at_once: whether the newest of them has it looked for without waiting: after a scene cut,
            or when a part of its mask shows nothing of it.
    """

    since: int
    waited: int = 0
    at_once: bool = False


class LookAgain(Watch):
    """Watches a session's objects, and prompts those anew that were lost and found again."""

    def __init__(
        self,
        read: Callable[[int], Frame],
        prompts: tuple[Prompt, ...],
        eyes: Eyes,
        thresholds: Thresholds,
        settings: TrackSettings,
        memory: ReferenceMemory | None = None,
    ) -> None:
        """Begin a watch.

        Args:
            read: the frame at a position.
            prompts: all that are known, those of an earlier part of the run too.
            memory: whose references are asked for objects that have its labels.
        """
        self._read, self._eyes, self._settings = read, eyes, settings
        self._thresholds = thresholds
        self._watch = DriftWatch(thresholds, eyes.extractor, prompts, settings.appearance_every)
        self._labels = {p.object_id: p.label for p in prompts if p.label}
        self._redetected = {(p.frame, p.object_id) for p in prompts if p.source == "redetect"}
        self._references = _all_references(memory, self._labels)
        self._losses: dict[int, _Loss] = {}
        self._patience: dict[int, int] = {}
        self._sound: dict[int, int] = {}  # where a look last held the mask to be right
        self._gaps: dict[tuple[int, int], int] = {}
        self._prompter: ImagePrompter | None = None

    @property
    def features(self) -> ModelIdentity:
        """The feature model that is used."""
        extractor = self._eyes.extractor
        return ModelIdentity(extractor.name, extractor.weights_sha256)

    def marked(self, frame: Frame, objects: tuple[ObjectMask, ...]) -> tuple[ObjectMask, ...]:
        return tuple(judged.mask for judged in self._watch.judge(frame, objects))

    def after(self, position: int, objects: tuple[ObjectMask, ...]) -> Mapping[int, Prompt]:
        frame = self._read(position)
        judged = self._take_in(position, frame, objects)
        wanted = [each for each in judged if self._is_due(each.mask.object_id)]
        found = self._ask(frame, wanted, judged) if wanted else {}
        for object_id, prompt in found.items():
            loss = self._losses[object_id]
            self._gaps[object_id, position] = loss.since
            self._is_found(object_id, position, waited=loss.waited > 1)
            self._watch.add_prompt(prompt)
        return found

    def gap(self, object_id: int, position: int) -> int | None:
        """Down to where the object went astray."""
        return self._gaps.get((object_id, position))

    def holds(self, position: int, objects: tuple[ObjectMask, ...]) -> bool:
        """Whether no mask would agree better with what looks like the object if it were empty."""
        if not any(mask.mask_hw.any() for mask in objects):
            return True
        features = self._eyes.extractor.extract(self._read(position).image_hwc)
        nothing = [replace(mask, mask_hw=np.zeros_like(mask.mask_hw)) for mask in objects]
        scores, without = (
            appearances(features, masks, self._watch.likeness) for masks in (objects, nothing)
        )
        return all(
            scores.get(mask.object_id, 0.0) >= without.get(mask.object_id, 0.0) + BETTER_BY
            for mask in objects
            if mask.mask_hw.any()
        )

    def saw(self, position: int, objects: tuple[ObjectMask, ...]) -> None:
        self._take_in(position, self._read(position), objects)

    def _take_in(
        self, position: int, frame: Frame, objects: tuple[ObjectMask, ...]
    ) -> tuple[Judged, ...]:
        """Judge a frame, count losses, and keep it as a reference where it can be trusted."""
        judged = self._watch.judge(frame, objects)
        for each in judged:
            object_id = each.mask.object_id
            if (frame.index, object_id) in self._redetected:
                self._is_found(object_id, position, waited=object_id in self._losses)
                continue
            strayed = self._has_stray_part(each.mask)
            if each.verdict.trusted and not strayed:
                self._patience.pop(object_id, None)
                self._keep(object_id, position, frame, each.mask.mask_hw)
            if each.verdict.state == "visible" and not strayed:
                self._losses.pop(object_id, None)
                continue
            # A part that has strayed was taken in at some time after the last sound look.
            since = self._sound.get(object_id, position - 1) + 1 if strayed else position
            loss = self._losses.setdefault(object_id, _Loss(since))
            loss.waited += 1
            loss.at_once = strayed or "cut" in each.verdict.reasons
        return judged

    def _has_stray_part(self, mask: ObjectMask) -> bool:
        features, likeness = self._watch.described, self._watch.likeness.get(mask.object_id)
        return bool(features and likeness and likeness.has_stray_part(features, mask.mask_hw))

    def _is_found(self, object_id: int, position: int, waited: bool) -> None:
        """Until it is trusted again, wait twice as long before it is looked for once more.

        Args:
            waited: whether it was lost before this frame. What was looked for at once has not
                shown itself to be hard to follow.
        """
        self._losses.pop(object_id, None)
        self._sound[object_id] = position
        if waited:
            self._patience[object_id] = 2 * self._patience.get(object_id, 1)

    def _keep(self, object_id: int, position: int, frame: Frame, mask_hw: BoolMask) -> None:
        """A reference from the run: the first one stays, of the later ones the newest."""
        features = self._watch.described
        if features is None:
            return
        self._sound[object_id] = position
        self._references.add_frame(object_id, frame.index, frame.image_hwc, features, mask_hw)
        from_run = self._references.from_run(object_id)
        if len(from_run) > 1 + RECENT_REFERENCES:
            self._references.drop(from_run[1])

    def _is_due(self, object_id: int) -> bool:
        loss = self._losses.get(object_id)
        if loss is None:
            return False
        patience = self._settings.redetect_after * self._patience.get(object_id, 1)
        return loss.at_once or is_time(loss.waited, patience, self._settings.redetect_every)

    def _ask(
        self, frame: Frame, wanted: list[Judged], judged: tuple[Judged, ...]
    ) -> dict[int, Prompt]:
        """Where the wanted objects are, for those that are found."""
        features = self._watch.features(frame)
        lost = {each.mask.object_id for each in wanted}
        others = [
            each.mask.mask_hw
            for each in judged
            if each.mask.object_id not in lost and each.mask.mask_hw.any()
        ]
        now = {each.mask.object_id: each.mask for each in wanted}
        hopeful = [i for i, mask in now.items() if self._can_be_better(mask, features, others)]
        if not hopeful:
            return {}

        def is_better(decision: Decision) -> bool:
            return self._is_better(decision.mask_hw, now[int(decision.label)], features, others)

        if self._prompter is None:
            self._prompter = self._eyes.prompter()
        decisions = find_prompts(
            frame.image_hwc,
            self._references,
            self._eyes.extractor,
            self._prompter,
            frame=frame.index,
            labels=[str(object_id) for object_id in hopeful],
            prompt_kind=self._settings.prompt_kind,
            threshold=self._thresholds.redetect,
            seed=self._settings.seed,
            features=features,
            taken=others,
            is_of_use=is_better,
            margin=0.0,
        )
        accepted = [each for each in decisions if each.accepted and is_better(each)]
        return {int(each.label): self._prompt(int(each.label), each) for each in accepted}

    def _can_be_better(
        self, now: ObjectMask, features: ImageFeatures, others: Sequence[BoolMask]
    ) -> bool:
        """Whether any match could be; not while nothing elsewhere looks like the object."""
        here = self._score(now.object_id, now.mask_hw, features, others)
        return here is None or here + BETTER_BY <= 1

    def _is_better(
        self,
        mask_hw: BoolMask,
        now: ObjectMask,
        features: ImageFeatures,
        others: Sequence[BoolMask],
    ) -> bool:
        """Whether a match looks like the object, and more so than the mask that is there."""
        there = self._score(now.object_id, mask_hw, features, others)
        if there is None or there < self._thresholds.redetect_likeness:
            return False
        same = now.mask_hw.any() and iou(mask_hw, now.mask_hw) > SAME_OBJECT_IOU
        if same and not self._has_stray_part(now):
            return False  # the reference agrees with what is tracked
        here = self._score(now.object_id, now.mask_hw, features, others)
        return here is None or there >= here + BETTER_BY

    def _score(
        self,
        object_id: int,
        mask_hw: BoolMask,
        features: ImageFeatures,
        others: Sequence[BoolMask],
    ) -> float | None:
        """How much a mask agrees with what looks like the object, where no other object is."""
        others_hw = np.any(others, axis=0) if others else None
        return self._watch.likeness[object_id].score(features, mask_hw, others_hw)

    def _prompt(self, object_id: int, decision: Decision) -> Prompt:
        assert decision.prompt is not None
        label = self._labels.get(object_id)
        return replace(decision.prompt, object_id=object_id, label=label, source="redetect")


def is_time(waited: int, patience: int, every: int) -> bool:
    """Whether to look for an object that has been lost for so many positions.

    Looks begin after `patience` positions and are `every` positions apart, or an eighth of the time
    that the object has been away if that is more: what is gone for good costs ever less. It depends
    on nothing but these numbers, so that a resumed run looks when the whole one would have.
    """
    due = patience
    while due < waited:
        due += max(every, due // RARER)
    return due == waited


def watch_session(session: TrackSession, memory: ReferenceMemory | None = None) -> LookAgain | None:
    """The watch that a session's settings ask for, None if they ask for none.

    Args:
        memory: that its prompts came from; opened anew when it is left out.

    Raises:
        ReferenceMemoryError, ModelError: when memory or feature model cannot be used.
    """
    settings = session.settings
    if not settings.looks_again or settings.direction == "backward":
        return None
    if memory is None and settings.auto_prompt:
        memory = open_memory(session)
    extractor = memory.extractor if memory else None
    if extractor is None:
        extractor = load_features(settings.features, settings.device)
    return LookAgain(
        read=session.read,
        prompts=session.prompts,
        eyes=Eyes(extractor, lambda: ImagePrompter(session.predictor)),
        thresholds=thresholds(session.model.name, extractor.name),
        settings=settings,
        memory=memory,
    )


def _all_references(
    memory: ReferenceMemory | None, labels: Mapping[int, str | None]
) -> RunReferences:
    references = RunReferences()
    known = memory.labels() if memory else ()
    for object_id, label in labels.items():
        if memory and label in known:
            references.add_user(object_id, memory, label)
    return references
