"""What a run shows of its objects after the fact: observations, looks and scene cuts.

Either from the run folder alone, with the appearance scores that it may store, or from the video
too, of which the same frames are described as a watch would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tracker.output.export import FrameMasks
from tracker.session.drift import Judge, Observation, Thresholds, Verdict, observe, tracking_order
from tracker.session.run_folder import RunFolder
from tracker.types import Prompt

# What describes images takes seconds to import, so the functions that use it do that: the summary
# of a run is made without.
if TYPE_CHECKING:
    from tracker.models.dinov2 import FeatureExtractor
    from tracker.session.watch.appearance import Look

ReadImage = Callable[[int], NDArray[np.uint8]]
"""The RGB uint8 image of a frame index."""


@dataclass
class History:
    """One object: what was observed, frames ascending, and its looks on described frames."""

    seen: list[Observation] = field(default_factory=list)
    looks: dict[int, Look] = field(default_factory=dict)


@dataclass
class RunHistory:
    """A whole run.

    Attributes:
        objects: object id to history.
        frames: how many are stored.
        cuts: frames that begin another scene.
        stored: whether the run stores appearance scores.
    """

    objects: dict[int, History] = field(default_factory=dict)
    frames: int = 0
    cuts: list[int] = field(default_factory=list)
    stored: bool = False


def stored_history(run: RunFolder) -> RunHistory:
    """What is known from the run folder alone. Raises RunError when it is damaged."""
    history, prompted = RunHistory(), _prompted(run)
    for frame in run.frames():
        history.stored |= any(mask.appearance is not None for mask in frame.objects)
        _add_frame(history, frame, prompted)
    return history


def measured_history(
    run: RunFolder,
    read: ReadImage,
    extractor: FeatureExtractor,
    cut_below: float,
    every: int,
    on_frame: Callable[[], None] = lambda: None,
) -> RunHistory:
    """The same with looks and scene cuts, from the video.

    Args:
        read: the run's video.
        cut_below: see `Thresholds`.
        every: the distance in frames at which looks are taken, at most.
    """
    from tracker.session.watch.appearance import Sampler, Scenes, look

    history, prompted = RunHistory(), _prompted(run)
    sampler, scenes = Sampler(every), Scenes(cut_below)
    for frame in run.frames():
        here = {i for i, prompts in prompted.items() if frame.index in prompts}
        image_hwc = read(frame.index)
        features = None
        if frame.objects and sampler.wants(image_hwc, frame.objects, here):
            features = extractor.extract(image_hwc)
            if scenes.is_cut(features, sampler.stirred):
                history.cuts.append(frame.index)
        _add_frame(history, frame, prompted, measured=True)
        for mask in frame.objects:
            seen = look(features, mask.mask_hw) if features else None
            if seen is not None:
                history.objects[mask.object_id].looks[frame.index] = seen
        on_frame()
    return history


def judge_run(history: RunHistory, thresholds: Thresholds) -> dict[int, list[Verdict]]:
    """Verdicts on every object by id, frames ascending; each is judged as it was tracked."""
    return {i: _judge_object(each, thresholds) for i, each in sorted(history.objects.items())}


def _judge_object(history: History, thresholds: Thresholds) -> list[Verdict]:
    judge_one = _with_looks(history) if history.looks else Judge.judge
    verdicts: dict[int, Verdict] = {}
    for places in tracking_order(history.seen):
        judge = Judge(thresholds.rules)
        for place in places:
            verdicts.setdefault(place, judge_one(judge, history.seen[place]))
    return [verdicts[place] for place in sorted(verdicts)]


def _with_looks(history: History) -> Callable[[Judge, Observation], Verdict]:
    from tracker.session.watch.appearance import Likeness
    from tracker.session.watch.watching import judge_look

    likeness = Likeness()
    return lambda judge, seen: judge_look(judge, likeness, seen, history.looks.get(seen.frame))


def _add_frame(
    history: RunHistory,
    frame: FrameMasks,
    prompted: Mapping[int, Mapping[int, Prompt]],
    measured: bool = False,
) -> None:
    """Observe a frame; when looks are `measured`, stored appearance scores are passed over."""
    history.frames += 1
    cut = frame.index in history.cuts[-1:]
    for mask in frame.objects:
        mask = replace(mask, appearance=None) if measured else mask
        prompt = prompted.get(mask.object_id, {}).get(frame.index)
        seen = observe(
            mask,
            frame.index,
            prompted=prompt is not None and prompt.source != "redetect",
            redetected=prompt is not None and prompt.source == "redetect",
            cut=cut,
        )
        history.objects.setdefault(mask.object_id, History()).seen.append(seen)


def _prompted(run: RunFolder) -> dict[int, dict[int, Prompt]]:
    """Object id to frame index to prompt."""
    prompted: dict[int, dict[int, Prompt]] = {}
    for prompt in run.prompts:
        prompted.setdefault(prompt.object_id, {})[prompt.frame] = prompt
    return prompted
