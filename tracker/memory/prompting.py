"""From a reference memory to prompts: where in an image the remembered objects are, if at all.

For each label the best references are searched, their matched patches become proposals (points, a
box, both), SAM2's decoder answers each of them, and the mask that agrees best with the features
wins. Below a calibrated score the tool abstains. What is accepted is looked at once more, from
nearer. The whole decision can be written down.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask, iou
from tracker.memory.abstention import abstention_threshold
from tracker.memory.candidates import SAME_OBJECT_IOU, Candidate, answer, sharpened
from tracker.memory.closer_look import look_closer
from tracker.memory.comparison import Comparison, compare
from tracker.memory.proposals import Kind, propose
from tracker.memory.retrieval import (
    MATCH_DISTANCE,
    PatchMatches,
    References,
    free_cells,
    search,
)
from tracker.models.dinov2 import FeatureExtractor
from tracker.models.sam2 import ImagePrompter
from tracker.settings import PromptKind
from tracker.types import ImageFeatures, Match, Prompt

SEARCHED = 5  # references per label
TRIED = 2  # of these, whose matches become proposals

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
        score: how sure it is that the object is there, 0 to 1; see `presence`.
        threshold: the score that was asked for.
        accepted: whether the object is held to be there.
        reason: in words, for a person.
        prompt: for the tracker, None unless accepted.
        mask_hw: of the best candidate, bool at the image's resolution.
        candidates: all that were tried, best first; the best one's mask is fitted to the picture.
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
    memory: References,
    extractor: FeatureExtractor,
    prompter: ImagePrompter,
    *,
    frame: int = 0,
    labels: Collection[str] | None = None,
    prompt_kind: PromptKind = "auto",
    max_per_label: int = 1,
    threshold: float | None = None,
    seed: int = 0,
    features: ImageFeatures | None = None,
    taken: Collection[BoolMask] = (),
    is_of_use: Callable[[Decision], bool] | None = None,
    margin: float = math.inf,
) -> list[Decision]:
    """Find the remembered objects in an image.

    Args:
        image_hwc: RGB uint8.
        memory: a reference memory opened with `extractor`, or anything that offers the same.
        extractor: the feature model.
        prompter: SAM2's image decoder; it is given the image only when something is worth trying.
        frame: the image's frame index, for the prompts.
        labels: only these; None for every label in the memory.
        prompt_kind: what may be tried; `auto` is everything.
        max_per_label: most objects of one label.
        threshold: the score to accept from; None for the calibrated one of the feature model.
            With 0 everything is tried and accepted, to see the scores.
        seed: of the clustering; the same seed gives the same decisions.
        features: of the image, if they are known already.
        taken: masks of objects that are not meant, bool at the image's resolution.
        is_of_use: asked of what is accepted, before it is looked at from nearer; what is of no use
            is spared that look, which takes about as long as all that came before.
        margin: labels whose matched patches alone hold their score by so much below the threshold
            are not tried, and nothing is returned for them: the same is accepted in less time.

    Returns:
        By label: the accepted decisions, best first, or one that was not accepted. Prompts have
        the object ids 1, 2, … in this order. Empty when the memory has no such label.

    Raises:
        ReferenceMemoryError: when the memory is damaged or made with another feature model.
    """
    if threshold is None:
        threshold = abstention_threshold(extractor.name)
    wanted = [label for label in memory.labels() if labels is None or label in labels]
    image = _Image(image_hwc, features or extractor.extract(image_hwc), prompter)
    references = {label: _references(label, memory, image) for label in wanted}
    references = {k: v for k, v in references.items() if _most_presence(v) >= threshold - margin}
    if not references:
        return []
    prompter.set_image(image_hwc)
    scene = _Scene(image, _Rules(frame, _KINDS[prompt_kind], threshold, seed), references, taken)
    decisions = scene.assign(max_per_label)
    useful = [each.accepted and (is_of_use is None or is_of_use(each)) for each in decisions]
    return _numbered(
        [
            scene.look_closer(each, memory, extractor) if of_use else each
            for each, of_use in zip(decisions, useful, strict=True)
        ]
    )


@dataclass(frozen=True)
class _Rules:
    frame: int
    kinds: tuple[Kind, ...]
    threshold: float
    seed: int


@dataclass(frozen=True, eq=False)
class _Image:
    """The searched image, its features, and SAM2's decoder, which has seen it."""

    image_hwc: NDArray[np.uint8]
    features: ImageFeatures
    prompter: ImagePrompter


@dataclass(frozen=True, eq=False)
class _Reference:
    match: Match
    features: ImageFeatures
    mask_hw: BoolMask


def _references(label: str, memory: References, image: _Image) -> list[_Reference]:
    """The references of a label that look most like the image."""
    matches = search(memory, image.features, SEARCHED, [label])[:TRIED]
    return [_Reference(m, *memory.features_and_mask(m.reference_id)) for m in matches]


