"""Runs made for tests, without any model: masks that formats find hard, and many of them.

The special objects are a ring (a hole), a pair (two parts), a corner (touches two borders) and an
unnamed one that is absent at the end. Frames paint their index, as in `tests.made_videos`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.made_videos import paint_index
from tracker.output.export import ExportInfo, FrameMasks
from tracker.session.identity import ModelIdentity, identify_video
from tracker.session.run_folder import RunFolder
from tracker.session.run_info import RunInfo
from tracker.session.run_writer import RunWriter
from tracker.settings import TrackSettings
from tracker.types import FrameResult, ObjectMask, Prompt, VideoInfo
from tracker.video import open_video

Mask = NDArray[np.bool_]

WIDTH, HEIGHT = 97, 55  # odd on purpose
FRAMES = tuple(range(3, 27, 4))
LABELS = {1: "ring", 2: "pair", 3: "corner", 7: ""}
PTS = 1001  # per frame of the source
TIME_BASE = Fraction(1, 30000)
CROWD = 300


def special_objects(
    place: int, last: int, width: int = WIDTH, height: int = HEIGHT
) -> tuple[ObjectMask, ...]:
    """The objects on the `place`-th of the exported frames; they do not overlap."""
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(rows - 20, columns - 30 - place)
    pair = np.zeros((height, width), bool)
    pair[40:52, 20 + place : 44 + place] = True
    pair[40:52, 47 + place : 60 + place] = True
    corner = np.zeros((height, width), bool)
    corner[: 9 + place, : 10 + place] = True
    fourth = np.zeros((height, width), bool)
    if place < last - 1:
        fourth[8:30, 60 + place : 77 + place] = True
        fourth[8, 60 + place] = False  # not every shape is a box
    doubtful = "doubtful" if place == 2 else None
    return (
        ObjectMask(1, (distance <= 13) & (distance > 5), 4.5, 0.9),
        ObjectMask(2, pair, 6.0, 0.8, verdict=doubtful),
        ObjectMask(3, corner, 5.0, 0.95),
        ObjectMask(7, fourth, 3.0 if fourth.any() else -3.0, 0.5),
    )


def crowd(place: int, width: int = WIDTH, height: int = HEIGHT) -> tuple[ObjectMask, ...]:
    """300 objects of 3 x 3 pixels; every hundredth is absent."""
    objects = []
    for n in range(CROWD):
        mask_hw = np.zeros((height, width), bool)
        top, left = 3 * (n // 25), 3 * (n % 25) + place
        mask_hw[top : top + 3, left : left + 3] = n % 100 > 0
        objects.append(ObjectMask(n + 1, mask_hw, 5.0, 0.7))
    return tuple(objects)


def made_frames(kind: str = "special") -> Iterator[tuple[FrameMasks, NDArray[np.uint8]]]:
    """Every frame of a made run, with its picture; `kind` is `special` or `crowd`."""
    for place, index in enumerate(FRAMES):
        objects = crowd(place) if kind == "crowd" else special_objects(place, len(FRAMES))
        yield FrameMasks(index, index * PTS, objects), paint_index(index, WIDTH, HEIGHT)


def made_info(kind: str = "special", **video: object) -> ExportInfo:
    """What formats are told of it; keywords replace fields of the video."""
    values = {
        "path": "/v/clip.mp4",
        "width": WIDTH,
        "height": HEIGHT,
        "frame_rate": Fraction(30000, PTS),
        "time_base": TIME_BASE,
        "frame_count": 30,
        **video,
    }
    labels = {n + 1: f"kind {n % 3}" for n in range(CROWD)} if kind == "crowd" else LABELS
    return ExportInfo(VideoInfo(**values), labels, FRAMES, stride=4)


def write_run(
    folder: Path, video: Path, frames: Sequence[int], kind: str = "special", **settings: object
) -> RunFolder:
    """A run folder over some frames of a video that exists, with masks of its size."""
    with open_video(video) as reader:
        info = reader.info
        labels = made_info(kind).labels
        run_info = RunInfo(
            video=info,
            identity=identify_video(video),
            settings=TrackSettings(**{"end": frames[-1] + 1, **settings}),
            models={"sam2": ModelIdentity("demo", "cd" * 32, 256)},
            labels={i: label or None for i, label in labels.items()},
            versions={"track": "0.1.0"},
            started="2026-01-02T03:04:05+00:00",
        )
        prompts = [Prompt(frames[0], i, box_xyxy=(1, 2, 9, 9)) for i in labels]
        with RunWriter(folder, run_info, prompts) as writer:
            for place, index in enumerate(frames):
                size = info.width, info.height
                objects = (
                    crowd(place, *size)
                    if kind == "crowd"
                    else special_objects(place, len(frames), *size)
                )
                writer.write(FrameResult(reader.read(index), objects))
    return RunFolder(folder)


def masks_of(frame: FrameMasks) -> dict[int, Mask]:
    """The masks that have a pixel."""
    return {mask.object_id: mask.mask_hw for mask in frame.visible}
