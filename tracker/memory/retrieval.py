"""Which references look like this image: global cosine first, then patches matched one by one.

The sparse similarity follows Memory-SAM's formulas. For every reference patch inside the mask the
nearest patch of the image is taken (Euclidean distance of L2-normalised features); it counts as
matched below the distance threshold, and

    similarity = match_ratio x (1 - mean distance of the matched patches), clipped at 0.

The same is done for the reference patches outside the mask, and the two are combined as
0.7 x foreground + 0.3 x background. `sklearn.neighbors.NearestNeighbors` with one neighbour is
the reference implementation of the search; `tracker.models.nearest` gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask
from tracker.memory.store import GlobalFeatures
from tracker.models.nearest import nearest
from tracker.types import ImageFeatures, Match

MATCH_DISTANCE = 0.8  # below it two patches count as the same thing
FOREGROUND_WEIGHT, BACKGROUND_WEIGHT = 0.7, 0.3
INSIDE_COVERAGE = 0.5  # a patch belongs to the object when at least half of it is mask


class References(Protocol):
    """What is asked of a reference memory when an image is searched."""

    def labels(self) -> tuple[str, ...]:
        """The labels in use, sorted."""

    def global_features(self, labels: Collection[str] | None = None) -> GlobalFeatures:
        """The image-level features of all references, or of those with one of `labels`."""

    def features_and_mask(self, reference_id: str) -> tuple[ImageFeatures, BoolMask]:
        """The features of a reference's image, and its object."""

    def picture_and_mask(self, reference_id: str) -> tuple[NDArray[np.uint8], BoolMask]:
        """A reference's image, or the part of it around the object, RGB, and the object there."""


@dataclass(frozen=True, eq=False)
class PatchMatches:
    """The nearest patch of a query image for every patch of a reference.

    Attributes:
        reference_cells_n2, query_cells_n2: int64 (row, column) in the two patch grids; the
            reference's cells are in reading order.
        distances_n: float32, Euclidean distance of the two features, 0 to 2.
        inside_n: bool, whether the reference patch belongs to the object.
        mutual_n: bool, whether the reference patch is also the query patch's nearest.
        reference_grid_hw, query_grid_hw: sizes of the two grids.
    """

    reference_cells_n2: NDArray[np.int64]
    query_cells_n2: NDArray[np.int64]
    distances_n: NDArray[np.float32]
    inside_n: NDArray[np.bool_]
    mutual_n: NDArray[np.bool_]
    reference_grid_hw: tuple[int, int]
    query_grid_hw: tuple[int, int]

    @property
    def foreground(self) -> float:
        """Sparse similarity of the patches inside the mask, 0 to 1."""
        return sparse_similarity(self.distances_n[self.inside_n])

    @property
    def background(self) -> float:
        """Sparse similarity of the patches outside the mask, 0 to 1."""
        return sparse_similarity(self.distances_n[~self.inside_n])

    @property
    def similarity(self) -> float:
        """0.7 x foreground + 0.3 x background."""
        return FOREGROUND_WEIGHT * self.foreground + BACKGROUND_WEIGHT * self.background


def sparse_similarity(distances_n: NDArray[np.float32], threshold: float = MATCH_DISTANCE) -> float:
    """`match_ratio x (1 - mean distance of the matched)`, clipped at 0; 0.0 for no patches."""
    matched = distances_n[distances_n < threshold]
    if matched.size == 0:
        return 0.0
    ratio = matched.size / distances_n.size
    return max(0.0, ratio * (1.0 - float(matched.mean(dtype=np.float64))))


def cell_coverage(mask_hw: BoolMask, grid_hw: tuple[int, int]) -> NDArray[np.float32]:
    """The share of every grid cell that is mask, float32 `hw` of the grid, 0 to 1."""
    rows, columns = grid_hw
    mask = mask_hw.astype(np.float32)
    return np.asarray(cv2.resize(mask, (columns, rows), interpolation=cv2.INTER_AREA))


def inside_cells(mask_hw: BoolMask, grid_hw: tuple[int, int]) -> BoolMask:
    """The grid cells that belong to a mask: at least half covered, else the best-covered one."""
    coverage = cell_coverage(mask_hw, grid_hw)
    inside = coverage >= INSIDE_COVERAGE
    if not inside.any() and mask_hw.any():
        inside[np.unravel_index(int(coverage.argmax()), coverage.shape)] = True
    return inside


def free_cells(taken: Collection[BoolMask], grid_hw: tuple[int, int]) -> BoolMask | None:
    """The patches that no object of `taken` covers or borders: its edge looks like it too.

    Returns:
        bool on the grid; None when no patch is taken, or all are.
    """
    covered_hw = np.zeros(grid_hw, np.bool_)
    for mask_hw in taken:
        inside = inside_cells(mask_hw, grid_hw)
        covered_hw |= cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return ~covered_hw if covered_hw.any() and not covered_hw.all() else None


def match_patches(
    reference: ImageFeatures,
    mask_hw: BoolMask,
    query: ImageFeatures,
    free_hw: BoolMask | None = None,
) -> PatchMatches:
    """Match every patch of a reference to its nearest patch of the query image.

    Args:
        reference: features of the reference's image.
        mask_hw: bool, the reference's object, at its image's resolution.
        query: features of the image that is searched; same feature model.
        free_hw: bool on the query's grid, the patches that may be matched; None for all.
    """
    free = np.ones(query.grid_hw, np.bool_) if free_hw is None else free_hw
    rows = reference.patches_hwc.reshape(-1, reference.patches_hwc.shape[2])
    found = nearest(rows, query.patches_hwc[free])
    return PatchMatches(
        reference_cells_n2=np.argwhere(np.ones(reference.grid_hw, np.bool_)),
        query_cells_n2=np.argwhere(free)[found.indices_n],
        distances_n=found.distances_n,
        inside_n=inside_cells(mask_hw, reference.grid_hw).reshape(-1),
        mutual_n=found.mutual_n,
        reference_grid_hw=reference.grid_hw,
        query_grid_hw=query.grid_hw,
    )


def search(
    memory: References,
    features: ImageFeatures,
    k: int = 5,
    labels: Collection[str] | None = None,
) -> list[Match]:
    """Rank the references that look like an image, best first.

    The `k` references with the largest cosine of the global features are matched patch by patch
    and ranked by the combined sparse similarity; only those of `labels`, when given.
    """
    known = memory.global_features(labels)
    if not known.ids:
        return []
    cosines = known.features_nc @ features.global_c
    matches = []
    for row in np.argsort(-cosines, kind="stable")[:k]:
        patches = match_patches(*memory.features_and_mask(known.ids[row]), features)
        matches.append(
            Match(
                reference_id=known.ids[row],
                label=known.labels[row],
                global_similarity=float(np.clip(cosines[row], -1.0, 1.0)),
                foreground=patches.foreground,
                background=patches.background,
                similarity=patches.similarity,
            )
        )
    return sorted(matches, key=lambda m: (-m.similarity, -m.global_similarity, m.reference_id))
