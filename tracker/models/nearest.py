"""Nearest neighbours between two small sets of feature vectors, in torch.

Patch sets have at most a few thousand vectors, so one matrix product beats every index.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Features = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest target of every query.

    Attributes:
        distances_n: float32, Euclidean, 0 to 2 for L2-normalised features.
        indices_n: int64, row of the nearest target; the first one among equals.
        mutual_n: bool, whether the query is also the nearest query of that target.
    """

    distances_n: NDArray[np.float32]
    indices_n: NDArray[np.int64]
    mutual_n: NDArray[np.bool_]


def nearest(queries_nc: Features, targets_mc: Features) -> Neighbours:
    """For every query the nearest target, both L2-normalised float32.

    On the unit sphere the nearest target is the one with the largest cosine, so one matrix
    product finds it. The distance is then taken from the difference of the pair itself:
    `sqrt(2 - 2 cos)` would lose all digits for near-identical features.

    Raises:
        ValueError: when there is no target, or the widths differ.
    """
    if queries_nc.ndim != 2 or targets_mc.ndim != 2 or queries_nc.shape[1] != targets_mc.shape[1]:
        raise ValueError(
            f"features of shape (n, c) and (m, c) expected, not {queries_nc.shape} "
            f"and {targets_mc.shape}"
        )
    if len(targets_mc) == 0:
        raise ValueError("no target features to search")
    if len(queries_nc) == 0:
        return Neighbours(np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_))
    with torch.inference_mode():
        queries = torch.from_numpy(np.ascontiguousarray(queries_nc, dtype=np.float32))
        targets = torch.from_numpy(np.ascontiguousarray(targets_mc, dtype=np.float32))
        cosines_nm = queries @ targets.T
        indices = cosines_nm.argmax(dim=1)
        distances = torch.linalg.vector_norm(queries - targets[indices], dim=1)
        returns = cosines_nm.argmax(dim=0)[indices]
        mutual = returns == torch.arange(len(queries))
    return Neighbours(distances.numpy(), indices.numpy(), mutual.numpy())
