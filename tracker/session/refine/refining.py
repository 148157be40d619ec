"""Corrects a finished run: only the masks that a correction touches are made again.

Each correction is a numbered revision, see `tracker.session.refine.revisions`; whatever is cut
short leaves the run as it was, or is finished by the next process that opens it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tracker import durable
from tracker.errors import PromptError, RunError
from tracker.masks import to_index_mask
from tracker.models.streaming import StreamingVideoPredictor
from tracker.output.export import FORMATS
from tracker.session.exchange.exporting import export_run
from tracker.session.grid import FrameGrid
from tracker.session.progress import Progress
from tracker.session.prompts_file import prompts_text
from tracker.session.refine import revisions
from tracker.session.refine.corrections import Corrections, ObjectPlan, plan
from tracker.session.refine.recomputing import Recomputing, Settling
from tracker.session.refine.revisions import Revision
from tracker.session.refine.stored_masks import ChangedMasks, StoredObject
from tracker.session.resume.resuming import reopen_session
from tracker.session.resume.snapshots import PromptsAt, Snapshots
from tracker.session.run_folder import PROMPTS, RUN, RunFolder
from tracker.session.run_writer import RunWriter
from tracker.session.session import TrackSession
from tracker.session.tracking import ALWAYS, WITH_VIDEO
from tracker.session.watch.reviewing import CONTACT, REVIEW, TIMELINE, newest_episodes
from tracker.types import ObjectMask, Prompt
from tracker.video import write_index_mask
from tracker.video.unfinished import unfinished

if TYPE_CHECKING:
    from tracker.session.refine.judging import Judging


@dataclass(frozen=True)
class Refined:
    """What a correction, or taking one back, did.

    Attributes:
        run: the folder.
        revision: that was made or undone.
        frames: how many the run has.
        outdated: outputs in the folder that show the masks from before; only their maker knows how
            they were made.
    """

    run: RunFolder
    revision: Revision
    frames: int
    outdated: tuple[str, ...]


def refine(
    folder: str | Path,
    corrections: Corrections,
    settling: Settling | None = None,
    *,
    predictor: StreamingVideoPredictor | None = None,
    progress: Progress | None = None,
) -> Refined:
    """Correct a complete run, and make its outputs again.

    Args:
        folder: of the run.
        corrections: what to change.
        settling: when new masks count as come back to the old ones.
        predictor: the model of the run, if that was not one of the registry.

    Raises:
        RunError: when the run is not complete or in use, its video has changed, or the corrections
            change nothing.
        PromptError: for corrections that cannot be; nothing has changed then.
        ModelError: when the model of the run is not here.
    """
    progress = progress or Progress()
    with RunWriter.reopen(folder) as writer:
        work = _Work.of(writer, corrections)
        masks, tracked = ChangedMasks(work.run, work.grid), 0
        for object_id, each in work.plans.items():
            for position in each.cleared:
                masks.clear(position, object_id)
        if any(each.walks for each in work.plans.values()):
            progress.stage("loading", None)
            with reopen_session(writer.folder, writer.info, predictor) as session:
                tracked = _recompute(work, session, masks, settling or Settling(), progress)
        files, changed = masks.files()
        info = replace(writer.info, labels=work.labels, status="running")
        files |= {PROMPTS: prompts_text(work.prompts), RUN: durable.json_text(info.to_json())}
        work.forget(changed)
        made = revisions.commit(writer.folder, files, corrections.asked, tracked, changed)
        return _remade(writer, made, progress)


def undo(folder: str | Path, *, progress: Progress | None = None) -> Refined:
    """Take the newest revision back, and make the outputs again.

    Raises:
        RunError: when there is none, or the run is not complete or in use.
    """
    with RunWriter.reopen(folder) as writer:
        _check_complete(writer)
        made = RunFolder(folder).revisions
        if not made:
            raise RunError(f"{folder} has no revision to undo")
        writer.go_on()  # what is cut short from here on is found unfinished
        _forget(writer.folder, FrameGrid.of(writer.info.settings), made[-1].changed)
        revisions.undo(writer.folder)
        return _remade(writer, made[-1], progress or Progress())


def preview(
    folder: str | Path,
    corrections: Corrections,
    picture: str | Path,
    *,
    predictor: StreamingVideoPredictor | None = None,
) -> tuple[ObjectMask, ...]:
    """Write the corrected frame as a PNG; the run stays as it is.

    Returns:
        The frame's masks as they would be, object ids ascending.

    Raises:
        PromptError: unless the corrections are prompts on one frame.
        RunError, ModelError: as `refine`.
        VideoError: when the picture cannot be written.
    """
    frames = {prompt.frame for prompt in corrections.prompts}
    if len(frames) != 1 or corrections.replacement is not None:
        raise PromptError("a preview shows one frame: give points, boxes or masks on that frame")
    (frame,) = frames
    with RunWriter.reopen(folder) as writer:
        work = _Work.of(writer, corrections)
        position = work.grid.position(frame)
        objects = {mask.object_id: mask for mask in work.run.frame_masks(frame).objects}
        with reopen_session(writer.folder, writer.info, predictor) as session:
            for object_id in {prompt.object_id for prompt in corrections.prompts}:
                objects[object_id] = work.recomputing(session, object_id).first(position)
            image_hwc = session.read(position).image_hwc
    corrected = tuple(objects[i] for i in sorted(objects))
    _draw(image_hwc, corrected, work.labels, Path(picture))
    return corrected


@dataclass(frozen=True)
class _Work:
    """A run and what corrections make of it.

    Attributes:
        prompts: of the run once it is corrected.
        old, new: object id to position to prompt.
        plans: object id to what is to be made again.
        doubted: object ids and stretches of positions on which they are not to be trusted.
    """

    run: RunFolder
    grid: FrameGrid
    prompts: tuple[Prompt, ...]
    old: PromptsAt
    new: PromptsAt
    plans: Mapping[int, ObjectPlan]
    doubted: Sequence[tuple[int, range]]

    @classmethod
    def of(cls, writer: RunWriter, corrections: Corrections) -> Self:
        _check_complete(writer)
        run, info = RunFolder(writer.folder), writer.info
        grid, frames = FrameGrid.of(info.settings), run.frame_indices
        before = run.prompts
        after = corrections.applied(before, info.video, grid)
        for prompt in after:
            if prompt.frame not in frames:
                name = f"prompt for object {prompt.object_id} on frame {prompt.frame}"
                raise PromptError(f"{name}: the last frame of {run.path} is {frames[-1]}")
        if prompts_text(after) == prompts_text(before):
            raise RunError(f"that changes nothing in {run.path}")
        old, new = grid.by_position(before), grid.by_position(after)
        plans = {
            i: plan(old.get(i, {}), new.get(i, {}), info.settings.direction, len(frames))
            for i in sorted(old.keys() | new.keys())
        }
        doubted = [
            (each.object_id, range(grid.position(each.first), grid.position(each.last) + 1))
            for each in newest_episodes(run)
        ]
        return cls(run, grid, after, old, new, plans, doubted)

    @property
    def labels(self) -> dict[int, str | None]:
        labels: dict[int, str | None] = dict.fromkeys(sorted(self.new))
        return labels | {p.object_id: p.label for p in self.prompts if p.label is not None}

    def recomputing(self, session: TrackSession, object_id: int) -> Recomputing:
        return Recomputing(
            session,
            Snapshots(self.run.path),
            object_id,
            self.old.get(object_id, {}),
            self.new[object_id],
            StoredObject(self.run, self.grid, object_id),
            [each for i, each in self.doubted if i == object_id],
        )

    def forget(self, changed: Mapping[int, Sequence[int]]) -> None:
        _forget(self.run.path, self.grid, changed)


def _recompute(
    work: _Work,
    session: TrackSession,
    masks: ChangedMasks,
    settling: Settling,
    progress: Progress,
) -> int:
    """Make the planned masks again; returns on how many frames the model worked."""
    judge = _judging(work, session, progress)
    progress.stage("correcting", None)
    tracked = 0
    for object_id, each in work.plans.items():
        if each.walks:
            recomputing = work.recomputing(session, object_id)
            if judge:
                judge.remind(object_id, recomputing.stored, recomputing.unchanged)
            for walk in each.walks:
                steps = recomputing.walk(walk, settling)
                for position, mask in judge.judged(steps) if judge else steps:
                    masks.put(position, mask)
                    progress.frame()
            tracked += recomputing.tracked
    return tracked


def _judging(work: _Work, session: TrackSession, progress: Progress) -> Judging | None:
    """What judges new masks, if the run's masks were judged while it was tracked."""
    if not work.run.was_watched:
        return None
    from tracker.session.refine.judging import judging  # brings the feature model along

    return judging(work.run, session, work.prompts, progress)


