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
from tracker.memory.likeness import likeness
from tracker.memory.proposals import PromptKind, propose
from tracker.memory.retrieval import MATCH_DISTANCE, cell_coverage, match_patches, search
from tracker.memory.store import ReferenceMemory
from tracker.models.dinov2 import FeatureExtractor
from tracker.models.sam2 import ImagePrompter
from tracker.types import ImageFeatures, Match, Prompt

REFERENCES = 5  # searched per label
TRIED = 2  # of these, whose matches become proposals
TAKEN = 0.5  # a patch that an object found before covers this much is not searched again
SAME_OBJECT_IOU = 0.5  # two labels on one object: the better score keeps it

_KINDS: dict[str, tuple[PromptKind, ...]] = {
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
