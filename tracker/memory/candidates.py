"""Candidate masks: proposals answered by SAM2's decoder, and scored by how well they agree."""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass, field
from typing import Any

import numpy as np

from tracker.masks import BoolMask
from tracker.memory.comparison import Comparison, unit
from tracker.memory.proposals import Proposal
from tracker.memory.retrieval import cell_coverage, inside_cells
from tracker.models.sam2 import ImagePrompter
from tracker.views import in_view

SAME_OBJECT_IOU = 0.5  # masks with more in common are of one object
AS_GOOD = 0.1  # cosine by which a better match outside the mask takes most of a match's worth


@dataclass(frozen=True)
class Measures:
    """How a mask fits what a reference says about the image, each 0 to 1.

    Attributes:
        similarity: cosine of the mean feature in the mask and that of the reference's object.
        purity: the share of the mask that is closer to the object than to its surroundings.
        coverage: how well the object's reference patches are matched in the mask, 1 when none
            has a better match elsewhere. Another object of the same looks takes nothing away.
        completeness: of the parts that stand out and that the mask touches, the share inside it.
    """

    similarity: float
    purity: float
    coverage: float
    completeness: float


@dataclass(frozen=True, eq=False)
class Candidate:
    """One mask that the decoder answered to one proposal.

    Attributes:
        reference_id: the reference that the proposal came from.
        proposal: the prompt.
        mask_hw: bool at the image's resolution.
        predicted_iou: the decoder's own estimate, 0 to 1.
        measures: how the mask fits the features.
        rank: its place among the decoder's answers to the proposal, from 0.
    """

    reference_id: str
    proposal: Proposal
    mask_hw: BoolMask = field(repr=False)
    predicted_iou: float
    measures: Measures
    rank: int = 0

    @property
    def agreement(self) -> float:
        """How well prompt, mask and features agree, 0 to 1: the geometric mean of the five.

        Purity, coverage and completeness hold one another in balance, as purity and coverage do
        in Matcher: a mask that spills over, or is only a part of the object, loses.
        """
        five = (self.predicted_iou, *astuple(self.measures))
        return float(np.prod(five)) ** (1 / len(five))

    def to_json(self) -> dict[str, Any]:
        """Everything but the mask."""
        box = self.proposal.box_xyxy
        return {
            "reference": self.reference_id,
            "kind": self.proposal.kind,
            "points": [[round(float(v), 1) for v in xy] for xy in self.proposal.points_n2],
            "point_labels": [int(v) for v in self.proposal.point_labels_n],
            "box": None if box is None else [round(v, 1) for v in box],
            "view": self.proposal.view_xyxy,
            "mask_area_px": int(np.count_nonzero(self.mask_hw)),
            "predicted_iou": round(self.predicted_iou, 4),
            **{name: round(value, 4) for name, value in asdict(self.measures).items()},
            "agreement": round(self.agreement, 4),
        }


def answer(
    proposal: Proposal,
    reference_id: str,
    compared: Comparison,
    prompter: ImagePrompter,
    *,
    fitted: bool = True,
) -> list[Candidate]:
    """Every mask that the decoder gives for a proposal, the decoder's best first, measured.

    The image is set already, in the proposal's view; what was compared is that view. `fitted` is
    that of `ImagePrompter.predict`.
    """
    points, labels = proposal.points_n2, proposal.point_labels_n
    masks = prompter.predict(
        points if len(points) else None,
        labels if len(points) else None,
        proposal.box_xyxy,
        tight_box=False,  # it encloses what was matched of the object
        fitted=fitted,
    )
    return [
        Candidate(
            reference_id,
            proposal,
            mask_hw=m.mask_hw,
            predicted_iou=m.predicted_iou,
            measures=measure(in_view(m.mask_hw, proposal.view_xyxy), compared),
            rank=rank,
        )
        for rank, m in enumerate(masks)
    ]


def sharpened(candidate: Candidate, compared: Comparison, prompter: ImagePrompter) -> Candidate:
    """The candidate, its mask fitted to the picture where `prompter` does so, measured anew."""
    if not prompter.fits_edges:
        return candidate
    again = answer(candidate.proposal, candidate.reference_id, compared, prompter)
    return again[candidate.rank]


def measure(mask_hw: BoolMask, compared: Comparison) -> Measures:
    """Hold a mask of the searched image against the reference."""
    if not mask_hw.any():
        return Measures(0.0, 0.0, 0.0, 0.0)
    grid_hw = compared.query.grid_hw
    share_hw, inside_hw = cell_coverage(mask_hw, grid_hw), inside_cells(mask_hw, grid_hw)
    mean_c = np.tensordot(share_hw, compared.query.patches_hwc, axes=2)
    best_inside_n = compared.cosines_nhw[:, inside_hw].max(axis=1)
    gaps_n = compared.cosines_nhw.max(axis=(1, 2)) - best_inside_n
    touched = np.isin(compared.parts_hw, compared.parts_hw[inside_hw]) & (compared.parts_hw > 0)
    contrast_hw = np.where(touched, np.maximum(compared.contrast_hw, 0), 0)
    standing_out = max(float(contrast_hw.sum()), 1e-6)
    return Measures(
        similarity=max(0.0, float(unit(mean_c) @ compared.object_c)),
        purity=float(share_hw[compared.closer_hw].sum() / share_hw.sum()),
        coverage=float(np.exp(-gaps_n / AS_GOOD).mean()),
        completeness=min(1.0, float((share_hw * contrast_hw).sum()) / standing_out),
    )
