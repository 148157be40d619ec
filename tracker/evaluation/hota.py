"""HOTA: detection and association, weighed equally, over all demands on localisation.

Definition: Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking",
IJCV 2021, section 5. The matching on a frame is the one of its section 5.4: it prefers pairs of
tracks that go together over the whole sequence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from tracker.evaluation.tracks import Tracks

ALPHAS_A: NDArray[np.float64] = np.arange(1, 20) / 20  # 0.05 to 0.95: least IoU of a match
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Hota:
    """Counts for each of the 19 demands; they add up over sequences.

    Attributes:
        matches_a, misses_a: matched pairs, and masks of truth and prediction that have no match.
        association_sum_a: over the matches, the share of both tracks that the pair has in common.
    """

    matches_a: NDArray[np.float64]
    misses_a: NDArray[np.float64]
    association_sum_a: NDArray[np.float64]

    def __add__(self, other: Hota) -> Hota:
        return Hota(
            self.matches_a + other.matches_a,
            self.misses_a + other.misses_a,
            self.association_sum_a + other.association_sum_a,
        )

    @property
    def hota(self) -> float:
        """The mean over the demands of the root of detection times association, 0 to 1."""
        return float(np.sqrt(self._detection_a * self._association_a).mean())

    @property
    def detection(self) -> float:
        """DetA: matches among all masks, 0 to 1."""
        return float(self._detection_a.mean())

    @property
    def association(self) -> float:
        """AssA: how far matched tracks agree, 0 to 1."""
        return float(self._association_a.mean())

    @property
    def _detection_a(self) -> NDArray[np.float64]:
        return self.matches_a / np.maximum(self.matches_a + self.misses_a, 1)

    @property
    def _association_a(self) -> NDArray[np.float64]:
        return self.association_sum_a / np.maximum(self.matches_a, 1)


def hota(tracks: Tracks) -> Hota:
    """Match the masks of one sequence and count."""
    alignment_tp = _alignment(tracks)
    pairs_atp = np.zeros((len(ALPHAS_A), *alignment_tp.shape))
    for frame in tracks.frames:
        preference_nm = alignment_tp[np.ix_(frame.truth_n, frame.predicted_m)] * frame.iou_nm
        rows, columns = linear_sum_assignment(preference_nm, maximize=True)
        close_ak = frame.iou_nm[rows, columns] >= ALPHAS_A[:, None] - _ROUNDING
        pairs_atp[:, frame.truth_n[rows], frame.predicted_m[columns]] += close_ak
    lengths_tp = tracks.truth_lengths_t[:, None] + tracks.predicted_lengths_p[None, :]
    masks = tracks.truth_lengths_t.sum() + tracks.predicted_lengths_p.sum()
    matches_a = pairs_atp.sum(axis=(1, 2))
    return Hota(
        matches_a=matches_a,
        misses_a=masks - 2 * matches_a,
        association_sum_a=(pairs_atp**2 / np.maximum(lengths_tp - pairs_atp, 1)).sum(axis=(1, 2)),
    )


def _alignment(tracks: Tracks) -> NDArray[np.float64]:
    """How well every true track goes with every predicted one over the sequence, 0 to 1."""
    shared_tp = np.zeros((len(tracks.truth_lengths_t), len(tracks.predicted_lengths_p)))
    for frame in tracks.frames:
        rival_nm = frame.iou_nm.sum(axis=0)[None, :] + frame.iou_nm.sum(axis=1)[:, None]
        share_nm = frame.iou_nm / np.maximum(rival_nm - frame.iou_nm, _ROUNDING)
        shared_tp[np.ix_(frame.truth_n, frame.predicted_m)] += share_nm
    lengths_tp = tracks.truth_lengths_t[:, None] + tracks.predicted_lengths_p[None, :]
    return shared_tp / np.maximum(lengths_tp - shared_tp, _ROUNDING)
