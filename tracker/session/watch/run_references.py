"""What a run itself knows of its objects, in the form of a reference memory, held in memory only.

Beside the user's references of an object stand frames of the same video on which its mask was
trusted: the same thing, in the same light.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask
from tracker.memory.closer_look import ROOM
from tracker.memory.store import GlobalFeatures, ReferenceMemory
from tracker.types import ImageFeatures
from tracker.views import in_view, view_around

FROM_RUN = "run:"
"""Begins the id of a reference that is a frame of the run."""


@dataclass(frozen=True, eq=False)
class _Entry:
    label: str
    features: ImageFeatures
    mask_hw: BoolMask
    picture_and_mask: Callable[[], tuple[NDArray[np.uint8], BoolMask]]


class RunReferences:
    """References for `find_prompts`; the label of an object is its number."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def add_frame(
        self,
        object_id: int,
        frame: int,
        image_hwc: NDArray[np.uint8],
        features: ImageFeatures,
        mask_hw: BoolMask,
    ) -> None:
        """Let a frame of the run show what an object looks like.

        Args:
            frame: index in the video.
            image_hwc: the frame, RGB uint8; of it the part around the object is kept.
            features: of the whole frame.
            mask_hw: bool, with a pixel.
        """
        view = view_around(mask_hw, ROOM)
        around = in_view(image_hwc, view).copy(), in_view(mask_hw, view).copy()
        entry = _Entry(str(object_id), features, mask_hw, lambda: around)
        self._entries[f"{FROM_RUN}{frame}:{object_id}"] = entry

    def add_user(self, object_id: int, memory: ReferenceMemory, label: str) -> None:
        """Take over the user's references of a label."""
        for reference_id in memory.global_features([label]).ids:
            picture = partial(memory.picture_and_mask, reference_id)
            known = memory.features_and_mask(reference_id)
            entry = _Entry(str(object_id), *known, picture)
            self._entries[reference_id] = entry

    def from_run(self, object_id: int) -> tuple[str, ...]:
        """Ids of an object's references that are frames of the run, in the order of adding."""
        return tuple(
            reference_id
            for reference_id, entry in self._entries.items()
            if entry.label == str(object_id) and reference_id.startswith(FROM_RUN)
        )

    def drop(self, reference_id: str) -> None:
        del self._entries[reference_id]

    def labels(self) -> tuple[str, ...]:
        return tuple(sorted({entry.label for entry in self._entries.values()}))

    def global_features(self, labels: Collection[str] | None = None) -> GlobalFeatures:
        rows = [(i, e) for i, e in self._entries.items() if labels is None or e.label in labels]
        features = [entry.features.global_c for _, entry in rows]
        return GlobalFeatures(
            ids=tuple(reference_id for reference_id, _ in rows),
            labels=tuple(entry.label for _, entry in rows),
            features_nc=np.stack(features) if features else np.zeros((0, 0), np.float32),
        )

    def features_and_mask(self, reference_id: str) -> tuple[ImageFeatures, BoolMask]:
        entry = self._entries[reference_id]
        return entry.features, entry.mask_hw

    def picture_and_mask(self, reference_id: str) -> tuple[NDArray[np.uint8], BoolMask]:
        return self._entries[reference_id].picture_and_mask()
