"""Where did a run go wrong? Verdicts on every frame, grouped into episodes, the worst first."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker import durable
from tracker.errors import ModelError, RunError, VideoError
from tracker.session.drift import (
    Episode,
    Observation,
    Thresholds,
    Verdict,
    find_episodes,
    frames_to_look_at,
    thresholds,
    worst_first,
)
from tracker.session.exchange.exporting import open_again
from tracker.session.lock import Lock
from tracker.session.progress import Progress
from tracker.session.prompts_file import digest
from tracker.session.run_folder import CONTACT, LOCK, REVIEW, TIMELINE, RunFolder
from tracker.session.watch.history import (
    ReadImage,
    RunHistory,
    judge_run,
    measured_history,
    stored_history,
)

if TYPE_CHECKING:
    from tracker.models.dinov2 import FeatureExtractor

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Review:
    """What is thought of a run.

    Attributes:
        run: its folder.
        frames: how many are stored.
        episodes: the worst first.
        verdicts, observations: object id to one per frame, frames ascending.
        cuts: frames that begin another scene.
        prompts: digest of the run's prompts, and so of the masks that were judged.
        features: the feature model that looks were compared with, None if they were not.
        notices: what the user should know, one line each.
    """

    run: Path
    frames: int
    episodes: tuple[Episode, ...]
    verdicts: Mapping[int, tuple[Verdict, ...]]
    observations: Mapping[int, tuple[Observation, ...]]
    cuts: tuple[int, ...] = ()
    prompts: str = ""
    features: str | None = None
    notices: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What `review.json` holds; frames on which an object is visible are left out."""
        return {
            "format": FORMAT,
            "run": str(self.run),
            "features": self.features,
            "prompts": self.prompts,
            "episodes": [_rounded(asdict(episode)) for episode in self.episodes],
            "look_at": [
                {"object": i, "frame": frame}
                for i, frame in frames_to_look_at(self.episodes, self.verdicts)
            ],
            "objects": [
                {"id": i, "states": dict(Counter(verdict.state for verdict in verdicts))}
                for i, verdicts in self.verdicts.items()
            ],
            "frames": [
                _rounded({"object": i, **asdict(verdict)})
                for i, verdicts in self.verdicts.items()
                for verdict in verdicts
                if verdict.state != "visible"
            ],
            "cuts": list(self.cuts),
            "notices": list(self.notices),
        }


def review_stored(run: RunFolder) -> Review:
    """Judge a run by what its folder holds: no model, no video.

    Raises:
        RunError: when it is damaged.
    """
    models = run.info.models
    name = models["features"].name if "features" in models else ""
    history = stored_history(run)
    return _review(run, history, _thresholds(run, name), name if history.stored else None)


def review_run(
    run: RunFolder,
    *,
    features: str = "auto",
    device: str = "auto",
    scores_only: bool = False,
    progress: Progress | None = None,
) -> Review:
    """Judge a run, and write `review.json`, `timeline.png` and `contact.png` into its folder.

    Looks are compared again with the video; where that is gone, or has changed, the run is judged
    by what it stores, and there are no pictures of frames.

    Args:
        features: the feature model; `auto` is the run's own, or the best installed.
        device: to describe frames on.
        scores_only: do not read the video even if it is there.

    Raises:
        RunError: when the run is damaged, in use, or cannot be written to.
        ModelError: when a feature model is named that cannot be loaded.
    """
    progress = progress or Progress()
    with ExitStack() as stack:
        read, notice = None, None
        if not scores_only:
            read, notice = _open_video(run, stack)
        if read is None:
            review = review_stored(run)
        else:
            progress.stage("loading", None)
            extractor = _load_features(run, features, device)
            progress.stage("looking", len(run.frame_indices))
            review = _review_measured(run, read, extractor, progress)
        review = replace(review, notices=(notice,) if notice else ())
        _write(run, review, read)
    return review


def newest_episodes(run: RunFolder) -> tuple[Episode, ...]:
    """Those of the last review, if it was of the masks that are there; else by what is stored.

    Raises:
        RunError: when the run is damaged.
    """
    try:
        value = json.loads((run.path / REVIEW).read_text("utf-8"))
        if value["prompts"] == digest(run.prompts):
            return tuple(
                Episode(**{**e, "reasons": tuple(e["reasons"])}) for e in value["episodes"]
            )
    except (OSError, ValueError, KeyError, TypeError):
        pass  # there is none, or an earlier track wrote it
    return review_stored(run).episodes


def _open_video(run: RunFolder, stack: ExitStack) -> tuple[ReadImage | None, str | None]:
    """The run's video, or why there is none."""
    try:
        video = stack.enter_context(open_again(run))
    except (RunError, VideoError) as error:
        return None, f"judged by the stored scores alone: {error}"
    return lambda index: video.read(index).image_hwc, None


def _load_features(run: RunFolder, name: str, device: str) -> FeatureExtractor:
    from tracker.models.dinov2 import load_features

    if name == "auto" and "features" in run.info.models:
        try:
            return load_features(run.info.models["features"].name, device)
        except ModelError:
            pass  # it was made elsewhere; any feature model can compare the run with itself
    return load_features(name, device)


def _review_measured(
    run: RunFolder, read: ReadImage, extractor: FeatureExtractor, progress: Progress
) -> Review:
    limits = _thresholds(run, extractor.name)
    every = run.info.settings.appearance_every
    history = measured_history(run, read, extractor, limits.cut_below, every, progress.frame)
    return _review(run, history, limits, extractor.name)


def _thresholds(run: RunFolder, features: str) -> Thresholds:
    return thresholds(run.info.models["sam2"].name, features)


def _review(
    run: RunFolder, history: RunHistory, limits: Thresholds, features: str | None
) -> Review:
    verdicts = judge_run(history, limits)
    episodes = [e for i, each in verdicts.items() for e in find_episodes(i, each)]
    return Review(
        run=run.path,
        frames=history.frames,
        episodes=tuple(worst_first(episodes)),
        verdicts={i: tuple(each) for i, each in verdicts.items()},
        observations={i: tuple(each) for i, each in sorted(history.objects.items())},
        cuts=tuple(history.cuts),
        prompts=digest(run.prompts),
        features=features,
    )


def _write(run: RunFolder, review: Review, read: ReadImage | None) -> None:
    """Replace the review in the run folder."""
    from tracker.session.watch.review_pictures import contact_picture, timeline_picture

    timeline_png = timeline_picture(run, review)
    contact_png = contact_picture(run, review, read) if read else None
    with Lock(run.path / LOCK):
        durable.write_json(run.path / REVIEW, review.to_json())
        durable.write_bytes(run.path / TIMELINE, timeline_png)
        if contact_png is not None:
            durable.write_bytes(run.path / CONTACT, contact_png)
        else:
            (run.path / CONTACT).unlink(missing_ok=True)


def _rounded(value: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in value.items()}
