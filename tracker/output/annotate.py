"""Draws masks onto frames: a tinted mask, its outline, and a label with id, name and confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import supervision as sv
from numpy.typing import NDArray

from tracker.masks import mask_box
from tracker.types import ObjectMask
from tracker.video import index_palette

OPACITY = 0.5
_BRIGHT = 140.0  # luminance from which black text reads better than white, of 255


class Annotator:
    """Draws every object in the colour that its id has in index PNGs.

    Sizes of lines and text follow the height of the frames.
    """

    def __init__(self, height: int, labels: Mapping[int, str] | None = None) -> None:
        """`labels` names objects by id; those without a name show their id alone."""
        self._labels = labels or {}
        unit = max(height, 480) / 720  # below, text could not be read
        by_id = sv.ColorLookup.TRACK
        self._fill = sv.MaskAnnotator(_palette(), OPACITY, by_id)
        self._outline = sv.PolygonAnnotator(_palette(2.0), max(1, round(2 * unit)), by_id)
        self._text = sv.LabelAnnotator(
            color=_palette(),
            color_lookup=by_id,
            text_color=_text_palette(),
            text_scale=0.6 * unit,
            text_thickness=max(1, round(1.4 * unit)),
            text_padding=max(2, round(7 * unit)),
            smart_position=True,
        )

    def annotate(
        self, image_hwc: NDArray[np.uint8], objects: Sequence[ObjectMask]
    ) -> NDArray[np.uint8]:
        """A copy of an RGB uint8 image with the visible objects drawn onto it."""
        scene_hwc = np.ascontiguousarray(image_hwc).copy()
        visible = [mask for mask in objects if mask.mask_hw.any()]
        if not visible:
            return scene_hwc
        detections = _detections(visible)
        self._fill.annotate(scene_hwc, detections)
        self._outline.annotate(scene_hwc, detections)
        self._text.annotate(scene_hwc, detections, [self._caption(mask) for mask in visible])
        return scene_hwc

    def _caption(self, mask: ObjectMask) -> str:
        name = self._labels.get(mask.object_id) or ""
        return " ".join(
            part for part in (str(mask.object_id), name, f"{mask.confidence:.2f}") if part
        )


def _detections(objects: Sequence[ObjectMask]) -> sv.Detections:
    ids = np.array([mask.object_id for mask in objects])
    return sv.Detections(
        xyxy=np.array([mask_box(mask.mask_hw) for mask in objects], dtype=np.float32),
        mask=np.stack([mask.mask_hw for mask in objects]),
        confidence=np.array([mask.confidence for mask in objects], dtype=np.float32),
        class_id=ids,
        tracker_id=ids,
    )


# supervision paints the blue, green and red of a colour into the first, second and third channel.
# Our images are RGB, so that its colours are given to it mirrored instead of turning every image.


@cache
def _palette(brightness: float = 1.0) -> sv.ColorPalette:
    colours_n3 = np.minimum(index_palette() * brightness, 255).astype(int)
    return sv.ColorPalette([sv.Color(r=b, g=g, b=r) for r, g, b in colours_n3.tolist()])


@cache
def _text_palette() -> sv.ColorPalette:
    """Black or white per object id, whichever stands out from its colour."""
    luminance_n = index_palette() @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    return sv.ColorPalette([sv.Color.BLACK if y > _BRIGHT else sv.Color.WHITE for y in luminance_n])
