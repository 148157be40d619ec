"""The tracks of polygons and masks in CVAT's XML for videos."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from tracker.errors import InputError
from tracker.masks import BoolMask
from tracker.output.export.contract import UNNAMED
from tracker.session.exchange.annotations import Annotations, decode_segmentation
from tracker.types import VideoInfo

_OTHER_SHAPES = {"box", "ellipse", "polyline", "points", "cuboid", "skeleton"}


@dataclass
class _Track:
    """Frames and shapes of one object; a shape is None where it is outside."""

    label: str
    shapes: dict[int, dict[str, str] | None] = field(default_factory=dict)

    def at(self, frame: int, ordered: list[int]) -> dict[str, str] | None:
        """The shape that CVAT shows: that of the last keyframe up to here."""
        place = bisect_right(ordered, frame)
        return self.shapes[ordered[place - 1]] if place else None


class CvatTracks(Annotations):
    """`annotations.xml` of CVAT for videos 1.1, or the folder that holds it.

    Frames are those that its task has, by first, last and step, else those that have a shape. A
    shape holds until the next one of its track; CVAT itself writes every frame. It writes each mask
    as a track of its own, so tracks of one group are one object.
    """

    def __init__(self, path: Path, video: VideoInfo, first: int) -> None:
        super().__init__()
        self._path = path / "annotations.xml" if path.is_dir() else path
        self._size = video.height, video.width
        tracks: dict[int, _Track] = {}
        groups: dict[str, _Track] = {}
        task: tuple[int, ...] = ()
        try:
            for _, element in ElementTree.iterparse(self._path):
                if element.tag == "meta":
                    task = _task_frames(element)
                elif element.tag == "track":
                    self._add_track(element, tracks, groups)
                    element.clear()
        except (OSError, ElementTree.ParseError, KeyError, ValueError) as error:
            raise InputError(f"{self._path} is not CVAT's XML for videos: {error!r}") from error
        if not tracks:
            raise InputError(f"{self._path} has no track; export it as CVAT for video 1.1")
        shift = 1 if 0 in tracks else 0  # object ids count from 1
        self._tracks = {number + shift: track for number, track in sorted(tracks.items())}
        self._ordered = {i: sorted(track.shapes) for i, track in self._tracks.items()}
        shown = {frame for track in tracks.values() for frame in track.shapes}
        self.frames = tuple(frame - first for frame in task or sorted(shown))
        self._first = first
        labels = {i: track.label for i, track in self._tracks.items()}
        self.labels = {i: None if label == UNNAMED else label for i, label in labels.items()}

    def read(self, frame: int) -> Mapping[int, BoolMask]:
        masks = {}
        for object_id, track in self._tracks.items():
            shape = track.at(frame + self._first, self._ordered[object_id])
            if shape is not None:
                try:
                    masks[object_id] = _mask(shape, *self._size)
                except (KeyError, ValueError, TypeError) as error:
                    what = f"{self._path}, track {object_id}, frame {frame}"
                    raise InputError(f"{what}: damaged mask: {error}") from error
        return masks

    def _add_track(
        self, element: ElementTree.Element, tracks: dict[int, _Track], groups: dict[str, _Track]
    ) -> None:
        number, group = int(element.attrib["id"]), element.attrib.get("group_id", "0")
        track = groups.get(group)
        if track is None:
            track = tracks[number] = _Track(element.attrib["label"])
            if group != "0":
                groups[group] = track
        for shape in element:
            if shape.tag in _OTHER_SHAPES:
                raise InputError(
                    f"{self._path}, track {element.attrib['id']}: a {shape.tag} is no mask; only "
                    "masks and polygons can be imported"
                )
            frame = int(shape.attrib["frame"])
            if shape.attrib.get("outside") == "1":
                track.shapes.setdefault(frame, None)
            else:
                track.shapes[frame] = dict(shape.attrib)


def _task_frames(meta: ElementTree.Element) -> tuple[int, ...]:
    """The frames of the task, by their numbers in the video; empty if it does not say."""
    start, stop = meta.findtext(".//start_frame"), meta.findtext(".//stop_frame")
    if not start or not stop:
        return ()
    step = re.search(r"step\s*=\s*([0-9]+)", meta.findtext(".//frame_filter") or "")
    return tuple(range(int(start), int(stop) + 1, int(step.group(1)) if step else 1))


def _mask(shape: dict[str, str], height: int, width: int) -> BoolMask:
    """A mask from run lengths in its box, row by row, background first; or from a polygon."""
    if "points" in shape:
        pairs = [pair.split(",") for pair in shape["points"].split(";")]
        return decode_segmentation([[float(v) for pair in pairs for v in pair]], height, width)
    runs = [int(run) for run in shape["rle"].split(",")]
    left, top = int(shape["left"]), int(shape["top"])
    rows, columns = int(shape["height"]), int(shape["width"])
    if min(left, top) < 0 or left + columns > width or top + rows > height:
        raise ValueError("it lies outside the video")
    if sum(runs) != rows * columns:
        raise ValueError(f"{sum(runs)} pixels in a box of {columns}x{rows}")
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    mask_hw = np.zeros((height, width), dtype=bool)
    mask_hw[top : top + rows, left : left + columns] = pixels.reshape(rows, columns)
    return mask_hw
