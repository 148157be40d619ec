"""Find an object by a stored reference mask, follow it through a video with SAM2, keep its masks.

The names below are the public library; they are loaded when they are first used, so that
`import tracker` stays fast and reading a run folder needs no torch.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracker.errors import InputError, NoMatchError, TrackError
    from tracker.memory.prompting import find_prompts
    from tracker.memory.retrieval import search
    from tracker.memory.store import ReferenceMemory
    from tracker.models.dinov2 import load_features
    from tracker.models.sam2 import ImagePrompter, load_video_predictor
    from tracker.models.streaming import build_streaming_video_predictor
    from tracker.output.export import ExportOptions, detections
    from tracker.session.exchange.exporting import export_run
    from tracker.session.exchange.importing import import_run
    from tracker.session.run_folder import RunFolder
    from tracker.session.session import TrackSession
    from tracker.session.tracking import track
    from tracker.settings import TrackSettings
    from tracker.types import Frame, FrameResult, Match, ObjectMask, Prompt, Reference
    from tracker.video import VideoWriter, open_video

_HOMES = {
    "ExportOptions": "tracker.output.export",
    "Frame": "tracker.types",
    "FrameResult": "tracker.types",
    "ImagePrompter": "tracker.models.sam2",
    "InputError": "tracker.errors",
    "Match": "tracker.types",
    "NoMatchError": "tracker.errors",
    "ObjectMask": "tracker.types",
    "Prompt": "tracker.types",
    "Reference": "tracker.types",
    "ReferenceMemory": "tracker.memory.store",
    "RunFolder": "tracker.session.run_folder",
    "TrackError": "tracker.errors",
    "TrackSession": "tracker.session.session",
    "TrackSettings": "tracker.settings",
    "VideoWriter": "tracker.video",
    "build_streaming_video_predictor": "tracker.models.streaming",
    "detections": "tracker.output.export",
    "export_run": "tracker.session.exchange.exporting",
    "find_prompts": "tracker.memory.prompting",
    "import_run": "tracker.session.exchange.importing",
    "load_features": "tracker.models.dinov2",
    "load_video_predictor": "tracker.models.sam2",
    "open_video": "tracker.video",
    "search": "tracker.memory.retrieval",
    "track": "tracker.session.tracking",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return metadata.version("track")
    if name not in _HOMES:
        raise AttributeError(f"module 'tracker' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