class _Scene:
    """Gives the objects in an image to the labels: the best score first, each object once."""

    def __init__(
        self,
        image: _Image,
        rules: _Rules,
        labels: dict[str, list[_Reference]],
        taken: Collection[BoolMask],
    ) -> None:
        self._image, self._rules, self._labels = image, rules, labels
        self._accepted: list[Decision] = []
        self._taken = list(taken)

    def assign(self, most: int) -> list[Decision]:
        """Decide on every label, at most `most` objects for each; sorted by label."""
        waiting = {label: self._decide(label) for label in self._labels}
        refused = []
        while waiting:
            label = max(waiting, key=lambda name: waiting[name].score)
            decision = waiting.pop(label)
            mine = sum(d.label == label for d in self._accepted)
            if not decision.accepted:
                refused += [] if mine else [decision]
                continue
            self._accepted.append(decision)
            self._taken.append(decision.mask_hw)
            again = [name for name, d in waiting.items() if self._is_taken(d.mask_hw)]
            again += [label] if mine + 1 < most else []
            waiting |= {name: self._decide(name) for name in again}
        return sorted(self._accepted + refused, key=lambda d: d.label)

    def _decide(self, label: str) -> Decision:
        """Try what the references propose where no object was found yet; the best decides."""
        tried = [entry for reference in self._labels[label] for entry in self._try(reference)]
        tried.sort(key=lambda entry: -entry[1].agreement)
        untaken = [entry for entry in tried if not self._is_taken(entry[1].mask_hw)]
        compared, chosen = (untaken or tried)[0]
        best = sharpened(chosen, compared, self._image.prompter)
        match = next(
            r.match for r in self._labels[label] if r.match.reference_id == best.reference_id
        )
        score, threshold = presence(best, match), self._rules.threshold
        accepted = bool(untaken) and score >= threshold
        if not untaken:
            reason = "what looks like it is an object that was found already"
        else:
            reason = f"score {score:.3f} {'reaches' if accepted else 'is below'} {threshold:g}"
        return Decision(
            frame=self._rules.frame,
            label=label,
            match=match,
            score=score,
            threshold=threshold,
            accepted=accepted,
            reason=reason,
            prompt=_prompt(best, match, score, self._rules.frame) if accepted else None,
            mask_hw=best.mask_hw,
            candidates=tuple(best if each is chosen else each for _, each in tried),
            patches=_patch_numbers(compared.matches),
        )

    def _try(self, reference: _Reference) -> list[tuple[Comparison, Candidate]]:
        """What the decoder makes of everything that a reference proposes, in masks of its own."""
        image, rules = self._image, self._rules
        free_hw = free_cells(self._taken, image.features.grid_hw)
        compared = compare(reference.features, reference.mask_hw, image.features, free_hw)
        return [
            (compared, candidate)
            for proposal in propose(compared, image.image_hwc.shape[:2], rules.kinds, rules.seed)
            for candidate in answer(
                *(proposal, reference.match.reference_id, compared, image.prompter), fitted=False
            )
        ]

    def look_closer(
        self, decision: Decision, memory: References, extractor: FeatureExtractor
    ) -> Decision:
        """The decision with what is seen from nearer, where that is better.

        Its score stays: that was calibrated on whole images.
        """
        if not decision.mask_hw.any():
            return decision
        found = next(c for c in decision.candidates if c.mask_hw is decision.mask_hw)
        others = [mask_hw for mask_hw in self._taken if mask_hw is not found.mask_hw]
        nearer = look_closer(
            self._image.image_hwc,
            found,
            memory.picture_and_mask(found.reference_id),
            others,
            extractor,
            self._image.prompter,
            self._rules.kinds,
            self._rules.seed,
        )
        if nearer is None or _is_one_of(others, nearer.mask_hw):
            return decision
        return replace(
            decision,
            prompt=_prompt(nearer, decision.match, decision.score, self._rules.frame),
            mask_hw=nearer.mask_hw,
            candidates=(nearer, *decision.candidates),
        )

    def _is_taken(self, mask_hw: BoolMask) -> bool:
        return _is_one_of(self._taken, mask_hw)


def presence(best: Candidate, match: Match) -> float:
    """How sure it is that the object is there, 0 to 1.

    The geometric mean of two things that fail differently: how much the best mask looks like the
    object as a whole, and how well the object's patches are matched in the image one by one. The
    agreement, which chooses among masks, says little here, for a mask of something else may fit
    its prompt as well: only where there is none at all is the object not there. The surroundings
    have no say, for they stay when the object leaves.
    """
    agrees = best.agreement > 0
    return float(np.sqrt(best.measures.similarity * match.foreground)) if agrees else 0.0


def _most_presence(references: list[_Reference]) -> float:
    """What `presence` is at most, whatever mask the decoder gives."""
    return max(float(np.sqrt(reference.match.foreground)) for reference in references)


def _is_one_of(objects: Collection[BoolMask], mask_hw: BoolMask) -> bool:
    return any(iou(mask_hw, object_hw) > SAME_OBJECT_IOU for object_hw in objects)


def _patch_numbers(matches: PatchMatches) -> dict[str, int]:
    matched = matches.inside_n & (matches.distances_n < MATCH_DISTANCE)
    counts = {"object": matches.inside_n, "matched": matched, "mutual": matched & matches.mutual_n}
    return {name: int(np.count_nonzero(which)) for name, which in counts.items()}


def _prompt(best: Candidate, match: Match, score: float, frame: int) -> Prompt:
    return Prompt(
        frame=frame,
        object_id=1,  # numbered when all labels are decided
        points_n2=best.proposal.points_n2,
        point_labels_n=best.proposal.point_labels_n,
        box_xyxy=best.proposal.box_xyxy,
        view_xyxy=best.proposal.view_xyxy,
        source="memory",
        label=match.label,
        score=score,
        reference_id=match.reference_id,
    )


def _numbered(decisions: list[Decision]) -> list[Decision]:
    """Give the prompts of accepted decisions the object ids 1, 2, …"""
    numbered, object_id = [], 1
    for decision in decisions:
        if decision.prompt is not None:
            prompt = replace(decision.prompt, object_id=object_id)
            decision, object_id = replace(decision, prompt=prompt), object_id + 1
        numbered.append(decision)
    return numbered
