"""Boxes from a detector: from the files that it wrote, or asked for by words.

Files hold a list in JSON, COCO's JSON, or YOLO's text:

    detections.json   [{"image": "a.jpg", "box": [x1, y1, x2, y2], "label": "dog", "score": 0.9}, …]
                      with `"frame": 12` in place of the image where a video is meant
    COCO              {"images": […], "categories": […], "annotations": [{"bbox": [x, y, w, h]}, …]}
    YOLO              a folder with a.txt per image, or that file: `class cx cy w h [score]`, as
                      shares of the image; names from `classes.txt` or `data.yaml`, if there

Images are known by their names without folder and suffix, a frame by its number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from tracker.errors import PromptError
from tracker.masks import Box

_KEYS = {"image", "frame", "box", "label", "score"}


@dataclass(frozen=True)
class DetectedBox:
    """A box, what is in it, and how sure that is.

    Attributes:
        xyxy: in pixels.
        label: None if the detector gave no name.
        score: 0 to 1.
    """

    xyxy: Box
    label: str | None
    score: float


@dataclass(frozen=True)
class BoxFile:
    """The boxes of a file, by image.

    Attributes:
        path: of the file or folder.
        by_stem: image name to boxes, in the order of the file.
        relative: whether coordinates are shares of the image instead of pixels.
    """

    path: Path
    by_stem: Mapping[str, Sequence[DetectedBox]]
    relative: bool = False

    def of(self, stem: str, image_hwc: NDArray[np.uint8]) -> list[DetectedBox]:
        """The boxes of the image with this name, in pixels, clipped to it.

        Raises:
            PromptError: for a box that is empty, or not on the image.
        """
        size_hw = image_hwc.shape[:2]
        return [self._clipped(box, stem, *size_hw) for box in self.by_stem.get(stem, ())]

    def _clipped(self, box: DetectedBox, stem: str, height: int, width: int) -> DetectedBox:
        x, y = (width, height) if self.relative else (1, 1)
        x1, y1, x2, y2 = box.xyxy
        left, right = (min(max(value * x, 0.0), float(width)) for value in (x1, x2))
        top, bottom = (min(max(value * y, 0.0), float(height)) for value in (y1, y2))
        if left >= right or top >= bottom:
            corners = ",".join(f"{value:g}" for value in box.xyxy)
            raise PromptError(
                f"{self.path}: the box {corners} of {stem} is empty or not on the image, which is "
                f"{width}x{height} pixels"
            )
        return DetectedBox((left, top, right, bottom), box.label, box.score)


def boxes_by_text(
    text: str, detector: str, device: str, least: float
) -> Callable[[NDArray[np.uint8]], list[DetectedBox]]:
    """What a zero-shot detector finds on an RGB uint8 image for a text, from a score on.

    Args:
        detector: its name in the model registry, or a folder.

    Raises:
        PromptError: for a text without phrases.
        ModelError: when the detector cannot be loaded.
    """
    from tracker.models.detector import load_detector, phrases  # imports much of transformers

    phrases(text)  # a text without any is refused before the model is loaded
    model = load_detector(detector, device)

    def boxes_of(image_hwc: NDArray[np.uint8]) -> list[DetectedBox]:
        found = model.detect(image_hwc, text, least)
        return [DetectedBox(each.xyxy, each.label, each.score) for each in found]

    return boxes_of


def read_boxes(path: Path) -> BoxFile:
    """Read a file of boxes, its form told by its content.

    Raises:
        PromptError: when there is no such file, or it has none of the forms above; the message
            says where.
    """
    try:
        if path.is_dir() or path.suffix.lower() == ".txt":
            return _read_yolo(path)
        value = json.loads(path.read_text("utf-8"))
        if isinstance(value, list):
            return BoxFile(path, _gathered(_from_list(value)))
        return BoxFile(path, _gathered(_from_coco(value)))
    except OSError as error:
        raise PromptError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise PromptError(f"{path} is not a text file") from error
    except json.JSONDecodeError as error:
        raise PromptError(f"{path} is not JSON: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, yaml.YAMLError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise PromptError(f"{path}: {what}; see docs/segment.md for what it may hold") from error


def _from_list(entries: list[Any]) -> Iterator[tuple[str, DetectedBox]]:
    for number, entry in enumerate(entries):
        if unknown := sorted(entry.keys() - _KEYS):
            raise ValueError(f"entry {number} has the unknown key {unknown[0]!r}")
        label = entry.get("label")
        box = _box(entry["box"], None if label is None else str(label), entry.get("score", 1.0))
        yield str(entry["frame"]) if "frame" in entry else Path(entry["image"]).stem, box


def _from_coco(value: dict[str, Any]) -> Iterator[tuple[str, DetectedBox]]:
    stems = {image["id"]: Path(image["file_name"]).stem for image in value["images"]}
    names = {category["id"]: str(category["name"]) for category in value["categories"]}
    for entry in value["annotations"]:
        x, y, width, height = entry["bbox"]
        corners = (x, y, x + width, y + height)
        box = _box(corners, names[entry["category_id"]], entry.get("score", 1.0))
        yield stems[entry["image_id"]], box


def _read_yolo(path: Path) -> BoxFile:
    folder = path if path.is_dir() else path.parent
    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    names = _yolo_names(folder)
    found = _gathered(
        (file.stem, box)
        for file in files
        if file.name != "classes.txt"
        for box in _yolo_boxes(file, names)
    )
    if not found:
        raise ValueError("no file in it holds a box")
    return BoxFile(path, found, relative=True)


def _yolo_boxes(file: Path, names: Mapping[int, str]) -> Iterator[DetectedBox]:
    for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
        parts = line.split()
        if not parts:
            continue
        if len(parts) not in (5, 6):
            raise ValueError(
                f"{file.name}, line {number}: expected class cx cy w h [score], not "
                f"{len(parts)} values"
            )
        kind, (cx, cy, width, height) = int(parts[0]), (float(part) for part in parts[1:5])
        corners = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
        yield _box(corners, names.get(kind, str(kind)), parts[5] if len(parts) == 6 else 1.0)


def _yolo_names(folder: Path) -> dict[int, str]:
    """Class names from `classes.txt` or `data.yaml`, beside the labels or up to two folders up."""
    for place in (folder, *folder.resolve().parents[:2]):
        if (place / "classes.txt").is_file():
            lines = (place / "classes.txt").read_text("utf-8").splitlines()
            return {number: line.strip() for number, line in enumerate(lines) if line.strip()}
        if (place / "data.yaml").is_file():
            names = yaml.safe_load((place / "data.yaml").read_text("utf-8"))["names"]
            numbered = names.items() if isinstance(names, dict) else enumerate(names)
            return {int(number): str(name) for number, name in numbered}
    return {}


def _box(corners: Any, label: str | None, score: Any) -> DetectedBox:
    x1, y1, x2, y2 = (float(value) for value in corners)
    if not np.isfinite((x1, y1, x2, y2)).all():
        raise ValueError("a box has coordinates that are no numbers")
    if not 0 <= float(score) <= 1:
        raise ValueError(f"the score {score} is not between 0 and 1")
    return DetectedBox((x1, y1, x2, y2), label, float(score))


def _gathered(pairs: Iterator[tuple[str, DetectedBox]]) -> dict[str, list[DetectedBox]]:
    found: dict[str, list[DetectedBox]] = {}
    for stem, box in pairs:
        found.setdefault(stem, []).append(box)
    return found
