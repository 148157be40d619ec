"""Does a mask still show what was prompted? Cosines between features inside masks.

An object's look on one frame is the mean of the patch features under its mask. It is held against
its looks on the prompted frames, and against a running average of its looks on trusted frames; the
appearance score is the mean of the two. Features cost a pass through a model, so a frame is only
described when a `Sampler` asks for it: every few frames, and where something has happened.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask
from tracker.memory.comparison import unit
from tracker.memory.retrieval import cell_coverage
from tracker.types import ImageFeatures, ObjectMask

Look = NDArray[np.float32]
"""One object on one frame: float32, shape (c,), of length 1."""

AVERAGED = 0.1  # share of the newest look in the running average
ABRUPT = 0.5  # an area that changes by more than this share between two frames is an event
THUMBNAIL_WH = (32, 18)
STIRRED = 12.0  # mean absolute difference of two thumbnails, of 255, from which a cut is possible


def look(features: ImageFeatures, mask_hw: BoolMask) -> Look | None:
    """The mean patch feature under a mask, every patch by its share of mask; None if it is empty.

    Args:
        features: of the whole image.
        mask_hw: bool, at the image's resolution.
    """
    if not mask_hw.any():
        return None
    share_hw = cell_coverage(mask_hw, features.grid_hw)
    return unit(np.tensordot(share_hw, features.patches_hwc, axes=2))


class Likeness:
    """What one object has looked like so far."""

    def __init__(self) -> None:
        self._prompted: list[Look] = []
        self._average: Look | None = None

    def prompt(self, seen: Look) -> None:
        """Somebody said that this is the object: later looks are held against it."""
        self._prompted.append(seen)
        self._average = seen

    def trust(self, seen: Look) -> None:
        """Let the running average follow a trusted look."""
        mean = seen if self._average is None else self._average
        self._average = unit((1 - AVERAGED) * mean + AVERAGED * seen)

    def score(self, seen: Look) -> float | None:
        """The mean cosine to the nearest prompted look and to the average; None without prompt."""
        if not self._prompted or self._average is None:
            return None
        prompted = max(float(seen @ each) for each in self._prompted)
        return (prompted + float(seen @ self._average)) / 2


class Sampler:
    """Says which frames are worth describing, in the order in which they are tracked."""

    def __init__(self, every: int) -> None:
        """`every`: the distance in frames at most."""
        self._every = every
        self._since = every
        self._thumbnail: NDArray[np.float32] | None = None
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
        """Whether the picture as a whole is other than the one before: a cut, or mere haste."""
        small = cv2.resize(image_hwc, THUMBNAIL_WH, interpolation=cv2.INTER_AREA)
        before, self._thumbnail = self._thumbnail, np.asarray(small, np.float32)
        if before is None:
            return False
        return float(np.abs(self._thumbnail - before).mean()) > STIRRED

    def _changed(self, areas: Mapping[int, int]) -> bool:
        """Whether an object came, or its area changed abruptly."""
        before, self._areas = self._areas, dict(areas)
        return any(
            area and abs(area - before.get(i, 0)) > ABRUPT * max(area, before.get(i, 0))
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
