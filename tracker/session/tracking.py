"""The main job, end to end: a video and its prompts become a run folder with its outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from tracker.errors import RunError, SettingsError
from tracker.models.streaming import StreamingVideoPredictor
from tracker.session.auto_prompt import AutoPrompts, remember
from tracker.session.exchange.exporting import LiveOutputs, Output, export_run
from tracker.session.identity import identify_video, versions
from tracker.session.progress import Progress
from tracker.session.propagation import Watch
from tracker.session.resume.snapshots import Snapshot, Snapshots
from tracker.session.resume.telling import tell
from tracker.session.run_folder import RunFolder
from tracker.session.run_info import RunInfo
from tracker.session.run_writer import RunWriter, check_target
from tracker.session.session import TrackSession
from tracker.settings import TrackSettings
from tracker.types import Prompt

ALWAYS = ("png", "csv")
WITH_VIDEO = ("video", "overview")

WatchMaker = Callable[[TrackSession], Watch | None]
"""Called once, when the session's prompts are known and its model is loaded."""


def track(
    video: str | Path,
    settings: TrackSettings | None = None,
    prompts: Iterable[Prompt] = (),
    output: str | Path | None = None,
    *,
    overwrite: bool = False,
    predictor: StreamingVideoPredictor | None = None,
    progress: Progress | None = None,
    watch: WatchMaker | None = None,
) -> RunFolder:
    """Track a video into a run folder.

    Everything that can be wrong with the input is found before the folder is touched.

    Args:
        video: a video file or a folder of images.
        prompts: of the user; those of the reference memory or of a detector are added if the
            settings ask for it.
        output: the run folder; `runs/<name of the video>` by default.
        overwrite: take the place of a run that is there.
        predictor: takes the place of the model that the settings name.
        watch: makes what looks on while objects are tracked, see `propagation.Watch`; its prompts
            are added to `prompts.json`.

    Raises:
        NoMatchError: when memory or detector were asked, find nothing, and there are no other
            prompts.
        InputError: for anything else that is wrong; see `tracker.errors`.
    """
    settings, prompts = settings or TrackSettings(), tuple(prompts)
    progress = progress or Progress()
    folder = Path(output) if output else default_output(video)
    if not (prompts or settings.auto_prompt or settings.detects):
        raise SettingsError(
            "nothing to track: give --auto-prompt, --point, --box, --mask, --prompts, --boxes or "
            "--text"
        )
    _check_folder(folder, Path(video), overwrite)
    with TrackSession(video, settings, predictor=predictor) as session:
        for prompt in prompts:
            session.add_prompt(prompt)
        found = _prepare(session, progress)
        info = _describe(session, found)
        with RunWriter(folder, info, session.prompts, overwrite) as writer:
            write_run(session, writer, progress, watch, found)
    return RunFolder(folder)


def default_output(video: str | Path) -> Path:
    """`runs/<stem>` below the working directory."""
    path = Path(video).resolve()
    return Path("runs") / (path.name if path.is_dir() else path.stem)


def _check_folder(folder: Path, video: Path, overwrite: bool) -> None:
    check_target(folder, overwrite)
    if video.resolve().is_relative_to(folder.resolve()):
        raise RunError(f"{video} lies in the run folder {folder}; name another --output")


def _prepare(session: TrackSession, progress: Progress) -> AutoPrompts:
    """Ask a detector, load the model, and ask the memory, as far as the settings say so."""
    if session.settings.detects:
        progress.stage("looking for objects", None)
        if not session.find_detections():
            progress.notice("the detector finds nothing there; the given prompts are tracked")
    progress.stage("loading", None)
    if session.model.name == "demo":
        progress.notice(
            "using demo, a small model; for real footage: track models pull sam2.1_hiera_small"
        )
    if not session.settings.auto_prompt:
        return AutoPrompts()
    progress.stage("looking for the object", None)
    found = session.find_prompts()
    if found.notice:
        progress.notice(found.notice)
    return found


