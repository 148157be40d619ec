"""Masks that others have drawn, read from the formats that `track import` takes.

Each reader knows which frames of the video are annotated and gives the masks of one frame at a
time. Nothing but run-length codes is kept in memory.
"""

from __future__ import annotations

import csv
import json
import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from tracker.errors import InputError
from tracker.masks import BoolMask, decode_rle, from_index_mask
from tracker.output.export.contract import UNNAMED, ExportInfo
from tracker.output.export.mot import OBJECTS_PER_CLASS
from tracker.types import VideoInfo
from tracker.video import read_index_mask

_IGNORED = 10 * OBJECTS_PER_CLASS  # regions that MOTS leaves open


class Annotations(ABC):
    """The masks of one video.

    Attributes:
        first: the number that the format gives to the first frame, unless the user says otherwise.
        frames: indices of the annotated frames in the video, ascending.
        labels: object id to name, where the format has names.
    """

    first = 0

    def __init__(self) -> None:
        self.frames: tuple[int, ...] = ()
        self.labels: dict[int, str | None] = {}

    @abstractmethod
    def read(self, frame: int) -> Mapping[int, BoolMask]:
        """Object id to mask on an annotated frame. Raises InputError when it is damaged."""


class IndexPngs(Annotations):
    """A folder of index PNGs, named by the numbers of the frames or by the images of the video."""

    def __init__(self, path: Path, video: VideoInfo, first: int) -> None:
        super().__init__()
        if not path.is_dir():
            raise InputError(f"{path} is not a folder of masks")
        files = sorted(path.glob("*.png"))
        if not files:
            raise InputError(f"{path} holds no PNG")
        self._files = {frame_of(file.stem, video, first, file): file for file in files}
        self.frames = tuple(sorted(self._files))
        # 0 and 255 alone are a binary mask, unless other masks show that the values are ids.
        self._literal = any(self._has_ids(file) for file in files)

    def read(self, frame: int) -> Mapping[int, BoolMask]:
        return from_index_mask(read_index_mask(self._files[frame], literal=self._literal))

    @staticmethod
    def _has_ids(file: Path) -> bool:
        index_hw = read_index_mask(file, literal=True)
        return not np.isin(index_hw, (0, np.iinfo(index_hw.dtype).max)).all()


class DavisSequence(IndexPngs):
    """A sequence of a DAVIS folder, or the folder of its masks."""

    def __init__(self, path: Path, video: VideoInfo, first: int) -> None:
        super().__init__(_davis_masks(path, video), video, first)


class CocoTracks(Annotations):
    """COCO's instances JSON whose annotations have a `track_id`."""

    def __init__(self, path: Path, video: VideoInfo, first: int) -> None:
        super().__init__()
        self._path = path
        self._by_frame: dict[int, list[dict[str, Any]]] = {}
        found = sorted((path / "annotations").glob("instances*.json")) if path.is_dir() else [path]
        if not found:
            raise InputError(f"{path} holds no annotations/instances*.json; name the JSON file")
        for file in found:
            try:
                self._add(file, json.loads(file.read_text("utf-8")), video, first)
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
                raise InputError(f"{file} is not COCO's instances JSON: {what}") from error
        self.frames = tuple(sorted(self._by_frame))

    def _add(self, file: Path, document: dict[str, Any], video: VideoInfo, first: int) -> None:
        if not isinstance(document, dict):
            raise ValueError("it holds no object with images, categories and annotations")
        if len(document.get("videos", ())) > 1:
            raise InputError(f"{file} holds several videos; split it, one file per video")
        names = {entry["id"]: entry["name"] for entry in document["categories"]}
        frames = {}
        for image in document["images"]:
            frame = image.get("frame_index")
            if frame is None:
                frame = frame_of(Path(image["file_name"]).stem, video, first, file)
            frames[image["id"]] = frame
            size_wh = (image["width"], image["height"])
            self._by_frame[frame] = []
            if size_wh != (video.width, video.height):
                raise InputError(_wrong_size(f"{file}, {image['file_name']}", size_wh, video))
        for entry in document["annotations"]:
            if entry.get("track_id") is None:
                raise InputError(
                    f"{file}, annotation {entry['id']}: without a track_id nobody knows which "
                    "annotations are one object"
                )
            name = names[entry["category_id"]]
            self.labels[int(entry["track_id"])] = None if name == UNNAMED else name
            self._by_frame[frames[entry["image_id"]]].append(entry)
        self._size = video.height, video.width

    def read(self, frame: int) -> Mapping[int, BoolMask]:
        masks: dict[int, BoolMask] = {}
        for entry in self._by_frame[frame]:
            track_id = int(entry["track_id"])
            try:
                mask_hw = decode_segmentation(entry["segmentation"], *self._size)
                masks[track_id] = mask_hw | masks.get(track_id, np.False_)
            except (ValueError, TypeError, KeyError) as error:
                raise InputError(f"{self._path}, annotation {entry['id']}: {error}") from error
        return masks


