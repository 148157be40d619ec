"""Makes outputs from a run folder: one pass over its frames feeds every format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tracker.errors import RunError, VideoError
from tracker.output.export import FORMATS
from tracker.session.identity import identify_video
from tracker.session.run_folder import RunFolder
from tracker.video import VideoReader, open_video


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
    folder: Path | None = None,
    on_frame: Callable[[], None] = lambda: None,
) -> tuple[Output, ...]:
    """Write a run in several formats.

    Args:
        run: whose frames are exported; the video is decoded again where a format wants images.
        formats: names in `tracker.output.export.FORMATS`.
        folder: where to; the run's own folder by default.
        on_frame: called after every frame.

    Returns:
        What was made, in the order of `formats`.

    Raises:
        RunError: for an unknown format, a damaged run, or a video that has changed since.
        VideoError: when the video cannot be read again, or an output cannot be written.
    """
    if unknown := [name for name in formats if name not in FORMATS]:
        raise RunError(f"unknown format {unknown[0]!r}; known: {', '.join(FORMATS)}")
    folder = folder or run.path
    try:
        return _export(run, formats, folder, on_frame)
    except OSError as error:
        raise VideoError(f"cannot write to {folder}: {error.strerror or error}") from error
    except IndexError as error:
        raise VideoError(f"{error}; the video has changed since it was tracked") from error


def _export(
    run: RunFolder, formats: Sequence[str], folder: Path, on_frame: Callable[[], None]
) -> tuple[Output, ...]:
    info = run.export_info()
    with ExitStack() as stack:
        exports = [stack.enter_context(FORMATS[name](info, folder)) for name in formats]
        video: VideoReader | None = None
        for frame in run.frames():
            image_hwc = None
            if any(export.wants_image(frame.index) for export in exports):
                video = video or stack.enter_context(open_again(run))
                image_hwc = video.read(frame.index).image_hwc
            for export in exports:
                export.write(frame, image_hwc)
            on_frame()
    return tuple(Output(export.name, export.target, export.problems) for export in exports)


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
