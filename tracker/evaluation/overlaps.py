"""How the masks of a frame overlap: what every tracking measure is counted from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MATCH_IOU = 0.5
"""Masks in an index mask do not overlap, so above this a mask has at most one partner."""

IGNORED_SHARE = 0.5
"""An unmatched prediction is passed over when more of it than this lies on pixels not judged."""


@dataclass(frozen=True, eq=False)
class FrameOverlap:
    """The masks of one frame.

    Attributes:
        truth_ids_n, predicted_ids_m: int64, ascending.
        iou_nm: float64, intersection over union of every truth with every prediction.
    """

    truth_ids_n: NDArray[np.int64]
    predicted_ids_m: NDArray[np.int64]
    iou_nm: NDArray[np.float64]


def frame_overlap(
    prediction_hw: NDArray, truth_hw: NDArray, void: int | None = None
) -> FrameOverlap:
    """Compare two index masks (0 background) of one size.

    Args:
        void: a value in the truth for pixels that are not judged. Predictions that match nothing
            and lie mostly there are left out, as the ignore regions of MOTS demand.
    """
    truth_ids, predicted_ids = np.unique(truth_hw), np.unique(prediction_hw)
    pixels = _pixels_in_common(prediction_hw, truth_hw, predicted_ids, truth_ids)
    is_truth = (truth_ids != 0) & (truth_ids != (-1 if void is None else void))
    is_predicted = predicted_ids != 0
    areas_n, areas_m = pixels.sum(axis=1)[is_truth], pixels.sum(axis=0)[is_predicted]
    common_nm = pixels[np.ix_(is_truth, is_predicted)]
    iou_nm = common_nm / (areas_n[:, None] + areas_m[None, :] - common_nm)
    on_void_m = pixels[truth_ids == void][:, is_predicted].sum(axis=0) if void is not None else 0
    unmatched_m = (iou_nm <= MATCH_IOU).all(axis=0)
    kept_m = ~(unmatched_m & (on_void_m > IGNORED_SHARE * areas_m))
    return FrameOverlap(
        truth_ids[is_truth].astype(np.int64),
        predicted_ids[is_predicted][kept_m].astype(np.int64),
        iou_nm[:, kept_m],
    )


def _pixels_in_common(
    prediction_hw: NDArray, truth_hw: NDArray, predicted_ids: NDArray, truth_ids: NDArray
) -> NDArray[np.int64]:
    """How many pixels every value of the truth (rows) shares with each of the prediction."""
    shape = len(truth_ids), len(predicted_ids)
    cells_hw = _places(truth_hw, truth_ids) * shape[1] + _places(prediction_hw, predicted_ids)
    return np.bincount(cells_hw.ravel(), minlength=shape[0] * shape[1]).reshape(shape)


def _places(index_hw: NDArray, ids: NDArray) -> NDArray[np.int64]:
    """The position of every pixel's value in `ids`."""
    table = np.zeros(int(ids[-1]) + 1, np.int64)
    table[ids] = np.arange(len(ids))
    return table[index_hw]