class MotsText(Annotations):
    """`gt.txt` of MOTS, or the folder of its sequence; frames count from 1.

    A `frames.csv` of `track export` beside it tells which frames of the video these are.
    """

    first = 1

    def __init__(self, path: Path, video: VideoInfo, first: int) -> None:
        super().__init__()
        self._path = _mots_text(path, video)
        folder = self._path.parent.parent
        numbers = _numbered_frames(folder / "frames.csv")
        self._by_frame: dict[int, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        self._by_frame.update({frame: [] for frame in numbers.values()})
        classes: dict[int, int] = {}
        try:
            for line in self._path.read_text("utf-8").splitlines():
                number, track_id, class_id, height, width, counts = line.split()
                if int(track_id) != _IGNORED:
                    frame = numbers.get(int(number), int(number) - first)
                    rle = {"size": [int(height), int(width)], "counts": counts}
                    self._by_frame[frame].append((int(track_id), rle))
                    classes[int(track_id)] = int(class_id)
        except (OSError, ValueError) as error:
            raise InputError(f"{self._path} is not a MOTS text: {error}") from error
        self.frames = tuple(sorted(self._by_frame))
        self._ids = _short_ids(classes)
        self.labels = _mots_labels(folder / "labels.txt", classes, self._ids)

    def read(self, frame: int) -> Mapping[int, BoolMask]:
        try:
            return {self._ids[i]: decode_rle(rle) for i, rle in self._by_frame[frame]}
        except ValueError as error:
            raise InputError(f"{self._path}, frame {frame}: {error}") from error


def frame_of(stem: str, video: VideoInfo, first: int, file: Path) -> int:
    """The index of the frame that a file name means.

    Raises:
        InputError: when it is no image of the video and does not end in a number.
    """
    if video.stems and stem in video.stems:
        return video.stems.index(stem)
    number = re.search(r"[0-9]+$", stem)
    if number is None or int(number.group()) < first:
        raise InputError(
            f"{file}: {stem!r} names no frame of {video.path}; frames are named by their number, "
            f"from {first}, or as the images of the video"
        )
    return int(number.group()) - first


def decode_segmentation(segmentation: Any, height: int, width: int) -> BoolMask:
    """COCO's polygons, or its run-length code, compressed or not, as a mask.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(segmentation, list):
        if not segmentation:
            return np.zeros((height, width), dtype=bool)
        parts = coco_mask.frPyObjects(segmentation, height, width)
        return np.asarray(coco_mask.decode(coco_mask.merge(parts)), dtype=bool)
    if isinstance(segmentation["counts"], list):
        segmentation = coco_mask.frPyObjects(segmentation, height, width)
    return decode_rle(segmentation)


def _davis_masks(path: Path, video: VideoInfo) -> Path:
    """The folder of masks: the path itself, or that of the video in a DAVIS folder."""
    folders = sorted(p for p in (path / "Annotations").glob("*/*") if p.is_dir())
    if not (path / "Annotations").is_dir():
        return path
    name = _sequence(video)
    named = [folder for folder in folders if folder.name == name] or folders
    if len(named) != 1:
        known = ", ".join(sorted({folder.name for folder in folders})) or "none"
        raise InputError(f"{path} has no one sequence {name!r} but {known}; name its folder")
    return named[0]


def _mots_text(path: Path, video: VideoInfo) -> Path:
    if not path.is_dir():
        return path
    choices = [path / "gt" / "gt.txt", path / _sequence(video) / "gt" / "gt.txt"]
    for choice in (*choices, *sorted(path.glob("*/gt/gt.txt"))[:1]):
        if choice.is_file():
            return choice
    raise InputError(f"{path} holds no gt/gt.txt; name the text file")


def _sequence(video: VideoInfo) -> str:
    return ExportInfo(video, {}, ()).sequence


def _numbered_frames(path: Path) -> dict[int, int]:
    """Number to frame index; empty when the table is not there."""
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {int(row["number"]): int(row["frame"]) for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a table of frames: {error!r}") from error


def _short_ids(track_ids: Iterable[int]) -> dict[int, int]:
    """MOTS ids without their class, if they stay different."""
    short = {track_id: track_id % OBJECTS_PER_CLASS for track_id in track_ids}
    distinct = len(set(short.values())) == len(short) and 0 not in short.values()
    return short if distinct else {track_id: track_id for track_id in short}


def _mots_labels(
    path: Path, classes: Mapping[int, int], ids: Mapping[int, int]
) -> dict[int, str | None]:
    names = path.read_text("utf-8").splitlines() if path.is_file() else []
    known = {n: name for n, name in enumerate(names, start=1) if name != UNNAMED}
    return {ids[track_id]: known.get(class_id) for track_id, class_id in classes.items()}


def _wrong_size(what: str, size_wh: tuple[int, int], video: VideoInfo) -> str:
    width, height = size_wh
    return f"{what} is {width}x{height} pixels but {video.path} is {video.width}x{video.height}"


def check_size(mask_hw: NDArray[Any], what: str, video: VideoInfo) -> None:
    """Raise InputError unless a mask has the size of the video."""
    if mask_hw.shape != (video.height, video.width):
        raise InputError(_wrong_size(what, (mask_hw.shape[1], mask_hw.shape[0]), video))