def _check_complete(writer: RunWriter) -> None:
    if writer.info.status != "complete":
        raise RunError(f"{writer.folder} is not complete; first: track resume {writer.folder}")


def _forget(folder: Path, grid: FrameGrid, changed: Mapping[int, Sequence[int]]) -> None:
    """Snapshots know masks that are no longer there, so they lose the object."""
    for object_id, frames in changed.items():
        positions = {grid.position(frame) for frame in frames}
        Snapshots(folder).forget_object(object_id, positions)


def _remade(writer: RunWriter, revision: Revision, progress: Progress) -> Refined:
    """Make the outputs of a run again: index masks where they changed, others as a whole."""
    writer.reload()
    writer.go_on()
    run = RunFolder(writer.folder)
    frames = sorted({frame for frames in revision.changed.values() for frame in frames})
    there = {name for name, form in FORMATS.items() if (run.path / form.file_name).exists()}
    progress.stage("writing", len(run.frame_indices))
    if "png" in there:
        _repaint(run, frames)
    whole = [name for name in (*ALWAYS, *WITH_VIDEO) if name in there - {"png"}]
    export_run(run, whole, overwrite=True, on_frame=progress.frame)
    made_elsewhere = [FORMATS[name].file_name for name in there - {*ALWAYS, *WITH_VIDEO}]
    paths = [run.path / name for name in sorted([*made_elsewhere, REVIEW, TIMELINE, CONTACT])]
    outdated = tuple(str(path) for path in paths if path.exists())
    return Refined(run, revision, len(run.frame_indices), outdated)


def _repaint(run: RunFolder, frames: Sequence[int]) -> None:
    info = run.export_info()
    for frame in frames:
        pairs = [(mask.object_id, mask.mask_hw) for mask in run.frame_masks(frame).objects]
        index_hw = to_index_mask(pairs, info.video.height, info.video.width)
        path = run.path / FORMATS["png"].file_name / f"{info.stem(frame)}.png"
        write_index_mask(path, index_hw)


def _draw(
    image_hwc: NDArray[np.uint8],
    objects: Sequence[ObjectMask],
    labels: Mapping[int, str | None],
    path: Path,
) -> None:
    from tracker.output.annotate import Annotator  # its library takes seconds to import

    names = {object_id: label or "" for object_id, label in labels.items()}
    drawn_hwc = Annotator(image_hwc.shape[0], names).annotate(image_hwc, objects)
    with unfinished(path) as temporary:
        Image.fromarray(drawn_hwc).save(temporary, format="PNG")
