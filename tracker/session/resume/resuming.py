"""Goes on with a run whose process ended early: killed, interrupted, or stopped by a full disk.

The newest snapshot that can be read, and was taken with the run's prompts, says from where; what
was tracked after it is tracked again, with the same bits on the same machine. Without one the run
begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

from tracker.errors import ModelError, RunError
from tracker.models.streaming import StreamingVideoPredictor
from tracker.session.auto_prompt import AutoPrompts, open_memory
from tracker.session.grid import FrameGrid
from tracker.session.identity import IMPORTED, check_unchanged, identify_video
from tracker.session.progress import Progress
from tracker.session.prompt_set import PromptSet
from tracker.session.prompts_file import digest
from tracker.session.resume.snapshots import Snapshot, Snapshots
from tracker.session.run_folder import RunFolder, is_run
from tracker.session.run_info import RunInfo
from tracker.session.run_writer import RunWriter
from tracker.session.session import TrackSession
from tracker.session.tracking import (
    WatchMaker,
    default_output,
    track,
    write_outputs,
    write_run,
)
from tracker.settings import DEFAULTS, TrackSettings
from tracker.types import Prompt

# What a watch adds while the forward pass runs.
_ON_THE_WAY = ("redetect", "detector")


def resume(
    folder: str | Path,
    *,
    predictor: StreamingVideoPredictor | None = None,
    progress: Progress | None = None,
    watch: WatchMaker | None = None,
) -> RunFolder:
    """Go on with a run until it is complete. A complete one is left as it is.

    Args:
        folder: of the run.
        predictor: the model that the run was begun with, if that was not one of the registry.
        watch: as in `tracker.session.tracking.track`.

    Raises:
        RunError: when it is no run, is in use, or its video has changed since.
        ModelError: when its model is not here, or is another one now.
        InputError: for anything else that is wrong; see `tracker.errors`.
    """
    progress = progress or Progress()
    with RunWriter.reopen(folder) as writer:
        if writer.info.status == "complete":
            progress.notice(f"{folder} is complete; nothing is left to do")
            return RunFolder(folder)
        if writer.info.models["sam2"] == IMPORTED:
            raise RunError(
                f"{folder} was not imported to its end; track import … --overwrite begins again"
            )
        if writer.info.seconds is None:
            _go_on(writer, predictor, progress, watch)
        else:
            writer.go_on()
            write_outputs(writer, progress)
    return RunFolder(folder)


def track_or_resume(
    video: str | Path,
    settings: TrackSettings | None = None,
    prompts: Iterable[Prompt] = (),
    output: str | Path | None = None,
    *,
    predictor: StreamingVideoPredictor | None = None,
    progress: Progress | None = None,
    watch: WatchMaker | None = None,
) -> RunFolder:
    """Track a video, or go on with the run that is there; arguments are those of `track`.

    What is given must be what the run was begun with. What is left out is taken from the run.

    Raises:
        RunError: when the run was made from another video, other settings or other prompts.
        InputError: as `track` and `resume`.
    """
    settings, prompts = settings or TrackSettings(), tuple(prompts)
    folder = Path(output) if output else default_output(video)
    if not is_run(folder):
        return track(
            video, settings, prompts, folder, predictor=predictor, progress=progress, watch=watch
        )
    _check_same(RunFolder(folder), video, settings, prompts)
    return resume(folder, predictor=predictor, progress=progress, watch=watch)


def reopen_session(
    folder: Path, info: RunInfo, predictor: StreamingVideoPredictor | None
) -> TrackSession:
    """A session over a run's video, with the model that it was made with, without prompts.

    Masks that were imported are of no model: they are carried on by the one that the settings
    name, which is the best installed.

    Raises:
        RunError: when the video has changed since.
        ModelError: when the model is not here, or has other weights now.
    """
    check_unchanged(info.identity, folder)
    model = info.models["sam2"]
    if model == IMPORTED:
        return TrackSession(info.identity.path, info.settings, predictor=predictor)
    if predictor is None and not model.sha256:
        raise ModelError(f"{folder} was made with a model of the caller's; pass it as predictor")
    settings = replace(
        info.settings, model=model.name, image_size=model.image_size, max_image_size=None
    )
    session = TrackSession(info.identity.path, settings, predictor=predictor)
    if session.model != model:
        session.close()
        now = f"{session.model.name} {session.model.sha256[:12]} at {session.model.image_size} px"
        raise ModelError(
            f"{folder} was made with {model.name} {model.sha256[:12]} at {model.image_size} px, "
            f"not with {now}; only the same model can go on with it"
        )
    return session


def _go_on(
    writer: RunWriter,
    predictor: StreamingVideoPredictor | None,
    progress: Progress,
    watch: WatchMaker | None,
) -> None:
    progress.stage("loading", None)
    run = RunFolder(writer.folder)
    with reopen_session(writer.folder, writer.info, predictor) as session:
        start, prompts = _newest(Snapshots(writer.folder), session.grid, run)
        for prompt in prompts:
            session.add_prompt(prompt)
        writer.info = replace(writer.info, labels=session.labels)
        if start is None:
            writer.restart(session.prompts)
        writer.go_on()
        writer.write_prompts(session.prompts)
        progress.notice(f"going on {_place(start, session.grid)}")
        write_run(session, writer, progress, watch, _to_remember(session), start)


def _to_remember(session: TrackSession) -> AutoPrompts | None:
    """What the memory answered when the run began, for a session that remembers the result.

    What an earlier process has remembered already does not come again, or is there already.
    """
    if not session.settings.remember:
        return None
    prompts = tuple(prompt for prompt in session.prompts if prompt.source == "memory")
    return AutoPrompts(prompts, memory=open_memory(session))


def _newest(
    snapshots: Snapshots, grid: FrameGrid, run: RunFolder
) -> tuple[Snapshot | None, tuple[Prompt, ...]]:
    """The snapshot to go on from, and the prompts that were known there.

    A prompt that the watch added later is left out: it will be found again.
    """
    everything = run.prompts
    for found in snapshots.newest_first():
        earlier = tuple(
            p for p in everything if p.source not in _ON_THE_WAY or not _after(p, found, grid)
        )
        for prompts in (earlier, everything):
            if digest(prompts) == found.prompts:
                return found, prompts
    return None, everything


def _after(prompt: Prompt, found: Snapshot, grid: FrameGrid) -> bool:
    """Whether the forward pass comes to a prompt after a snapshot; the first frame is known."""
    place = found.position or 0
    return found.walk == 0 and grid.position(prompt.frame) > place


def _place(start: Snapshot | None, grid: FrameGrid) -> str:
    if start is None or (start.walk == 0 and start.position is None):
        return "from the beginning"
    if start.position is None:
        return f"with pass {start.walk + 1}"
    return f"from frame {grid.frame(start.position)}"


def _check_same(
    run: RunFolder, video: str | Path, settings: TrackSettings, prompts: tuple[Prompt, ...]
) -> None:
    was, now = run.info.identity, identify_video(video)
    if (was.bytes, was.sha256_ends) != (now.bytes, now.sha256_ends):
        raise RunError(f"{run.path} holds a run of {was.path}, not of {video}")
    hint = "leave it out, or begin again with --overwrite"
    stored = asdict(run.info.settings)
    for name, value in asdict(settings).items():
        if value not in (DEFAULTS[name], stored[name]):
            raise RunError(f"{run.path} was begun with {name} {stored[name]}, not {value}; {hint}")
    if prompts:
        grid = FrameGrid.of(run.info.settings)
        given = PromptSet(run.info.video, grid)
        for prompt in prompts:
            given.add(prompt)
        if digest(given.prompts) != digest(p for p in run.prompts if p.source == "user"):
            raise RunError(f"{run.path} was begun with other prompts; {hint}")
