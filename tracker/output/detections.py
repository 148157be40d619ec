"""Masks as supervision's `Detections`, the form that its annotators and converters take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tracker.masks import mask_box
from tracker.types import ObjectMask

if TYPE_CHECKING:
    import supervision as sv


def to_detections(
    objects: Sequence[ObjectMask], class_ids: Sequence[int], class_names: Sequence[str]
) -> sv.Detections:
    """The objects that have a pixel, in their order.

    Args:
        objects: of one frame.
        class_ids, class_names: of each of them.

    Returns:
        `xyxy` float32 in pixels (x2 and y2 exclusive), `mask` bool `nhw`, `confidence` float32,
        `class_id`, `tracker_id` = object id, and `data["class_name"]`. Without a visible object,
        empty detections.
    """
    import supervision as sv  # takes seconds

    places = [n for n, mask in enumerate(objects) if mask.mask_hw.any()]
    visible = [objects[n] for n in places]
    if not visible:
        return sv.Detections.empty()
    return sv.Detections(
        xyxy=np.array([mask_box(mask.mask_hw) for mask in visible], dtype=np.float32),
        mask=np.stack([mask.mask_hw for mask in visible]),
        confidence=np.array([mask.confidence for mask in visible], dtype=np.float32),
        class_id=np.array([class_ids[n] for n in places]),
        tracker_id=np.array([mask.object_id for mask in visible]),
        data={"class_name": np.array([class_names[n] for n in places])},
    )
