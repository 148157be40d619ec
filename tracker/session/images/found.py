"""What was found on one image, and how sure that is."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from math import log
from typing import Any

import numpy as np

from tracker.errors import RunError
from tracker.masks import BoolMask, decode_rle, encode_rle
from tracker.types import ObjectMask, PromptSource

_SUREST_LOGIT = 20.0  # e^-20: a presence of 1 as a logit


@dataclass(frozen=True, eq=False)
class FoundObject:
    """One object on one image.

    Attributes:
        label: its name, None if unknown.
        mask_hw: bool at the image's resolution, with at least one pixel.
        score: how sure it is that this is the object, 0 to 1: the decision score of the memory, a
            detector's score; 1 for what a user has shown.
        predicted_iou: the decoder's own estimate of the mask's IoU, 0 to 1.
        source: where its prompt came from.
        object_id: the number that the user gave it, else None.
        reference_id: the reference that it was found with, if any.
    """

    label: str | None
    mask_hw: BoolMask = field(repr=False)
    score: float
    predicted_iou: float
    source: PromptSource
    object_id: int | None = None
    reference_id: str | None = None

    @property
    def area_px(self) -> int:
        return int(np.count_nonzero(self.mask_hw))

    def as_mask(self, object_id: int) -> ObjectMask:
        """As the outputs take it: its confidence is score times predicted IoU."""
        share = min(max(self.score, 1e-9), 1.0)
        logit = _SUREST_LOGIT if share == 1 else log(share / (1 - share))
        return ObjectMask(object_id, self.mask_hw, min(logit, _SUREST_LOGIT), self.predicted_iou)

    def to_json(self) -> dict[str, Any]:
        extras = {"object": self.object_id, "reference": self.reference_id}
        return {
            "label": self.label,
            "score": round(self.score, 6),
            "iou": round(self.predicted_iou, 6),
            "source": self.source,
            **{key: value for key, value in extras.items() if value is not None},
            "rle": encode_rle(self.mask_hw),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> FoundObject:
        return cls(
            label=value["label"],
            mask_hw=decode_rle(value["rle"]),
            score=value["score"],
            predicted_iou=value["iou"],
            source=value["source"],
            object_id=value.get("object"),
            reference_id=value.get("reference"),
        )


@dataclass(frozen=True)
class Doubt:
    """Why a person should look at an image.

    Attributes:
        reason: in words.
        label: the object's name, None for the image as a whole.
        score: what was doubted, 0 to 1, None if it has no number.
        threshold: what it was compared with.
    """

    reason: str
    label: str | None = None
    score: float | None = None
    threshold: float | None = None


@dataclass(frozen=True, eq=False)
class ImageResult:
    """One image, done.

    Attributes:
        stem: of its file name.
        sha256: of the file, to notice that it has changed.
        height, width: in pixels, upright.
        objects: in the order they were found.
        doubts: worst first.
    """

    stem: str
    sha256: str
    height: int
    width: int
    objects: tuple[FoundObject, ...]
    doubts: tuple[Doubt, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "image": self.stem,
            "sha256": self.sha256,
            "size": [self.width, self.height],
            "objects": [found.to_json() for found in self.objects],
            "doubts": [asdict(doubt) for doubt in self.doubts],
        }

    @classmethod
    def from_json(cls, value: Any) -> ImageResult:
        """Inverse of `to_json`. Raises RunError on anything else."""
        try:
            width, height = value["size"]
            return cls(
                stem=value["image"],
                sha256=value["sha256"],
                height=height,
                width=width,
                objects=tuple(FoundObject.from_json(entry) for entry in value["objects"]),
                doubts=tuple(Doubt(**entry) for entry in value["doubts"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"malformed result of an image: {error!r}") from error
