"""Candidate masks: proposals answered by SAM2's decoder, and scored by how well they agree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tracker.masks import BoolMask
from tracker.memory.likeness import Likeness
from tracker.memory.proposals import Proposal
from tracker.memory.retrieval import PatchMatches, cell_coverage
from tracker.models.sam2 import ImagePrompter


@dataclass(frozen=True, eq=False)
class Candidate:
    """One mask that the decoder answered to one proposal.

    Attributes:
        reference_id: the reference that the proposal came from.
        proposal: the prompt.
        mask_hw: bool at the image's resolution.
        predicted_iou: the decoder's own estimate, 0 to 1.
        purity: the share of the mask that looks more like the object than its surroundings.
        coverage: the share of the object's reference patches whose match lies in the mask.
    """

    reference_id: str
    proposal: Proposal
    mask_hw: BoolMask = field(repr=False)
    predicted_iou: float
    purity: float
    coverage: float

    @property
    def agreement(self) -> float:
        """How well prompt, mask and features agree, 0 to 1.

        The product of purity and coverage, as in Matcher, keeps masks from spilling over and from
        being only a part; its root weighs the two together as much as the predicted IoU.
        """
        return self.predicted_iou * float(np.sqrt(self.purity * self.coverage))

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
            "purity": round(self.purity, 4),
            "coverage": round(self.coverage, 4),
            "agreement": round(self.agreement, 4),
        }


def answer(
    proposal: Proposal,
    reference_id: str,
    maps: Likeness,
    matches: PatchMatches,
    prompter: ImagePrompter,
) -> list[Candidate]:
    """Every mask that the decoder gives for a proposal, measured; the image is set already."""
    points, labels = proposal.points_n2, proposal.point_labels_n
    masks = prompter.predict(
        points if len(points) else None, labels if len(points) else None, proposal.box_xyxy
    )
    found = []
    for mask in masks:
        purity, coverage = measure(mask.mask_hw, maps, matches)
        found.append(
            Candidate(reference_id, proposal, mask.mask_hw, mask.predicted_iou, purity, coverage)
        )
    return found


def measure(mask_hw: BoolMask, maps: Likeness, matches: PatchMatches) -> tuple[float, float]:
    """Purity and coverage of a mask of the searched image, each 0 to 1; 0, 0 for an empty one."""
    share_hw = cell_coverage(mask_hw, matches.query_grid_hw)
    if not share_hw.any():
        return 0.0, 0.0
    purity = float(share_hw[maps.contrast_hw > 0].sum() / share_hw.sum())
    objects = matches.query_cells_n2[matches.inside_n]
    coverage = float(share_hw[tuple(objects.T)].mean())
    return purity, coverage
