"""Candidate masks: proposals answered by SAM2's decoder, and scored by how well they agree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tracker.masks import BoolMask
from tracker.memory.comparison import Comparison, unit
from tracker.memory.proposals import Proposal
from tracker.memory.retrieval import cell_coverage, inside_cells
from tracker.models.sam2 import ImagePrompter

AS_GOOD = 0.1  # cosine by which a better match outside the mask takes most of a match's worth


@dataclass(frozen=True, eq=False)
class Candidate:
    """One mask that the decoder answered to one proposal.

    Attributes:
        reference_id: the reference that the proposal came from.
        proposal: the prompt.
        mask_hw: bool at the image's resolution.
        predicted_iou: the decoder's own estimate, 0 to 1.
        similarity: cosine of the mean feature in the mask and that of the reference's object.
        purity: the share of the mask that is closer to the object than to its surroundings.
        coverage: how well the object's reference patches are matched in the mask, 1 when none
            has a better match elsewhere. Another object of the same looks takes nothing away.
    """

    reference_id: str
    proposal: Proposal
    mask_hw: BoolMask = field(repr=False)
    predicted_iou: float
    similarity: float
    purity: float
    coverage: float

    @property
    def agreement(self) -> float:
        """How well prompt, mask and features agree, 0 to 1.

        The product of purity and coverage, as in Matcher, keeps masks from spilling over and from
        being only a part. The predicted IoU knows nothing of the object that is looked for, so it
        weighs less than the features: its root is taken.
        """
        features = self.similarity * float(np.sqrt(self.purity * self.coverage))
        return float(np.sqrt(self.predicted_iou)) * features

    def to_json(self) -> dict[str, Any]:
        """Everything but the mask."""
        box = self.proposal.box_xyxy
        return {
            "reference": self.reference_id,
            "kind": self.proposal.kind,
            "points": [[round(float(v), 1) for v in xy] for xy in self.proposal.points_n2],
            "point_labels": [int(v) for v in self.proposal.point_labels_n],
            "box": None if box is None else [round(v, 1) for v in box],
            "mask_area_px": int(np.count_nonzero(self.mask_hw)),
            "predicted_iou": round(self.predicted_iou, 4),
            "similarity": round(self.similarity, 4),
            "purity": round(self.purity, 4),
            "coverage": round(self.coverage, 4),
            "agreement": round(self.agreement, 4),
        }


def answer(
    proposal: Proposal, reference_id: str, compared: Comparison, prompter: ImagePrompter
) -> list[Candidate]:
    """Every mask that the decoder gives for a proposal, measured; the image is set already."""
    points, labels = proposal.points_n2, proposal.point_labels_n
    masks = prompter.predict(
        points if len(points) else None, labels if len(points) else None, proposal.box_xyxy
    )
    return [
        Candidate(reference_id, proposal, m.mask_hw, m.predicted_iou, *measure(m.mask_hw, compared))
        for m in masks
    ]


def measure(mask_hw: BoolMask, compared: Comparison) -> tuple[float, float, float]:
    """Similarity, purity and coverage of a mask of the searched image; all 0 for an empty one."""
    if not mask_hw.any():
        return 0.0, 0.0, 0.0
    share_hw = cell_coverage(mask_hw, compared.query.grid_hw)
    mean_c = np.tensordot(share_hw, compared.query.patches_hwc, axes=2)
    similarity = max(0.0, float(unit(mean_c) @ compared.object_c))
    purity = float(share_hw[compared.closer_hw].sum() / share_hw.sum())
    inside_hw = inside_cells(mask_hw, compared.query.grid_hw)
    best_inside_n = compared.cosines_nhw[:, inside_hw].max(axis=1)
    gaps_n = compared.cosines_nhw.max(axis=(1, 2)) - best_inside_n
    return similarity, purity, float(np.exp(-gaps_n / AS_GOOD).mean())
