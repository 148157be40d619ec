"""From matched patches to prompts that may hit the object: points, a box, or both.

Nothing is taken from the coordinates of the stored mask: every point is the centre of a patch of
the searched image, and every box encloses such patches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask, Box
from tracker.memory.comparison import Comparison
from tracker.types import NEGATIVE, POSITIVE
from tracker.views import View

Kind = Literal["points", "box", "both"]

MOST_POINTS = 5  # of each sign
PADDING_PX = 5  # around the matched patches
REGIONS = 3  # connected parts that are each tried as the object
NEAR = 3  # patches around a region in which background may be confused with the object


@dataclass(frozen=True, eq=False)
class Proposal:
    """A prompt worth trying.

    Attributes:
        kind: `points`, `box` or `both`.
        points_n2: float32 `xy` in pixels; empty for `box`.
        point_labels_n: int32, 1 positive, 0 negative.
        box_xyxy: in pixels; None for `points`.
        view_xyxy: the part of the image in which the decoder is asked; None for all of it.
    """

    kind: Kind
    points_n2: NDArray[np.float32]
    point_labels_n: NDArray[np.int32]
    box_xyxy: Box | None
    view_xyxy: View | None = None

    def seen_in(self, view: View) -> Proposal:
        """What was proposed for a view, in its own pixels, in those of the whole image."""
        x, y, *_ = view
        box = self.box_xyxy
        return replace(
            self,
            points_n2=self.points_n2 + np.array([x, y], np.float32),
            box_xyxy=None if box is None else (box[0] + x, box[1] + y, box[2] + x, box[3] + y),
            view_xyxy=view,
        )


def propose(
    compared: Comparison,
    size_hw: tuple[int, int],
    kinds: tuple[Kind, ...],
    seed: int = 0,
) -> list[Proposal]:
    """Prompts for the regions where the object may lie, the likeliest first.

    Args:
        compared: the reference with the searched image.
        size_hw: height and width of the searched image in pixels.
        kinds: what to propose for each region.
        seed: of the clustering.
    """
    proposals = []
    for region_hw in object_regions(compared.contrast_hw, compared.parts_hw):
        positive = _positive_cells(region_hw, compared, seed)
        negative = _negative_cells(region_hw, compared, seed)
        points = _centres(np.concatenate([positive, negative]), region_hw.shape, size_hw)
        labels = np.array([POSITIVE] * len(positive) + [NEGATIVE] * len(negative), np.int32)
        box = _box(region_hw, size_hw)
        no_points, no_labels = points[:0], labels[:0]
        made = {
            "points": Proposal("points", points, labels, None),
            "box": Proposal("box", no_points, no_labels, box),
            "both": Proposal("both", points, labels, box),
        }
        proposals += [made[kind] for kind in kinds]
    return proposals


def object_regions(contrast_hw: NDArray[np.float32], parts_hw: NDArray[np.int32]) -> list[BoolMask]:
    """Where the object may lie, as masks on the patch grid, the likeliest first.

    Each of the three parts with the greatest sum of contrast is a region. So is the first one
    with the parts near it, for an object that something in front divides.

    Args:
        contrast_hw, parts_hw: of a `Comparison`.
    """
    mass = np.bincount(parts_hw.ravel(), weights=contrast_hw.ravel())[1:]
    heaviest = np.argsort(-mass, kind="stable") + 1
    regions = [parts_hw == part for part in heaviest[:REGIONS]]
    above = parts_hw > 0
    _, groups_hw = cv2.connectedComponents(_grown(above, 1).astype(np.uint8), connectivity=8)
    group_hw = above & (groups_hw == groups_hw[regions[0]][0])
    return regions if (group_hw == regions[0]).all() else [*regions, group_hw]


def _positive_cells(region_hw: BoolMask, compared: Comparison, seed: int) -> NDArray[np.int64]:
    """Mutually matched patches of the object in the region; where there is none, the region's."""
    matches = compared.matches
    good = matches.inside_n & matches.mutual_n & region_hw[tuple(matches.query_cells_n2.T)]
    cells = matches.query_cells_n2[good] if good.any() else np.argwhere(region_hw)
    return _spread(cells, compared.contrast_hw, seed)


def _negative_cells(region_hw: BoolMask, compared: Comparison, seed: int) -> NDArray[np.int64]:
    """Background near the region that looks like the object: what a mask might spill into."""
    near = _grown(region_hw, NEAR) & ~_grown(region_hw, 1) & (compared.contrast_hw < 0)
    confusing = near & (compared.foreground_hw >= np.median(compared.foreground_hw[region_hw]))
    return _spread(np.argwhere(confusing), compared.foreground_hw, seed)


def _spread(
    cells_n2: NDArray[np.int64], quality_hw: NDArray[np.float32], seed: int
) -> NDArray[np.int64]:
    """At most 5 of the cells, far apart: those nearest to the centres of weighted k-means."""
    if len(cells_n2) <= MOST_POINTS:
        return cells_n2
    from sklearn.cluster import KMeans  # loading it takes seconds, and few watches need it

    weights = np.maximum(quality_hw[tuple(cells_n2.T)], 1e-6)
    means = KMeans(MOST_POINTS, n_init=4, random_state=seed)
    means.fit(cells_n2.astype(np.float64), sample_weight=weights)
    gaps = np.linalg.norm(cells_n2[None] - means.cluster_centers_[:, None], axis=2)
    return cells_n2[np.unique(gaps.argmin(axis=1))]


def _grown(region_hw: BoolMask, patches: int) -> BoolMask:
    kernel = np.ones((2 * patches + 1, 2 * patches + 1), np.uint8)
    return cv2.dilate(region_hw.astype(np.uint8), kernel) > 0


def _centres(
    cells_n2: NDArray[np.int64], grid_hw: tuple[int, ...], size_hw: tuple[int, int]
) -> NDArray[np.float32]:
    """Patch centres `xy` in pixels."""
    share_yx = (cells_n2 + 0.5) / np.array(grid_hw)
    return (share_yx * np.array(size_hw))[:, ::-1].astype(np.float32)


def _box(region_hw: BoolMask, size_hw: tuple[int, int]) -> Box:
    """The box around a region's patches with 5 px padding, clipped to the image."""
    rows, columns = np.flatnonzero(region_hw.any(axis=1)), np.flatnonzero(region_hw.any(axis=0))
    (height, width), (grid_height, grid_width) = size_hw, region_hw.shape
    y1, y2 = (n * height / grid_height for n in (rows[0], rows[-1] + 1))
    x1, x2 = (n * width / grid_width for n in (columns[0], columns[-1] + 1))
    return (
        float(max(x1 - PADDING_PX, 0)),
        float(max(y1 - PADDING_PX, 0)),
        float(min(x2 + PADDING_PX, width)),
        float(min(y2 + PADDING_PX, height)),
    )
