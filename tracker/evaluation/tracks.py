"""The tracks of a sequence: every identity in the truth and in the prediction, and their lengths.

IDF1 and HOTA both judge identities over the whole sequence, so they need ids as row and column
numbers that are the same on every frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.evaluation.overlaps import FrameOverlap


@dataclass(frozen=True, eq=False)
class Tracks:
    """All tracks of a sequence.

    Attributes:
        truth_lengths_t, predicted_lengths_p: on how many frames each track has a mask.
        frames: per frame, the tracks of its masks and their overlap.
    """

    truth_lengths_t: NDArray[np.int64]
    predicted_lengths_p: NDArray[np.int64]
    frames: tuple[TrackFrame, ...]


@dataclass(frozen=True, eq=False)
class TrackFrame:
    """One frame: `truth_n` and `predicted_m` number the tracks of the rows and columns of `iou`."""

    truth_n: NDArray[np.int64]
    predicted_m: NDArray[np.int64]
    iou_nm: NDArray[np.float64]


def tracks(frames: Sequence[FrameOverlap]) -> Tracks:
    """Number the tracks of a sequence, ids ascending."""
    empty = [np.zeros(0, np.int64)]
    truth = np.concatenate([frame.truth_ids_n for frame in frames] or empty)
    predicted = np.concatenate([frame.predicted_ids_m for frame in frames] or empty)
    truth_ids, truth_lengths = np.unique(truth, return_counts=True)
    predicted_ids, predicted_lengths = np.unique(predicted, return_counts=True)
    numbered = tuple(
        TrackFrame(
            np.searchsorted(truth_ids, frame.truth_ids_n),
            np.searchsorted(predicted_ids, frame.predicted_ids_m),
            frame.iou_nm,
        )
        for frame in frames
    )
    return Tracks(truth_lengths, predicted_lengths, numbered)
