"""Draws masks onto frames: tints, outlines, boxes, labels, traces, and what hides the picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
import supervision as sv
from numpy.typing import NDArray
from supervision.annotators.base import BaseAnnotator

from tracker.output.detections import to_detections
from tracker.output.styles import OVERLAY, STYLES, Style
from tracker.types import ObjectMask
from tracker.video import index_palette

OPACITY = 0.5
_BRIGHT = 140.0  # luminance from which black text reads better than white, of 255
_BY_ID = sv.ColorLookup.TRACK
_TRACE_FRAMES = 30

Image = NDArray[np.uint8]
Layer = Callable[[Image, sv.Detections], None]


class Annotator:
    """Draws every object in the colour that its id has in index PNGs.

    Sizes of lines and text follow the height of the frames. A trace remembers the frames before,
    so that an annotator serves one video.
    """

    def __init__(
        self,
        height: int,
        labels: Mapping[int, str] | None = None,
        styles: Sequence[Style] = OVERLAY,
    ) -> None:
        """`labels` names objects by id; those without a name show their id alone."""
        self._labels = labels or {}
        unit = max(height, 480) / 720  # below, text could not be read
        makers: dict[str, Callable[[], Layer]] = {
            "blur": lambda: _hides_objects(sv.BlurAnnotator()),
            "pixelate": lambda: _hides_objects(sv.PixelateAnnotator()),
            "blur-background": lambda: _hides_rest(sv.BlurAnnotator(max(3, height // 15))),
            "pixelate-background": lambda: _hides_rest(sv.PixelateAnnotator(max(2, height // 40))),
            "halo": lambda: _drawn(sv.HaloAnnotator(_palette(2.0), 0.8, round(40 * unit), _BY_ID)),
            "mask": lambda: _drawn(sv.MaskAnnotator(_palette(), OPACITY, _BY_ID)),
            "contour": lambda: _drawn(_outline(sv.PolygonAnnotator, unit)),
            "box": lambda: _drawn(_outline(sv.BoxAnnotator, unit)),
            "trace": lambda: _traced(unit),
            "label": lambda: self._labelled(unit),
        }
        self._layers = [makers[name]() for name in STYLES if name in styles and name in makers]

    def annotate(self, image_hwc: Image, objects: Sequence[ObjectMask]) -> Image:
        """A copy of an RGB uint8 image with the visible objects drawn onto it."""
        scene_hwc = np.ascontiguousarray(image_hwc).copy()
        visible = [mask for mask in objects if mask.mask_hw.any()]
        ids = [mask.object_id for mask in visible]
        detections = to_detections(visible, ids, [self._caption(mask) for mask in visible])
        for layer in self._layers:
            layer(scene_hwc, detections)
        return scene_hwc

    def _caption(self, mask: ObjectMask) -> str:
        name = self._labels.get(mask.object_id) or ""
        return " ".join(
            part for part in (str(mask.object_id), name, f"{mask.confidence:.2f}") if part
        )

    def _labelled(self, unit: float) -> Layer:
        text = sv.LabelAnnotator(
            color=_palette(),
            color_lookup=_BY_ID,
            text_color=_text_palette(),
            text_scale=0.6 * unit,
            text_thickness=max(1, round(1.4 * unit)),
            text_padding=max(2, round(7 * unit)),
            smart_position=True,
        )

        def draw(scene_hwc: Image, detections: sv.Detections) -> None:
            if len(detections):
                text.annotate(scene_hwc, detections, list(detections.data["class_name"]))

        return draw


def _drawn(annotator: BaseAnnotator) -> Layer:
    def draw(scene_hwc: Image, detections: sv.Detections) -> None:
        if len(detections):
            annotator.annotate(scene_hwc, detections)

    return draw


def _outline(kind: type, unit: float) -> BaseAnnotator:
    return kind(_palette(2.0), max(1, round(2 * unit)), color_lookup=_BY_ID)


def _traced(unit: float) -> Layer:
    trace = sv.TraceAnnotator(
        color=_palette(2.0),
        position=sv.Position.CENTER_OF_MASS,
        trace_length=_TRACE_FRAMES,
        thickness=max(1, round(3 * unit)),
        color_lookup=_BY_ID,
    )
    return _drawn(trace)


# supervision blurs and pixelates boxes; only the pixels inside (or outside) the masks are taken.


def _hides_objects(annotator: BaseAnnotator) -> Layer:
    def hide(scene_hwc: Image, detections: sv.Detections) -> None:
        if detections.mask is not None:
            hidden_hwc = annotator.annotate(scene_hwc.copy(), detections)
            inside_hw = np.asarray(detections.mask).any(axis=0)
            scene_hwc[inside_hw] = hidden_hwc[inside_hw]

    return hide


def _hides_rest(annotator: BaseAnnotator) -> Layer:
    def hide(scene_hwc: Image, detections: sv.Detections) -> None:
        height, width = scene_hwc.shape[:2]
        frame = sv.Detections(xyxy=np.array([[0, 0, width, height]], dtype=np.float32))
        hidden_hwc = annotator.annotate(scene_hwc.copy(), frame)
        inside_hw = np.zeros((height, width), dtype=bool)
        for mask_hw in () if detections.mask is None else detections.mask:
            inside_hw |= mask_hw
        scene_hwc[~inside_hw] = hidden_hwc[~inside_hw]

    return hide


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
