"""`run.json`: what a run is, what it was made with, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

from tracker.errors import RunError, TrackError
from tracker.session.identity import ModelIdentity, VideoIdentity
from tracker.settings import TrackSettings
from tracker.types import VideoInfo

FORMAT = 1

Status = Literal["running", "complete", "interrupted", "failed"]


@dataclass(frozen=True)
class RunInfo:
    """Everything about a run but its prompts and masks.

    Attributes:
        video: size, rate and names of the source.
        identity: of the source's bytes.
        settings: that it was tracked with.
        models: `sam2`, and `features` when the memory was asked.
        labels: object id to name; None for an object without one.
        decisions: what the memory answered, accepted or not, as `Decision.to_json` gives it.
        versions: of track and of the packages that masks depend on.
        started: local time, ISO 8601.
        status: `running` without a living process means that the process was killed.
        error: one line, when `failed`.
        seconds: how long tracking took, when it has ended.
        problems: what the reader could not decode: one line each, with the time in the video.
        notices: what the user was told.
    """

    video: VideoInfo
    identity: VideoIdentity
    settings: TrackSettings
    models: Mapping[str, ModelIdentity]
    labels: Mapping[int, str | None]
    versions: Mapping[str, str]
    started: str
    decisions: tuple[Mapping[str, Any], ...] = ()
    status: Status = "running"
    error: str | None = None
    seconds: float | None = None
    problems: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "status": self.status,
            "error": self.error,
            "started": self.started,
            "seconds": self.seconds,
            "objects": [{"id": i, "label": label} for i, label in sorted(self.labels.items())],
            "video": {**self.identity.to_json(), **_video_to_json(self.video)},
            "models": {kind: model.to_json() for kind, model in self.models.items()},
            "versions": dict(self.versions),
            "settings": self.settings.to_json(),
            "decisions": [dict(decision) for decision in self.decisions],
            "problems": list(self.problems),
            "notices": list(self.notices),
        }

    @classmethod
    def from_json(cls, value: Any) -> RunInfo:
        """Inverse of `to_json`. Raises RunError on anything else."""
        if not isinstance(value, dict) or "format" not in value:
            raise RunError("not the description of a run")
        if value["format"] != FORMAT:
            raise RunError(f"made in format {value['format']}; this track reads format {FORMAT}")
        try:
            return cls._from_checked(value)
        except (KeyError, TypeError, ValueError, AttributeError, TrackError) as error:
            raise RunError(f"malformed: {error!r}") from error

    @classmethod
    def _from_checked(cls, value: dict[str, Any]) -> RunInfo:
        if value["status"] not in get_args(Status):
            raise ValueError(f"status {value['status']!r}")
        video = value["video"]
        return cls(
            video=_video_from_json(video),
            identity=VideoIdentity(video["path"], video["bytes"], video["sha256_ends"]),
            settings=TrackSettings.from_json(value["settings"]),
            models={kind: ModelIdentity(**model) for kind, model in value["models"].items()},
            labels={int(entry["id"]): entry["label"] for entry in value["objects"]},
            versions=value["versions"],
            started=value["started"],
            decisions=tuple(value["decisions"]),
            status=value["status"],
            error=value["error"],
            seconds=value["seconds"],
            problems=tuple(value["problems"]),
            notices=tuple(value["notices"]),
        )


def _video_to_json(info: VideoInfo) -> dict[str, Any]:
    return {
        "width": info.width,
        "height": info.height,
        "frame_rate": str(info.frame_rate),
        "time_base": str(info.time_base),
        "frame_count": info.frame_count,
        "has_audio": info.has_audio,
        "stems": None if info.stems is None else list(info.stems),
    }


def _video_from_json(value: dict[str, Any]) -> VideoInfo:
    return VideoInfo(
        path=value["path"],
        width=int(value["width"]),
        height=int(value["height"]),
        frame_rate=Fraction(value["frame_rate"]),
        time_base=Fraction(value["time_base"]),
        frame_count=value["frame_count"],
        stems=None if value["stems"] is None else tuple(value["stems"]),
        has_audio=value["has_audio"],
    )
