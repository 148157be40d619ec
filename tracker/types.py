"""The values that travel between rooms: frozen, checked where they are made, no torch.

Frames count from 0 in decoding order, object ids from 1. Images are RGB uint8 `hwc`, masks bool
`hw` at video resolution, points `xy` and boxes `xyxy` in pixels of the upright video.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tracker.errors import PromptError
from tracker.masks import BoolMask, Box, decode_rle, encode_rle
from tracker.views import View, holds, shows

PromptSource = Literal["user", "memory", "redetect", "detector"]
State = Literal["visible", "occluded", "lost", "doubtful"]

POSITIVE, NEGATIVE = 1, 0


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded frame.

    Attributes:
        index: position in decoding order, from 0.
        pts: presentation time stamp in units of `VideoInfo.time_base`.
        image_hwc: RGB uint8.
    """

    index: int
    pts: int
    image_hwc: NDArray[np.uint8]

    def __post_init__(self) -> None:
        _check_image(self.image_hwc)


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before its frames are decoded.

    Attributes:
        path: as the caller named it.
        width, height: of the upright frames, in pixels.
        frame_rate: the average rate in frames per second, exact.
        time_base: seconds per unit of pts, exact.
        frame_count: exact for image folders, the container's claim for files, None if unknown.
        stems: file names without extension, for image folders; None for files.
        has_audio: whether an audio stream is present.
    """

    path: str
    width: int
    height: int
    frame_rate: Fraction
    time_base: Fraction
    frame_count: int | None
    stems: tuple[str, ...] | None = None
    has_audio: bool = False


@dataclass(frozen=True, eq=False)
class Prompt:
    """Points, a box or a mask for one object on one frame, and where it came from.

    Attributes:
        frame: frame index, from 0.
        object_id: from 1.
        points_n2: float32 `xy` in pixels, shape (n, 2); n may be 0.
        point_labels_n: int32, 1 positive, 0 negative.
        box_xyxy: pixels, or None.
        mask_hw: bool at video resolution, or None; excludes points and box.
        view_xyxy: the part of the frame in which SAM2 is asked what points and box mean, in whole
            pixels; they lie in it. None for the whole frame.
        source: who asked for it.
        label: the object's name, or None.
        score: the decision score of a prompt found by the tool, else None.
        reference_id: the reference that a `memory` prompt was found with, else None.

    Raises:
        PromptError: for empty, malformed or non-finite prompts. Whether a prompt lies inside the
            video is checked by `check_inside`, once the video's size is known.
    """

    frame: int
    object_id: int
    points_n2: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    point_labels_n: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    box_xyxy: Box | None = None
    mask_hw: BoolMask | None = None
    view_xyxy: View | None = None
    source: PromptSource = "user"
    label: str | None = None
    score: float | None = None
    reference_id: str | None = None

    def __post_init__(self) -> None:
        name = f"prompt for object {self.object_id} on frame {self.frame}"
        if self.frame < 0:
            raise PromptError(f"{name}: the frame index must be 0 or more")
        if self.object_id < 1:
            raise PromptError(f"{name}: object ids count from 1")
        if self.source not in get_args(PromptSource):
            raise PromptError(f"{name}: unknown source {self.source!r}")
        points = np.asarray(self.points_n2, dtype=np.float32).reshape(-1, 2)
        labels = np.asarray(self.point_labels_n, dtype=np.int32).reshape(-1)
        object.__setattr__(self, "points_n2", points)
        object.__setattr__(self, "point_labels_n", labels)
        if len(points) != len(labels):
            raise PromptError(f"{name}: {len(points)} points but {len(labels)} point labels")
        if not np.isfinite(points).all():
            raise PromptError(f"{name}: point coordinates must be finite numbers")
        if not np.isin(labels, (POSITIVE, NEGATIVE)).all():
            raise PromptError(f"{name}: point labels are 1 (positive) or 0 (negative)")
        if self.box_xyxy is not None:
            x1, y1, x2, y2 = self.box_xyxy
            if not np.isfinite(self.box_xyxy).all() or x2 <= x1 or y2 <= y1:
                raise PromptError(f"{name}: a box is X1,Y1,X2,Y2 with X1 < X2 and Y1 < Y2")
        if self.mask_hw is not None:
            if self.mask_hw.ndim != 2 or self.mask_hw.dtype != np.bool_:
                raise PromptError(f"{name}: a mask is a two-dimensional bool array")
            if not self.mask_hw.any():
                raise PromptError(f"{name}: the mask is empty; mark at least one pixel")
            if len(points) or self.box_xyxy is not None:
                raise PromptError(f"{name}: give a mask, or points and box, not both")
        elif self.box_xyxy is None and not (labels == POSITIVE).any():
            raise PromptError(f"{name}: give a mask, a box or at least one positive point")
        if self.view_xyxy is not None:
            self._check_view(name, self.view_xyxy)

    def _check_view(self, name: str, view: View) -> None:
        x1, y1, x2, y2 = view
        if not all(float(v).is_integer() for v in view) or x2 <= x1 or y2 <= y1:
            raise PromptError(f"{name}: a view is X1,Y1,X2,Y2 in whole pixels, X1 < X2 and Y1 < Y2")
        if self.mask_hw is not None:
            raise PromptError(f"{name}: a mask is taken as it is; a view needs points or a box")
        boxes = [] if self.box_xyxy is None else [self.box_xyxy]
        if not (shows(view, self.points_n2).all() and all(holds(view, box) for box in boxes)):
            raise PromptError(f"{name}: points and box must lie in the view")

    @property
    def kind(self) -> str:
        """`mask`, `box`, `points` or `box+points`."""
        if self.mask_hw is not None:
            return "mask"
        parts = ["box"] * (self.box_xyxy is not None) + ["points"] * bool(len(self.points_n2))
        return "+".join(parts)

    @property
    def box_is_tight(self) -> bool:
        """Whether the object ends with the box, which somebody, or a detector, has drawn.

        A box of the memory encloses what was matched of the object.
        """
        return self.box_xyxy is not None and self.source in ("user", "detector")

    def check_inside(self, info: VideoInfo) -> None:
        """Raise PromptError unless the prompt lies inside the video's frames."""
        name = f"prompt for object {self.object_id} on frame {self.frame}"
        size = f"the video is {info.width}x{info.height} pixels"
        x, y = self.points_n2[:, 0], self.points_n2[:, 1]
        outside = (x < 0) | (y < 0) | (x >= info.width) | (y >= info.height)
        if outside.any():
            px, py = self.points_n2[outside][0]
            raise PromptError(f"{name}: point {px:g},{py:g} lies outside; {size}")
        if self.box_xyxy is not None:
            x1, y1, x2, y2 = self.box_xyxy
            if x1 < 0 or y1 < 0 or x2 > info.width or y2 > info.height:
                corners = ",".join(f"{v:g}" for v in self.box_xyxy)
                raise PromptError(f"{name}: box {corners} lies outside; {size}")
        whole = (0, 0, info.width, info.height)
        if self.view_xyxy is not None and not holds(whole, self.view_xyxy):
            corners = ",".join(str(v) for v in self.view_xyxy)
            raise PromptError(f"{name}: view {corners} lies outside; {size}")
        if self.mask_hw is not None and self.mask_hw.shape != (info.height, info.width):
            h, w = self.mask_hw.shape
            raise PromptError(f"{name}: the mask is {w}x{h} pixels but {size}")

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` reads it back. Absent parts are left out."""
        out: dict[str, Any] = {"frame": self.frame, "object": self.object_id}
        if len(self.points_n2):
            out["points"] = [[float(x), float(y)] for x, y in self.points_n2]
            out["point_labels"] = [int(v) for v in self.point_labels_n]
        if self.box_xyxy is not None:
            out["box"] = [float(v) for v in self.box_xyxy]
        if self.mask_hw is not None:
            out["mask"] = encode_rle(self.mask_hw)
        if self.view_xyxy is not None:
            out["view"] = [int(v) for v in self.view_xyxy]
        out["source"] = self.source
        extras = {"label": self.label, "score": self.score, "reference": self.reference_id}
        out.update({key: value for key, value in extras.items() if value is not None})
        return out

    @classmethod
    def from_json(cls, value: Any) -> Prompt:
        """Inverse of `to_json`. Raises PromptError on anything else."""
        if not isinstance(value, dict):
            raise PromptError(f"a prompt is a JSON object, not {type(value).__name__}")
        unknown = value.keys() - _PROMPT_KEYS
        if unknown:
            known = ", ".join(sorted(_PROMPT_KEYS))
            raise PromptError(f"unknown key {sorted(unknown)[0]!r} in a prompt; known: {known}")
        try:
            points = np.asarray(value.get("points", []), dtype=np.float32).reshape(-1, 2)
            labels = value.get("point_labels", [POSITIVE] * len(points))
            box, view = value.get("box"), value.get("view")
            return cls(
                frame=int(value.get("frame", 0)),
                object_id=int(value.get("object", 1)),
                points_n2=points,
                point_labels_n=np.asarray(labels, dtype=np.int32),
                box_xyxy=None if box is None else _four_numbers(box),
                mask_hw=decode_rle(value["mask"]) if "mask" in value else None,
                view_xyxy=None if view is None else _four_whole_numbers(view),
                source=value.get("source", "user"),
                label=value.get("label"),
                score=value.get("score"),
                reference_id=value.get("reference"),
            )
        except (TypeError, ValueError) as error:
            raise PromptError(f"malformed prompt: {error}") from error


_PROMPT_KEYS = {
    *("frame", "object", "points", "point_labels", "box", "mask", "view"),
    *("source", "label", "score", "reference"),
}


@dataclass(frozen=True, eq=False)
class ObjectMask:
    """One object on one frame.

    Attributes:
        object_id: from 1.
        mask_hw: bool at video resolution; all False when the object is not visible.
        object_score: SAM2's object score logit: positive when the object is present.
        predicted_iou: the decoder's own estimate of the mask's IoU, 0 to 1.
        verdict: the state that the drift watch gave it, None if none has looked.
        appearance: overlap with what looks like the prompted object, 0 to 1; None if unknown.
    """

    object_id: int
    mask_hw: BoolMask
    object_score: float
    predicted_iou: float
    verdict: State | None = None
    appearance: float | None = None

    def __post_init__(self) -> None:
        if self.mask_hw.ndim != 2 or self.mask_hw.dtype != np.bool_:
            raise ValueError("mask_hw must be a two-dimensional bool array")
        if self.verdict is not None and self.verdict not in get_args(State):
            raise ValueError(f"unknown state {self.verdict!r}")

    @property
    def state(self) -> State:
        """The verdict; without one `visible` when the mask has a pixel, else `occluded`."""
        return self.verdict or ("visible" if self.mask_hw.any() else "occluded")

    @property
    def confidence(self) -> float:
        """Presence probability times predicted IoU, 0 to 1."""
        return confidence(self.object_score, self.predicted_iou)


def confidence(object_score: float, predicted_iou: float) -> float:
    """The probability that the object score stands for, times the predicted IoU: 0 to 1."""
    presence = 1.0 / (1.0 + float(np.exp(-np.clip(object_score, -60, 60))))
    return presence * predicted_iou


@dataclass(frozen=True, eq=False)
class FrameResult:
    """All objects on one frame, object ids ascending."""

    frame: Frame
    objects: tuple[ObjectMask, ...]


@dataclass(frozen=True, eq=False)
class ImageFeatures:
    """DINOv2 features of one image, float32 and L2-normalised.

    Attributes:
        global_c: the image-level feature, shape (c,).
        patches_hwc: one feature per patch, shape (grid height, grid width, c).
    """

    global_c: NDArray[np.float32]
    patches_hwc: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.global_c.ndim != 1 or self.patches_hwc.ndim != 3:
            raise ValueError("global_c must have shape (c,), patches_hwc (gh, gw, c)")
        if self.global_c.shape[0] != self.patches_hwc.shape[2]:
            raise ValueError("global and patch features must have the same width")

    @property
    def grid_hw(self) -> tuple[int, int]:
        return self.patches_hwc.shape[0], self.patches_hwc.shape[1]


@dataclass(frozen=True, eq=False)
class Reference:
    """An image with one object's mask and a label, as kept in a reference memory.

    Attributes:
        id: hexadecimal content hash of image and mask.
        label: the object's name.
        image_hwc: RGB uint8.
        mask_hw: bool, the object, same height and width as the image.
        features: of the whole image.
    """

    id: str
    label: str
    image_hwc: NDArray[np.uint8]
    mask_hw: BoolMask
    features: ImageFeatures

    def __post_init__(self) -> None:
        _check_image(self.image_hwc)
        if self.mask_hw.shape != self.image_hwc.shape[:2] or self.mask_hw.dtype != np.bool_:
            raise ValueError("a reference's mask is bool with the image's height and width")


@dataclass(frozen=True)
class Match:
    """How well one reference matches one image; see `tracker.memory.retrieval`.

    Attributes:
        reference_id, label: of the reference.
        global_similarity: cosine of the global features, -1 to 1.
        foreground: sparse similarity of the patches inside the mask, 0 to 1.
        background: the same for the patches outside it.
        similarity: 0.7 x foreground + 0.3 x background.
    """

    reference_id: str
    label: str
    global_similarity: float
    foreground: float
    background: float
    similarity: float


def _check_image(image_hwc: NDArray[np.uint8]) -> None:
    if image_hwc.ndim != 3 or image_hwc.shape[2] != 3 or image_hwc.dtype != np.uint8:
        raise ValueError("an image is a uint8 array of shape (height, width, 3)")


def _four_numbers(values: Any) -> Box:
    x1, y1, x2, y2 = (float(v) for v in values)
    return (x1, y1, x2, y2)


def _four_whole_numbers(values: Any) -> View:
    if any(v != int(v) for v in values):
        raise ValueError("a view has whole pixels")
    x1, y1, x2, y2 = (int(v) for v in values)
    return (x1, y1, x2, y2)
