"""Makes outputs from a run folder: one pass over its frames feeds every format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.errors import RunError, VideoError
from tracker.output.export import FORMATS, Export, ExportOptions, Selection
from tracker.output.export.contract import FrameMasks
from tracker.session.identity import identify_video
from tracker.session.run_folder import RunFolder
from tracker.video import VideoReader, open_video
from tracker.video.pipeline import WriteBehind


@dataclass(frozen=True)
class Output:
    """Something that was made from a run.

    Attributes:
        name: of its format.
        path: a file or a folder.
        problems: what could not be carried over as it was.
    """

    name: str
    path: Path
    problems: tuple[str, ...]


def export_run(
    run: RunFolder,
    formats: Sequence[str],
    folder: str | Path | None = None,
    options: ExportOptions | None = None,
    *,
    overwrite: bool = False,
    on_start: Callable[[int], None] = lambda frames: None,
    on_frame: Callable[[], None] = lambda: None,
) -> tuple[Output, ...]:
    """Write a run in several formats.

    Args:
        run: whose frames are exported; the video is decoded again where a format wants images.
        formats: names in `tracker.output.export.FORMATS`.
        folder: where to; the run's own folder by default. It is made if it is not there.
        options: which frames and objects, and how; the defaults take all.
        overwrite: take the place of outputs that are there.
        on_start: called once, with the number of frames that will be written.
        on_frame: called after every frame.

    Returns:
        What was made, in the order of `formats`.

    Raises:
        RunError: for an unknown format, an output that is there already, a damaged run, or a video
            that has changed since.
        SettingsError: for options that the run cannot meet.
        VideoError: when the video cannot be read again, or an output cannot be written.
    """
    formats = tuple(dict.fromkeys(formats))
    if unknown := [name for name in formats if name not in FORMATS]:
        raise RunError(f"unknown format {unknown[0]!r}; known: {', '.join(FORMATS)}")
    folder = Path(folder) if folder else run.path
    for name in () if overwrite else formats:
        _check_absent(folder / FORMATS[name].file_name)
    options = options or ExportOptions()
    selection = Selection(run.export_info(), run.frames, options)
    on_start(len(selection.info.frames))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            exports = [
                stack.enter_context(FORMATS[name].start(selection.info, folder, options))
                for name in formats
            ]
            _feed(exports, selection, run, on_frame)
    except OSError as error:
        raise VideoError(f"cannot write to {folder}: {error.strerror or error}") from error
    except IndexError as error:
        raise VideoError(f"{error}; the video has changed since it was tracked") from error
    return tuple(Output(export.name, export.target, export.problems) for export in exports)


def _check_absent(target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise RunError(f"{target} is there already; --overwrite replaces it, or name an --output")


def _feed(
    exports: Sequence[Export], selection: Selection, run: RunFolder, on_frame: Callable[[], None]
) -> None:
    def write(item: tuple[FrameMasks, NDArray[np.uint8] | None]) -> None:
        for export in exports:
            export.write(*item)

    with ExitStack() as stack:
        video: VideoReader | None = None
        behind = stack.enter_context(WriteBehind(write))
        for frame in selection.frames():
            image_hwc = None
            if any(export.wants_image(frame.index) for export in exports):
                video = video or stack.enter_context(open_again(run))
                image_hwc = video.read(frame.index).image_hwc
            behind.put((frame, image_hwc))
            on_frame()


def open_again(run: RunFolder) -> VideoReader:
    """The video of a run, with the reader that it was tracked with.

    Raises:
        RunError: when another video has taken its place.
        VideoError: when it cannot be opened.
    """
    was, now = run.info.identity, identify_video(run.info.identity.path)
    if (now.bytes, now.sha256_ends) != (was.bytes, was.sha256_ends):
        raise RunError(f"{was.path} is not the video that {run.path} was made from: it has changed")
    return open_video(was.path, run.info.settings.reader)
