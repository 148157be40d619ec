"""IDF1: how much of the tracks is right when every true track may have one predicted track.

Definition: Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera
Tracking", ECCV 2016 workshops, section 2.3: tracks are paired so that as many masks as possible
agree; here two masks agree when their IoU is at least 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from tracker.evaluation.overlaps import MATCH_IOU
from tracker.evaluation.tracks import Tracks


@dataclass(frozen=True)
class Identities:
    """Masks with the right identity, made up, and missed; they add up over sequences."""

    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0

    def __add__(self, other: Identities) -> Identities:
        return Identities(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
        )

    @property
    def idf1(self) -> float:
        """The harmonic mean of precision and recall, 0 to 1."""
        wrong = self.false_positives + self.false_negatives
        return 2 * self.true_positives / max(2 * self.true_positives + wrong, 1)


def identities(tracks: Tracks) -> Identities:
    """Pair the tracks of one sequence and count."""
    # A pair with no agreement costs as much as leaving both alone, so the pairing that misses
    # least is the one that agrees most.
    agreements_tp = np.zeros((len(tracks.truth_lengths_t), len(tracks.predicted_lengths_p)), int)
    for frame in tracks.frames:
        agreements_tp[np.ix_(frame.truth_n, frame.predicted_m)] += frame.iou_nm >= MATCH_IOU
    rows, columns = linear_sum_assignment(agreements_tp, maximize=True)
    right = int(agreements_tp[rows, columns].sum())
    predicted, truths = tracks.predicted_lengths_p.sum(), tracks.truth_lengths_t.sum()
    return Identities(right, int(predicted) - right, int(truths) - right)
