"""What a person wants to know of a run once it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tracker.output.export import FORMATS
from tracker.session.drift import Episode
from tracker.session.run_folder import RunFolder
from tracker.session.watch.reviewing import review_stored
from tracker.types import Prompt, confidence

NAMED_EPISODES = 3


@dataclass(frozen=True)
class ObjectSummary:
    """One object of a run.

    Attributes:
        id, label: the label is None for an object without one.
        prompt: kind of its first prompt: `box`, `points`, `mask` …
        source: who gave it: `user` or `memory`.
        frame: that it was given on.
        score: of the decision, for a prompt from the memory.
        frames_visible: on how many frames its mask has a pixel.
        mean_confidence: over those frames; None when there are none.
    """

    id: int
    label: str | None
    prompt: str
    source: str
    frame: int
    score: float | None
    frames_visible: int
    mean_confidence: float | None


@dataclass(frozen=True)
class RunSummary:
    """A run at one glance.

    Attributes:
        frames: how many are stored.
        seconds: that tracking took; None when it has not ended.
        outputs: format name to path, of those that are there.
        episodes: how often an object was not to be trusted, as far as the stored scores tell.
        worst: the first three of these episodes, the worst first.
    """

    run: str
    status: str
    video: str
    models: Mapping[str, str]
    frames: int
    seconds: float | None
    objects: tuple[ObjectSummary, ...]
    outputs: Mapping[str, str]
    problems: tuple[str, ...]
    notices: tuple[str, ...]
    episodes: int = 0
    worst: tuple[Episode, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def summarise(run: RunFolder) -> RunSummary:
    """Read a run once and sum it up."""
    review = review_stored(run)
    confidences = {
        object_id: [confidence(o.object_score, o.predicted_iou) for o in seen if o.area_px]
        for object_id, seen in review.observations.items()
    }
    firsts: dict[int, Prompt] = {}
    for prompt in run.prompts:
        firsts.setdefault(prompt.object_id, prompt)
    info = run.info
    return RunSummary(
        run=str(run.path),
        status=info.status,
        video=info.video.path,
        models={kind: model.name for kind, model in info.models.items()},
        frames=review.frames,
        seconds=info.seconds,
        objects=tuple(_summarise_object(firsts[i], confidences.get(i, [])) for i in sorted(firsts)),
        outputs=_outputs(run.path),
        problems=info.problems,
        notices=info.notices,
        episodes=len(review.episodes),
        worst=review.episodes[:NAMED_EPISODES],
    )


def _summarise_object(prompt: Prompt, confidences: list[float]) -> ObjectSummary:
    mean = sum(confidences) / len(confidences) if confidences else None
    return ObjectSummary(
        id=prompt.object_id,
        label=prompt.label,
        prompt=prompt.kind,
        source=prompt.source,
        frame=prompt.frame,
        score=prompt.score,
        frames_visible=len(confidences),
        mean_confidence=None if mean is None else round(mean, 4),
    )


def _outputs(folder: Path) -> dict[str, str]:
    paths = {name: folder / output.file_name for name, output in FORMATS.items()}
    return {name: str(path) for name, path in paths.items() if path.exists()}
