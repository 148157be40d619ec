"""From pixels to square centimetres and quantities: how much rice is on the plate?

A YAML file says how large a pixel is and what a square centimetre of each label holds:

    scale: {px_per_cm: 21.5}            # or {reference: plate, diameter_cm: 26}
    labels:
      rice: {per_cm2: {kcal: 1.9, g: 1.5}}
      peas: {per_cm2: {kcal: 1.1}, scale: {px_per_cm: 20}}

A scale is a number of pixels, or an object of known size that is found on the same image: by its
area (`area_cm2`), its diameter if it is round (`diameter_cm`), or its longer side (`length_cm`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import pi, sqrt
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from tracker.errors import SettingsError
from tracker.masks import BoolMask

_SIZES = ("area_cm2", "diameter_cm", "length_cm")


@dataclass(frozen=True)
class Scale:
    """How large a pixel is.

    Attributes:
        px_per_cm: pixels per centimetre; None when an object tells.
        reference: the label of that object.
        size: which of its sizes is known: `area_cm2`, `diameter_cm` or `length_cm`.
        cm: that size, in centimetres or square centimetres.
    """

    px_per_cm: float | None = None
    reference: str | None = None
    size: str = ""
    cm: float = 0.0

    def on(self, objects: Sequence[tuple[str | None, BoolMask]]) -> float | None:
        """Pixels per centimetre on an image with these objects; the largest reference counts.

        None when the reference is not there.
        """
        if self.px_per_cm is not None:
            return self.px_per_cm
        masks = [mask_hw for label, mask_hw in objects if label == self.reference]
        if not masks:
            return None
        largest_hw = max(masks, key=np.count_nonzero)
        area_px = float(np.count_nonzero(largest_hw))
        if self.size == "length_cm":
            return longer_side(largest_hw) / self.cm
        area_cm2 = self.cm if self.size == "area_cm2" else pi * self.cm**2 / 4
        return sqrt(area_px / area_cm2)


@dataclass(frozen=True)
class LabelMeasure:
    """What is known of a label: quantities per square centimetre, and a scale of its own."""

    per_cm2: Mapping[str, float] = field(default_factory=dict)
    scale: Scale | None = None


@dataclass(frozen=True)
class Measured:
    """One object: its area, None without a scale, and its quantities by name.

    `counts` says whether it belongs to the sums; what lies there to measure by does not.
    """

    area_cm2: float | None
    quantities: Mapping[str, float]
    counts: bool = True


@dataclass(frozen=True)
class Measures:
    """A file of measures.

    Attributes:
        scale: for labels without their own; None if there is none.
        labels: by name.
    """

    scale: Scale | None
    labels: Mapping[str, LabelMeasure]

    @property
    def quantities(self) -> tuple[str, ...]:
        """The names of all quantities, in the order of the file."""
        return tuple(dict.fromkeys(q for label in self.labels.values() for q in label.per_cm2))

    @property
    def yardsticks(self) -> frozenset[str]:
        """Labels that are there to measure by, and are not listed themselves."""
        scales = (self.scale, *(label.scale for label in self.labels.values()))
        named = {scale.reference for scale in scales if scale and scale.reference}
        return frozenset(named - self.labels.keys())

    def measure(self, objects: Sequence[tuple[str | None, BoolMask]]) -> list[Measured]:
        """Measure the objects of one image, given as label and mask; in their order."""
        px_per_cm: dict[Scale | None, float | None] = {None: None}
        measured = []
        for label, mask_hw in objects:
            known = self.labels.get(label or "", LabelMeasure())
            scale = known.scale or self.scale
            if scale is not None and scale not in px_per_cm:
                px_per_cm[scale] = scale.on(objects)
            one = _measured(mask_hw, px_per_cm[scale], known.per_cm2)
            measured.append(replace(one, counts=label not in self.yardsticks))
        return measured

    def missing(self, labels: Sequence[str | None]) -> tuple[str, ...]:
        """The reference objects that an image with these labels would need and lacks."""
        scales = [(self.labels.get(n or "", LabelMeasure()).scale or self.scale) for n in labels]
        wanted = (scale.reference for scale in scales if scale and scale.reference)
        return tuple(dict.fromkeys(name for name in wanted if name and name not in labels))


def _measured(mask_hw: BoolMask, px_per_cm: float | None, per_cm2: Mapping[str, float]) -> Measured:
    if px_per_cm is None:
        return Measured(None, {})
    area_cm2 = float(np.count_nonzero(mask_hw)) / px_per_cm**2
    return Measured(area_cm2, {name: each * area_cm2 for name, each in per_cm2.items()})


def total(measured: Sequence[Measured]) -> Measured:
    """The sums of what counts. The area is that of the objects that have one; None if none has."""
    counted = [each for each in measured if each.counts]
    areas = [each.area_cm2 for each in counted if each.area_cm2 is not None]
    sums: dict[str, float] = {}
    for each in counted:
        for name, amount in each.quantities.items():
            sums[name] = sums.get(name, 0.0) + amount
    return Measured(sum(areas) if areas else None, sums)


def longer_side(mask_hw: BoolMask) -> float:
    """The longer side, in pixels, of the smallest rectangle (at any angle) around a mask."""
    rows = np.flatnonzero(mask_hw.any(axis=1))
    left = mask_hw[rows].argmax(axis=1)
    right = mask_hw.shape[1] - mask_hw[rows, ::-1].argmax(axis=1)
    # Pixels are squares: their corners count, not their centres.
    corners = [(x, rows + dy) for x in (left, right) for dy in (0, 1)]
    points_n2 = np.concatenate([np.stack(pair, axis=1) for pair in corners]).astype(np.float32)
    _, (width, height), _ = cv2.minAreaRect(cv2.convexHull(points_n2))
    return float(max(width, height))


def read_measures(path: str | Path) -> Measures:
    """Read a YAML file of measures.

    Raises:
        SettingsError: when it cannot be read or says something else; the message says where.
    """
    try:
        value = yaml.safe_load(Path(path).read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} is not YAML: {error}") from error
    try:
        _check_keys(value, ("scale", "labels"), "the file")
        labels = value.get("labels") or {}
        if not isinstance(labels, dict):
            raise ValueError("labels: expected a name per line, each with what is known of it")
        scale = _scale(value["scale"], "scale") if "scale" in value else None
        return Measures(scale, {str(k): _label(str(k), entry) for k, entry in labels.items()})
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{path}: {error}") from error


def _label(name: str, value: Any) -> LabelMeasure:
    _check_keys(value, ("per_cm2", "scale"), name)
    amounts = value.get("per_cm2") or {}
    if not isinstance(amounts, dict):
        raise ValueError(f"{name}, per_cm2: expected quantities by name, such as {{kcal: 1.9}}")
    per_cm2 = {str(k): _number(v, f"{name}, per_cm2, {k}") for k, v in amounts.items()}
    scale = _scale(value["scale"], f"{name}, scale") if "scale" in value else None
    return LabelMeasure(per_cm2, scale)


def _scale(value: Any, place: str) -> Scale:
    _check_keys(value, ("px_per_cm", "reference", *_SIZES), place)
    sizes = [name for name in _SIZES if name in value]
    if "px_per_cm" in value and len(value) == 1:
        return Scale(px_per_cm=_positive(value["px_per_cm"], f"{place}, px_per_cm"))
    if "reference" in value and len(sizes) == 1 and len(value) == 2:
        cm = _positive(value[sizes[0]], f"{place}, {sizes[0]}")
        return Scale(None, str(value["reference"]), sizes[0], cm)
    raise ValueError(
        f"{place}: give px_per_cm, or reference with one of {', '.join(_SIZES)}, nothing else"
    )


def _check_keys(value: Any, known: Sequence[str], place: str) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"{place}: expected keys {', '.join(known)}")
    if unknown := [key for key in value if key not in known]:
        raise ValueError(f"{place}: unknown key {unknown[0]!r}; known: {', '.join(known)}")


def _positive(value: Any, place: str) -> float:
    number = _number(value, place)
    if number <= 0:
        raise ValueError(f"{place}: {value} must be above 0")
    return number


def _number(value: Any, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise ValueError(f"{place}: {value!r} is not a number")
    return float(value)
