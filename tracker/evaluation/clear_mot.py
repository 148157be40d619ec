"""MOTSA, sMOTSA and MOTSP: detections found, missed, made up, and given another identity.

Definition: Voigtlaender et al., "MOTS: Multi-Object Tracking and Segmentation", CVPR 2019,
section 4. A prediction matches a truth when their IoU is above 0.5.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tracker.evaluation.overlaps import MATCH_IOU, FrameOverlap


@dataclass(frozen=True)
class ClearMot:
    """Counts over frames; they add up over sequences.

    Attributes:
        true_positives, false_positives, false_negatives: masks.
        id_switches: matches of a true object whose match before had another identity.
        iou_sum: of the matches.
    """

    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0
    id_switches: int = 0
    iou_sum: float = 0.0

    def __add__(self, other: ClearMot) -> ClearMot:
        return ClearMot(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
            self.id_switches + other.id_switches,
            self.iou_sum + other.iou_sum,
        )

    @property
    def motsa(self) -> float:
        """(TP - FP - IDS) / truths; at most 1, and below 0 when there are many errors."""
        return self._of_truths(self.true_positives)

    @property
    def smotsa(self) -> float:
        """As MOTSA, but a match counts as much as its IoU."""
        return self._of_truths(self.iou_sum)

    @property
    def motsp(self) -> float:
        """The mean IoU of the matches; 0 when there is none."""
        return self.iou_sum / max(self.true_positives, 1)

    def _of_truths(self, found: float) -> float:
        truths = self.true_positives + self.false_negatives
        return (found - self.false_positives - self.id_switches) / max(truths, 1)


def clear_mot(frames: Iterable[FrameOverlap]) -> ClearMot:
    """Count over the frames of one sequence, in order."""
    last_match: dict[int, int] = {}
    total = ClearMot()
    for frame in frames:
        rows, columns = np.nonzero(frame.iou_nm > MATCH_IOU)
        switches = 0
        for row, column in zip(rows, columns, strict=True):
            truth, predicted = int(frame.truth_ids_n[row]), int(frame.predicted_ids_m[column])
            switches += last_match.get(truth, predicted) != predicted
            last_match[truth] = predicted
        total += ClearMot(
            true_positives=len(rows),
            false_positives=len(frame.predicted_ids_m) - len(rows),
            false_negatives=len(frame.truth_ids_n) - len(rows),
            id_switches=switches,
            iou_sum=float(frame.iou_nm[rows, columns].sum()),
        )
    return total
