"""From a reference memory to prompts: where in an image the remembered objects are, if at all.

For each label the best references are searched, their matched patches become proposals (points, a
box, both), SAM2's decoder answers each of them, and the mask that agrees best with the features
wins. Below a calibrated score the tool abstains. The whole decision can be written down.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask, iou
from tracker.memory.abstention import abstention_threshold
from tracker.memory.candidates import Candidate, answer
from tracker.memory.likeness import Likeness, likeness
from tracker.memory.proposals import Kind, propose
from tracker.memory.retrieval import (
    MATCH_DISTANCE,
    PatchMatches,
    cell_coverage,
    match_patches,
    search,
)
from tracker.memory.store import ReferenceMemory
from tracker.models.dinov2 import FeatureExtractor
from tracker.models.sam2 import ImagePrompter
from tracker.settings import PromptKind
from tracker.types import ImageFeatures, Match, Prompt

REFERENCES = 5  # searched per label
TRIED = 2  # of these, whose matches become proposals
TAKEN = 0.5  # a patch that an object found before covers this much is not searched again
SAME_OBJECT_IOU = 0.5  # two labels on one object: the better score keeps it

_KINDS: dict[str, tuple[Kind, ...]] = {
    "auto": ("points", "box", "both"),
    "points": ("points",),
    "box": ("box",),
    "both": ("both",),
}


@dataclass(frozen=True, eq=False)
class Decision:
    """What was decided for one label on one image, and why.

    Attributes:
        frame: the frame's index, as given.
        label: the object's name.
        reference_id, match: the reference that the best candidate came from, and how it matches.
        score: of the best candidate, 0 to 1.
        threshold: the score that was asked for.
        accepted: whether the object is held to be there.
        reason: in words, for a person.
        prompt: for the tracker, None unless accepted.
        mask_hw: of the best candidate, bool at the image's resolution.
        candidates: all that were tried, best first.
        patches: of the reference's object: how many there are, how many were matched under the
            distance threshold, and how many of those mutually.
    """

    frame: int
    label: str
    match: Match
    score: float
    threshold: float
    accepted: bool
    reason: str
    prompt: Prompt | None
    mask_hw: BoolMask = field(repr=False)
    candidates: tuple[Candidate, ...] = field(repr=False)
    patches: dict[str, int]

    @property
    def reference_id(self) -> str:
        return self.match.reference_id

    def to_json(self) -> dict[str, Any]:
        """Everything but the masks, as a JSON object."""
        match = {k: v if isinstance(v, str) else round(v, 4) for k, v in asdict(self.match).items()}
        return {
            "frame": self.frame,
            "label": self.label,
            "accepted": self.accepted,
            "reason": self.reason,
            "score": round(self.score, 4),
            "threshold": self.threshold,
            "match": match,
            "patches": self.patches,
            "prompt": None if self.prompt is None else self.prompt.to_json(),
            "candidates": [candidate.to_json() for candidate in self.candidates],
        }


def find_prompts(
    image_hwc: NDArray[np.uint8],
    memory: ReferenceMemory,
    extractor: FeatureExtractor,
    prompter: ImagePrompter,
    *,
    frame: int = 0,
    labels: Collection[str] | None = None,
    prompt_kind: PromptKind = "auto",
    max_per_label: int = 1,
    threshold: float | None = None,
    seed: int = 0,
) -> list[Decision]:
    """Find the remembered objects in an image.

    Args:
        image_hwc: RGB uint8.
        memory: opened with `extractor`.
        extractor: the feature model.
        prompter: SAM2's image decoder; it is given the image only when something is worth trying.
        frame: the image's frame index, for the prompts.
        labels: only these; None for every label in the memory.
        prompt_kind: what may be tried; `auto` is everything.
        max_per_label: most objects of one label.
        threshold: the score to accept from; None for the calibrated one of the feature model.
            With 0 everything is tried and accepted, to see the scores.
        seed: of the clustering; the same seed gives the same decisions.

    Returns:
        By label: the accepted decisions, best first, or one that was not accepted. Prompts have
        the object ids 1, 2, … in this order. Empty when the memory has no such label.

    Raises:
        ReferenceMemoryError: when the memory is damaged or made with another feature model.
    """
    if threshold is None:
        threshold = abstention_threshold(extractor.name)
    wanted = [label for label in memory.labels() if labels is None or label in labels]
    image = _Image(image_hwc, extractor.extract(image_hwc), prompter)
    rules = _Rules(frame, _KINDS[prompt_kind], threshold, seed)
    found = [d for label in wanted for d in _find(label, memory, image, rules, max_per_label)]
    return _numbered(_one_label_per_object(found))


@dataclass(frozen=True)
class _Rules:
    frame: int
    kinds: tuple[Kind, ...]
    threshold: float
    seed: int


class _Image:
    """The searched image. SAM2 encodes it when the first proposal is made, or never."""

    def __init__(
        self, image_hwc: NDArray[np.uint8], features: ImageFeatures, prompter: ImagePrompter
    ) -> None:
        self.size_hw = image_hwc.shape[:2]
        self.features = features
        self._image_hwc, self._prompter = image_hwc, prompter
        self._encoded = False

    @property
    def prompter(self) -> ImagePrompter:
        if not self._encoded:
            self._prompter.set_image(self._image_hwc)
            self._encoded = True
        return self._prompter


def _find(
    label: str, memory: ReferenceMemory, image: _Image, rules: _Rules, most: int
) -> list[Decision]:
    """Up to `most` accepted decisions for a label, or one that was not accepted."""
    matches = search(memory, image.features, REFERENCES, [label])[:TRIED]
    free_hw = np.ones(image.features.grid_hw, np.bool_)
    accepted: list[Decision] = []
    while matches and free_hw.any() and len(accepted) < most:
        trials = [_Trial(match, memory, image.features, free_hw) for match in matches]
        decision = _decide(trials, image, rules)
        if decision.mask_hw is None or not decision.accepted:
            return accepted or [decision]
        accepted.append(decision)
        free_hw &= cell_coverage(decision.mask_hw, free_hw.shape) < TAKEN
    return accepted


class _Trial:
    """One reference held against the image, but for the patches that are taken."""

    def __init__(
        self, match: Match, memory: ReferenceMemory, query: ImageFeatures, free_hw: BoolMask
    ) -> None:
        features, mask_hw = memory.features_and_mask(match.reference_id)
        self.match = match
        self.maps: Likeness = likeness(features, mask_hw, query, free_hw)
        self.matches: PatchMatches = match_patches(features, mask_hw, query, free_hw)

    @property
    def patches(self) -> dict[str, int]:
        """Numbers of the object's patches."""
        inside = self.matches.inside_n
        matched = inside & (self.matches.distances_n < MATCH_DISTANCE)
        mutual = matched & self.matches.mutual_n
        counts = {"object": inside, "matched": matched, "mutual": mutual}
        return {name: int(np.count_nonzero(which)) for name, which in counts.items()}


