"""Makes outputs from the results of a set of images, with the formats that runs are exported to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.errors import SettingsError, VideoError
from tracker.output.export import FORMATS, Export, ExportInfo, ExportOptions, FrameMasks
from tracker.session.images.found import ImageResult
from tracker.session.images.image_files import ImageFile
from tracker.session.images.numbering import Numbering
from tracker.session.images.overlay import Overlays
from tracker.types import ObjectMask, VideoInfo
from tracker.video import read_image
from tracker.video.image_folder import IMAGE_RATE

IMAGE_FORMATS = (
    *("png", "png-per-object", "coco", "yolo", "yolo-detect", "voc", "labelme", "cutout"),
    "overlay",
)
"""Formats that know no time, and take images of different sizes."""


@dataclass(frozen=True)
class Done:
    """An image that was segmented, and its result, read when it is asked for."""

    image: ImageFile
    read: Callable[[], ImageResult]


def check_formats(names: Sequence[str]) -> None:
    """Raise SettingsError for a format that is unknown, or needs a video."""
    for name in names:
        if name not in IMAGE_FORMATS:
            known = ", ".join(IMAGE_FORMATS)
            raise SettingsError(f"--format {name}: one of {known}")


def write_outputs(
    done: Sequence[Done],
    numbering: Numbering,
    folder: Path,
    formats: Sequence[str],
    options: ExportOptions,
    on_image: Callable[[], None] = lambda: None,
    on_problem: Callable[[str], None] = lambda text: None,
) -> dict[str, Path]:
    """Write every format, from one pass over the images.

    Args:
        done: images and results, in order; at least one.
        numbering: of all of them.
        folder: where to; each format replaces what it wrote there before.
        formats: names in `IMAGE_FORMATS`.
        on_image: called after every image.
        on_problem: told what a format could not carry over as it was, in one line.

    Returns:
        What was written, by format.

    Raises:
        VideoError: when an image cannot be read again, or an output cannot be written.
    """
    info = _info(done, numbering)
    classes: dict[str, type[Export]] = {**FORMATS, Overlays.name: Overlays}
    try:
        with ExitStack() as stack:
            exports = [
                stack.enter_context(classes[name].start(info, folder, options)) for name in formats
            ]
            for index, each in enumerate(done):
                image_hwc = None
                if any(export.wants_image(index) for export in exports):
                    image_hwc = read_image(each.image.path)
                frame = _frame(index, each.read(), numbering)
                for export in exports:
                    export.write(frame, image_hwc)
                on_image()
    except OSError as error:
        raise VideoError(f"cannot write to {folder}: {error.strerror or error}") from error
    for export in exports:
        for problem in export.problems:
            on_problem(f"{export.name}: {problem}")
    return {export.name: export.target for export in exports}


def _info(done: Sequence[Done], numbering: Numbering) -> ExportInfo:
    first, folder = done[0].read(), done[0].image.path.resolve().parent
    video = VideoInfo(
        path=str(folder),
        width=first.width,
        height=first.height,
        frame_rate=IMAGE_RATE,
        time_base=1 / IMAGE_RATE,
        frame_count=len(done),
        stems=tuple(each.image.stem for each in done),
    )
    sources = tuple(each.image.path for each in done)
    return ExportInfo(video, numbering.labels or {1: ""}, tuple(range(len(done))), sources=sources)


def _frame(index: int, result: ImageResult, numbering: Numbering) -> FrameMasks:
    """An image without objects carries an invisible one, which tells formats its size."""
    pairs = zip(numbering.ids(result), result.objects, strict=True)
    masks = sorted((each.as_mask(i) for i, each in pairs), key=lambda mask: mask.object_id)
    if not masks:
        nothing_hw: NDArray[np.bool_] = np.zeros((result.height, result.width), np.bool_)
        masks = [ObjectMask(next(iter(numbering.labels), 1), nothing_hw, 0.0, 0.0)]
    return FrameMasks(index, index, tuple(masks))
