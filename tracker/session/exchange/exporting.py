"""Makes outputs of a run: one pass over its frames feeds every format.

The pass goes over a run folder, or is the one in which the run is tracked: see `LiveOutputs`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tracker.errors import RunError, VideoError
from tracker.output.export import FORMATS, Export, ExportInfo, ExportOptions, Selection
from tracker.output.export.contract import FrameMasks
from tracker.session.identity import identify_video
from tracker.session.run_folder import RunFolder, as_stored
from tracker.types import FrameResult
from tracker.video import VideoReader, open_video
from tracker.video.pipeline import WriteBehind

Item = tuple[FrameMasks, NDArray[np.uint8] | None]
"""What `Export.write` takes."""


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
        with _begun(formats, selection.info, folder, options) as (exports, behind):
            _feed(exports, behind, selection, run, on_frame)
    except IndexError as error:
        raise VideoError(f"{error}; the video has changed since it was tracked") from error
    return _outputs(exports)


def _check_absent(target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise RunError(f"{target} is there already; --overwrite replaces it, or name an --output")


class LiveOutputs:
    """Outputs that are made while a run is tracked, beside the model, from the images that it sees.

    They are what `export_run` would make of the run. That is so as long as every foreseen frame
    comes in turn and once; where one does not (it is carried backward, or tracked again with a
    prompt that came on the way), or an output cannot be written, all are dropped at once: it costs
    no masks, and `export_run` makes them in the end, or says what is wrong. A context manager; left
    without an error, the outputs take their names.

    Attributes:
        made: the outputs, once it was left; None when they are still to be made.
    """

    def __init__(self, run: RunFolder, formats: Sequence[str], frames: Sequence[int]) -> None:
        """`frames`: indices of all that will be tracked, ascending."""
        self.made: tuple[Output, ...] | None = None
        self._run, self._formats, self._frames = run, formats, frames
        self._to_come: Iterator[int] | None = iter(frames)  # None once they are dropped
        self._exports: Sequence[Export] = ()
        self._behind: WriteBehind[Item] | None = None
        self._stack = ExitStack()

    def put(self, result: FrameResult) -> None:
        """Add a frame; waits while those before it are written."""
        if self._to_come is None:
            return
        if next(self._to_come, None) != result.frame.index:
            self._drop()
            return
        masks = tuple(as_stored(mask) for mask in result.objects)
        item = FrameMasks(result.frame.index, result.frame.pts, masks), result.frame.image_hwc
        try:
            behind = self._behind or self._begin()
            behind.put(item)
        except Exception:  # will be raised by `export_run`, if it is there to stay
            self._drop()

    def _begin(self) -> WriteBehind[Item]:
        info = replace(self._run.export_info(), frames=self._frames)
        begun = _begun(self._formats, info, self._run.path, ExportOptions())
        self._exports, self._behind = self._stack.enter_context(begun)
        return self._behind

    def _drop(self) -> None:
        """End what was begun as an error would end it, so that nothing of it stays."""
        self._to_come = None
        with suppress(Exception), self._stack:
            raise RuntimeError("dropped")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._to_come is None:
            return
        if kind is not None or next(self._to_come, None) is not None or not self._exports:
            self._drop()
            return
        with suppress(Exception):
            self._stack.close()
            self.made = _outputs(self._exports)


@contextmanager
def _begun(
    formats: Sequence[str], info: ExportInfo, folder: Path, options: ExportOptions
) -> Iterator[tuple[Sequence[Export], WriteBehind[Item]]]:
    """Formats that are being written, and what takes their frames; finished at the end."""

    def write(item: Item) -> None:
        for export in exports:
            export.write(*item)

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            exports = [
                stack.enter_context(FORMATS[name].start(info, folder, options)) for name in formats
            ]
            yield exports, stack.enter_context(WriteBehind(write))
    except OSError as error:
        raise VideoError(f"cannot write to {folder}: {error.strerror or error}") from error


def _outputs(exports: Sequence[Export]) -> tuple[Output, ...]:
    return tuple(Output(export.name, export.target, export.problems) for export in exports)


def _feed(
    exports: Sequence[Export],
    behind: WriteBehind[Item],
    selection: Selection,
    run: RunFolder,
    on_frame: Callable[[], None],
) -> None:
    with ExitStack() as stack:
        video: VideoReader | None = None
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