def _decide(trials: list[_Trial], image: _Image, rules: _Rules) -> Decision:
    """Try what the references propose; the best candidate decides."""
    answers = [
        (trial, candidate)
        for trial in trials
        for proposal in propose(trial.maps, trial.matches, image.size_hw, rules.kinds, rules.seed)
        for candidate in answer(
            proposal, trial.match.reference_id, trial.maps, trial.matches, image.prompter
        )
    ]
    answers.sort(key=lambda pair: -pair[1].agreement)
    trial, best = answers[0]
    accepted = best.agreement >= rules.threshold
    return Decision(
        frame=rules.frame,
        label=trial.match.label,
        match=trial.match,
        score=best.agreement,
        threshold=rules.threshold,
        accepted=accepted,
        reason="",
        prompt=_prompt(best, trial.match, rules.frame) if accepted else None,
        mask_hw=best.mask_hw,
        candidates=tuple(candidate for _, candidate in answers),
        patches=trial.patches,
    )


def _prompt(best: Candidate, match: Match, frame: int) -> Prompt:
    return Prompt(
        frame=frame,
        object_id=1,  # numbered when all labels are decided
        points_n2=best.proposal.points_n2,
        point_labels_n=best.proposal.point_labels_n,
        box_xyxy=best.proposal.box_xyxy,
        source="memory",
        label=match.label,
        score=best.agreement,
        reference_id=match.reference_id,
    )


def _one_label_per_object(decisions: list[Decision]) -> list[Decision]:
    """Of two labels whose masks are one object, the one with the better score keeps it."""
    kept: list[Decision] = []
    for decision in sorted(decisions, key=lambda d: -d.score):
        rivals = (k for k in kept if k.accepted and k.label != decision.label)
        rival = next((k for k in rivals if _same_object(k, decision)), None)
        if decision.accepted and rival is not None:
            reason = f"the same object as {rival.label!r}, whose score is better"
            decision = replace(decision, accepted=False, prompt=None, reason=reason)
        kept.append(decision)
    return kept


def _same_object(a: Decision, b: Decision) -> bool:
    if a.mask_hw is None or b.mask_hw is None:
        return False
    return iou(a.mask_hw, b.mask_hw) > SAME_OBJECT_IOU


def _numbered(decisions: list[Decision]) -> list[Decision]:
    """Give the prompts of accepted decisions the object ids 1, 2, …"""
    numbered, object_id = [], 1
    for decision in decisions:
        if decision.prompt is not None:
            prompt = replace(decision.prompt, object_id=object_id)
            decision, object_id = replace(decision, prompt=prompt), object_id + 1
        numbered.append(decision)
    return numbered