def _describe(session: TrackSession, found: AutoPrompts) -> RunInfo:
    models = {"sam2": session.model}
    if found.features:
        models["features"] = found.features
    if session.settings.detects and (detector := session.detections.model):
        models["detector"] = detector
    return RunInfo(
        video=session.info,
        identity=identify_video(session.info.path),
        settings=session.settings,
        models=models,
        labels=session.labels,
        versions=versions(),
        started=datetime.now().astimezone().isoformat(timespec="seconds"),
        decisions=found.decisions,
        notices=(found.notice,) if found.notice else (),
    )


def write_run(
    session: TrackSession,
    writer: RunWriter,
    progress: Progress,
    watch: WatchMaker | None = None,
    found: AutoPrompts | None = None,
    start: Snapshot | None = None,
) -> None:
    """Track a session into a run, from a snapshot on if one is given; note how it went.

    Its outputs are made on the way where that can be, else when all masks are there.
    """
    progress.stage("tracking", session.frame_count)
    notices, prompts = list(writer.info.notices), session.prompts
    snapshots = Snapshots(writer.folder, writer.flush, start.seconds if start else 0.0)
    looks_on = watch(session) if watch else _usual_watch(session, writer, found)
    if looks_on and start:
        tell(looks_on, session, writer.folder, start)
    grid = session.grid
    foreseen = range(grid.start, grid.frame(session.frame_count or 0), grid.stride)
    with LiveOutputs(RunFolder(writer.folder), _formats(session.settings), foreseen) as outputs:
        for result in session.propagate(looks_on, snapshots=snapshots, start=start):
            if session.prompts != prompts:
                _tell_new(session.prompts[len(prompts) :], progress)
                prompts = session.prompts
                writer.write_prompts(prompts)
                writer.note(labels=session.labels)
            if looks_on:
                result = replace(result, objects=looks_on.marked(result.frame, result.objects))
            writer.write(result)
            outputs.put(result)
            progress.frame()
            if session.settings.remember and found and found.memory:
                for text in remember(found.memory, found.prompts, result):
                    progress.notice(text)
                    notices.append(text)
        writer.flush()
        writer.note(seconds=snapshots.seconds, problems=session.problems, notices=tuple(notices))
    write_outputs(writer, progress, outputs.made)


def _usual_watch(
    session: TrackSession, writer: RunWriter, found: AutoPrompts | None
) -> Watch | None:
    """The watch that the settings ask for; the run then names its feature model."""
    if session.settings.detect_every:
        return session.detections
    if not session.settings.looks_again:
        return None
    from tracker.session.watch.look_again import watch_session  # brings the feature model along

    watch = watch_session(session, found.memory if found else None)
    if watch:
        writer.note(models={**writer.info.models, "features": watch.features})
    return watch


def _tell_new(prompts: Iterable[Prompt], progress: Progress) -> None:
    for prompt in prompts:
        score = "" if prompt.score is None else f", score {prompt.score:.2f}"
        name = f"object {prompt.object_id}" + (f" ({prompt.label})" if prompt.label else "")
        how = "was found again" if prompt.source == "redetect" else "was found"
        progress.notice(f"{name} {how} on frame {prompt.frame}{score}")


def write_outputs(
    writer: RunWriter, progress: Progress, made: Iterable[Output] | None = None
) -> None:
    """Make the outputs of a run whose masks are all there, unless they are; note their problems."""
    run = RunFolder(writer.folder)
    if made is None:
        formats = _formats(run.info.settings)
        progress.stage("writing", len(run.frame_indices))
        made = export_run(run, formats, overwrite=True, on_frame=progress.frame)
    problems = [f"{output.path.name}: {text}" for output in made for text in output.problems]
    writer.note(problems=(*writer.info.problems, *problems))


def _formats(settings: TrackSettings) -> tuple[str, ...]:
    return ALWAYS + (WITH_VIDEO if settings.video else ())
