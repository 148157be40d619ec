"""Makes a run of masks that others have drawn, so that they can be refined, scored, remembered."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np

from tracker.errors import InputError, RunError
from tracker.masks import BoolMask
from tracker.session.exchange.annotations import (
    Annotations,
    CocoTracks,
    DavisSequence,
    IndexPngs,
    MotsText,
    check_size,
)
from tracker.session.exchange.cvat_tracks import CvatTracks
from tracker.session.exchange.exporting import export_run
from tracker.session.identity import IMPORTED, identify_video, versions
from tracker.session.progress import Progress
from tracker.session.run_folder import RunFolder
from tracker.session.run_info import RunInfo
from tracker.session.run_writer import RunWriter, check_target
from tracker.settings import TrackSettings
from tracker.types import FrameResult, ObjectMask, Prompt, VideoInfo
from tracker.video import VideoReader, open_video

IMPORTERS: dict[str, Callable[[Path, VideoInfo, int], Annotations]] = {
    "png": IndexPngs,
    "davis": DavisSequence,
    "coco": CocoTracks,
    "mots": MotsText,
    "cvat": CvatTracks,
}
_FIRST = {"mots": MotsText.first}
_OUTPUTS = ("png", "csv")

# What was drawn by hand is held to be right: as sure as SAM2 ever is.
_SCORE, _IOU = 10.0, 1.0


def import_run(
    format: str,
    path: str | Path,
    video: str | Path,
    output: str | Path | None = None,
    *,
    first: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> RunFolder:
    """Make a run folder of annotations. They are checked in whole before it is touched.

    On every annotated frame from its first one on, an object has a mask, empty where it is not
    annotated. Its first mask becomes its prompt.

    Args:
        format: one of `IMPORTERS`.
        path: the file or folder of the annotations.
        video: that they belong to, a file or a folder of images.
        output: the run folder; `runs/<name of the video>` by default.
        first: the number of the first frame in the annotations; None for the format's own.
        overwrite: take the place of a run that is there.

    Raises:
        InputError: when the annotations cannot be read or do not fit the video.
        RunError: for an unknown format, or a run folder that cannot be written to.
        VideoError: when the video cannot be read.
    """
    if format not in IMPORTERS:
        raise RunError(f"unknown format {format!r}; known: {', '.join(IMPORTERS)}")
    progress, path, video = progress or Progress(), Path(path), Path(video)
    folder = Path(output) if output else Path("runs") / _name(video)
    check_target(folder, overwrite)
    for source in (video, path):
        if source.resolve().is_relative_to(folder.resolve()):
            raise RunError(f"{source} lies in the run folder {folder}; name another --output")
    with open_video(video) as reader:
        number = first if first is not None else _FIRST.get(format, 0)
        annotations = IMPORTERS[format](path, reader.info, number)
        prompts = _first_masks(annotations, reader.info, path, progress)
        info = _describe(annotations, prompts, reader)
        with RunWriter(folder, info, prompts, overwrite) as writer:
            progress.stage("importing", len(annotations.frames))
            for result in _results(annotations, reader):
                writer.write(result)
                progress.frame()
            writer.flush()
            export_run(RunFolder(folder), _OUTPUTS, overwrite=True)
    return RunFolder(folder)


def _name(video: Path) -> str:
    path = video.resolve()
    return path.name if path.is_dir() else path.stem


def _first_masks(
    annotations: Annotations, video: VideoInfo, path: Path, progress: Progress
) -> tuple[Prompt, ...]:
    """A prompt per object, ids ascending; every mask is looked at."""
    prompts: dict[int, Prompt] = {}
    progress.stage("checking", len(annotations.frames))
    for frame in annotations.frames:
        for object_id, mask_hw in annotations.read(frame).items():
            check_size(mask_hw, f"{path}, frame {frame},", video)
            if object_id not in prompts and mask_hw.any():
                label = annotations.labels.get(object_id)
                prompts[object_id] = Prompt(frame, object_id, mask_hw=mask_hw, label=label)
        progress.frame()
    if not prompts:
        raise InputError(f"{path} marks no pixel of any object")
    return tuple(prompts[object_id] for object_id in sorted(prompts))


def _describe(
    annotations: Annotations, prompts: tuple[Prompt, ...], reader: VideoReader
) -> RunInfo:
    frames = annotations.frames
    stride = math.gcd(*(b - a for a, b in pairwise(frames))) or 1
    return RunInfo(
        video=reader.info,
        identity=identify_video(reader.info.path),
        settings=TrackSettings(start=frames[0], end=frames[-1] + 1, stride=stride, video=False),
        models={"sam2": IMPORTED},
        labels={prompt.object_id: prompt.label for prompt in prompts},
        versions=versions(),
        started=datetime.now().astimezone().isoformat(timespec="seconds"),
    )


def _results(annotations: Annotations, reader: VideoReader) -> Iterator[FrameResult]:
    """Every annotated frame; objects from the first frame on that shows them."""
    known: set[int] = set()
    for index in annotations.frames:
        try:
            frame = reader.read(index)
        except IndexError as error:
            raise InputError(f"frame {index} is annotated, but {error}") from error
        masks = annotations.read(index)
        known |= {object_id for object_id, mask_hw in masks.items() if mask_hw.any()}
        yield FrameResult(frame, _objects(masks, known, frame.image_hwc.shape[:2]))


def _objects(
    masks: Mapping[int, BoolMask], known: set[int], size_hw: tuple[int, ...]
) -> tuple[ObjectMask, ...]:
    nothing_hw = np.zeros(size_hw, dtype=bool)
    pairs = ((i, masks.get(i, nothing_hw)) for i in sorted(known))
    return tuple(
        ObjectMask(i, mask_hw, _SCORE if mask_hw.any() else -_SCORE, _IOU) for i, mask_hw in pairs
    )
