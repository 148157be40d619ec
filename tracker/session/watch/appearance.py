"""Does a mask cover what was prompted? It is held against what the prompted frames find.

On a prompted frame the patches under the mask show the object, those beside it its surroundings. On
a later frame a patch looks like the object when the most similar of all these is one of the
object's. The appearance score is the overlap of the mask with such patches: it falls when a mask
leaves its object, takes in surroundings, leaves parts out, or is empty while something in the
picture looks like the object. Features cost a pass through a model, so a frame is only described
when a `Sampler` asks for it: every few frames, and where something has happened.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask
from tracker.memory.comparison import unit
from tracker.memory.retrieval import cell_coverage, inside_cells
from tracker.types import ImageFeatures, ObjectMask

Look = NDArray[np.float32]
"""A whole frame: float32, shape (c,), of length 1."""

PROMPTS_KEPT = 4  # of one object: the first and the newest
LEEWAY = 1.0  # patches that always agree: else a single one would decide about a small object
BESIDE = 0.02  # a patch with no more mask than this shows the surroundings
ABRUPT = 0.5  # an area that changes by more than this share between two frames is an event
STRAY = 0.05  # what looks like the object in no larger share is no part of it
THUMBNAIL_WH = (32, 18)
STIRRED = 12.0  # mean absolute difference of two thumbnails, of 255, from which a cut is possible,
OUTSTANDING = 2.0  # and so many times what it was lately: a hasty camera stirs every frame
LATELY = 0.3  # weight of the newest difference in the running mean of those before


class Likeness:
    """What one object and its surroundings look like on the frames on which it was prompted."""

    def __init__(self) -> None:
        self._prompted: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}

    def prompt(self, frame: int, features: ImageFeatures, mask_hw: BoolMask) -> None:
        """Somebody said that this is the object: other masks are held against it.

        Args:
            frame: index in the video; what was known from it before is replaced.
            features: of the whole frame.
            mask_hw: bool, at the frame's resolution; an empty one shows nothing.
        """
        if not mask_hw.any():
            return
        beside_hw = cell_coverage(mask_hw, features.grid_hw) <= BESIDE
        own_nc = features.patches_hwc[inside_cells(mask_hw, features.grid_hw)]
        self._prompted[frame] = own_nc, features.patches_hwc[beside_hw]
        if len(self._prompted) > PROMPTS_KEPT:
            del self._prompted[list(self._prompted)[1]]

    def score(
        self, features: ImageFeatures, mask_hw: BoolMask, others_hw: BoolMask | None = None
    ) -> float | None:
        """Intersection over union of a mask and what looks like the object; None without prompt.

        1 for an empty mask on a frame on which nothing looks like the object.

        Args:
            features: of the whole frame; same model as those of the prompts.
            mask_hw: bool, at the frame's resolution.
            others_hw: bool, where other objects are; what they cover may look as it likes.
        """
        if not self._prompted:
            return None
        share_hw = cell_coverage(mask_hw, features.grid_hw)
        free_hw = 1 - share_hw
        if others_hw is not None:
            free_hw = np.minimum(free_hw, 1 - cell_coverage(others_hw, features.grid_hw))
        alike_hw = self._looks_alike(features)
        common = float(share_hw[alike_hw].sum()) + LEEWAY
        return common / (float(share_hw.sum()) + float(free_hw[alike_hw].sum()) + LEEWAY)

    def has_stray_part(self, features: ImageFeatures, mask_hw: BoolMask) -> bool:
        """Whether a part of the mask stands apart and shows nothing but surroundings.

        A mask that took in what the object passed is torn when the object moves on. Nothing is said
        of parts smaller than a patch, nor while most of the mask does not look like the object.

        Args:
            features, mask_hw: as `score`.
        """
        count, labels_hw = cv2.connectedComponents(mask_hw.astype(np.uint8), connectivity=8)
        if not self._prompted or count <= 2:
            return False
        alike_hw, whole_hw = self._looks_alike(features), cell_coverage(mask_hw, features.grid_hw)
        for part in range(1, count):
            part_hw = cell_coverage(labels_hw == part, features.grid_hw)
            rest_hw = whole_hw - part_hw
            strays = part_hw.sum() >= 1 and part_hw[alike_hw].sum() <= STRAY * part_hw.sum()
            if strays and rest_hw[alike_hw].sum() > rest_hw.sum() / 2:
                return True
        return False

    def _looks_alike(self, features: ImageFeatures) -> BoolMask:
        """The patches that look more like the object than like its surroundings."""
        own, beside = (np.concatenate(part) for part in zip(*self._prompted.values(), strict=True))
        if not len(beside):
            return np.ones(features.grid_hw, np.bool_)
        nearest_own, nearest_beside = (
            (features.patches_hwc @ part.T).max(-1) for part in (own, beside)
        )
        return np.asarray(nearest_own > nearest_beside)


class Sampler:
    """Says which frames are worth describing, in the order in which they are tracked."""

    def __init__(self, every: int) -> None:
        """`every`: the distance in frames at most."""
        self._every = every
        self._since = every
        self._thumbnail: NDArray[np.float32] | None = None
        self._haste = 0.0
        self._areas: dict[int, int] = {}
        self.stirred = False

    def wants(
        self,
        image_hwc: NDArray[np.uint8],
        objects: Collection[ObjectMask],
        prompted: Collection[int],
    ) -> bool:
        """Whether the next frame is to be described. To be asked once for every frame.

        Args:
            image_hwc: RGB uint8.
            objects: as tracked on it.
            prompted: ids of objects that have a prompt on it.
        """
        self.stirred = self._is_stirred(image_hwc)
        changed = self._changed({mask.object_id: _area(mask) for mask in objects})
        self._since += 1
        wanted = bool(prompted) or self.stirred or changed or self._since >= self._every
        if wanted:
            self._since = 0
        return wanted

    def described(self, objects: Collection[ObjectMask]) -> None:
        """Tell that the newest frame was described after all, with other masks."""
        self._since = 0
        self._areas |= {mask.object_id: _area(mask) for mask in objects}

    def _is_stirred(self, image_hwc: NDArray[np.uint8]) -> bool:
        """Whether the picture as a whole is quite another than the one before."""
        small = cv2.resize(image_hwc, THUMBNAIL_WH, interpolation=cv2.INTER_AREA)
        before, self._thumbnail = self._thumbnail, np.asarray(small, np.float32)
        if before is None:
            return False
        difference = float(np.abs(self._thumbnail - before).mean())
        usual, self._haste = self._haste, self._haste + LATELY * (difference - self._haste)
        return difference > max(STIRRED, OUTSTANDING * usual)

    def _changed(self, areas: Mapping[int, int]) -> bool:
        """Whether an object came or went, or its area changed abruptly."""
        before, self._areas = self._areas, dict(areas)
        return any(
            abs(area - before.get(i, 0)) > ABRUPT * max(area, before.get(i, 0))
            for i, area in areas.items()
        )


def whole_look(features: ImageFeatures) -> Look:
    """The mean patch feature of a frame. It tells scenes apart better than the global feature."""
    return unit(features.patches_hwc.mean(axis=(0, 1)))


class Scenes:
    """Finds the first frame of another scene, by the cosine of whole frames' looks."""

    def __init__(self, cut_below: float) -> None:
        """`cut_below`: a smaller cosine means another scene."""
        self._cut_below = cut_below
        self._before: Look | None = None

    def is_cut(self, features: ImageFeatures, stirred: bool) -> bool:
        """Whether a described frame is a cut from the described frame before it.

        `stirred` says whether the pictures jumped just here: what has changed slowly since then is
        no cut.
        """
        before, self._before = self._before, whole_look(features)
        if before is None or not stirred:
            return False
        return float(before @ self._before) < self._cut_below


def _area(mask: ObjectMask) -> int:
    return int(np.count_nonzero(mask.mask_hw))
