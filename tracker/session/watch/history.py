"""What a run shows of its objects after the fact: observations and scene cuts.

Either from the run folder alone, with the appearance scores that it may store, or from the video
too, of which the same frames are described as a watch would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tracker.output.export import FrameMasks
from tracker.session.drift import Judge, Observation, Thresholds, Verdict, observe, tracking_order
from tracker.session.run_folder import RunFolder
from tracker.types import ImageFeatures, Prompt

# What describes images takes seconds to import, so the functions that use it do that: the summary
# of a run is made without.
if TYPE_CHECKING:
    from tracker.models.dinov2 import FeatureExtractor
    from tracker.session.watch.appearance import Likeness

ReadImage = Callable[[int], NDArray[np.uint8]]
"""The RGB uint8 image of a frame index."""


@dataclass
class RunHistory:
    """A whole run.

    Attributes:
        objects: object id to what was observed of it, frames ascending.
        frames: how many are stored.
        cuts: frames that begin another scene.
        stored: whether the run stores appearance scores.
    """

    objects: dict[int, list[Observation]] = field(default_factory=dict)
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
    """The same with scene cuts, and appearances compared anew, from the video.

    Args:
        read: the run's video.
        cut_below: see `Thresholds`.
        every: the distance in frames at which appearances are measured, at most.
    """
    from tracker.session.watch.appearance import Sampler, Scenes

    history, prompted = RunHistory(), _prompted(run)
    likeness = _prompted_likeness(run, read, extractor, prompted)
    sampler, scenes = Sampler(every), Scenes(cut_below)
    for frame in run.frames():
        here = {i for i, prompts in prompted.items() if frame.index in prompts}
        image_hwc = read(frame.index)
        features = None
        if frame.objects and sampler.wants(image_hwc, frame.objects, here):
            features = extractor.extract(image_hwc)
            if scenes.is_cut(features, sampler.stirred):
                history.cuts.append(frame.index)
        _add_frame(history, _compared(frame, features, likeness), prompted)
        on_frame()
    return history


def _prompted_likeness(
    run: RunFolder,
    read: ReadImage,
    extractor: FeatureExtractor,
    prompted: Mapping[int, Mapping[int, Prompt]],
) -> dict[int, Likeness]:
    """Object id to what it looks like where somebody has prompted it."""
    from tracker.session.watch.appearance import Likeness

    likeness = {i: Likeness() for i in prompted}
    places = {frame for prompts in prompted.values() for frame in prompts}
    for index in sorted(places.intersection(run.frame_indices)):
        objects = run.frame_masks(index).objects
        if shown := [m for m in objects if _is_certain(prompted, m.object_id, index)]:
            features = extractor.extract(read(index))
            for mask in shown:
                likeness[mask.object_id].prompt(index, features, mask.mask_hw)
    return likeness


def _compared(
    frame: FrameMasks, features: ImageFeatures | None, likeness: Mapping[int, Likeness]
) -> FrameMasks:
    """The frame with appearances by its features, without any where it was not described."""
    from tracker.session.watch.watching import appearances

    scores = appearances(features, frame.objects, likeness)
    objects = (replace(m, appearance=scores.get(m.object_id)) for m in frame.objects)
    return replace(frame, objects=tuple(objects))


def judge_run(history: RunHistory, thresholds: Thresholds) -> dict[int, list[Verdict]]:
    """Verdicts on every object by id, frames ascending; each is judged as it was tracked."""
    return {i: _judge_object(each, thresholds) for i, each in sorted(history.objects.items())}


def _judge_object(history: Sequence[Observation], thresholds: Thresholds) -> list[Verdict]:
    verdicts: dict[int, Verdict] = {}
    for places in tracking_order(history):
        judge = Judge(thresholds.rules)
        for place in places:
            verdicts.setdefault(place, judge.judge(history[place]))
    return [verdicts[place] for place in sorted(verdicts)]


def _add_frame(
    history: RunHistory, frame: FrameMasks, prompted: Mapping[int, Mapping[int, Prompt]]
) -> None:
    history.frames += 1
    cut = frame.index in history.cuts[-1:]
    for mask in frame.objects:
        certain = _is_certain(prompted, mask.object_id, frame.index)
        seen = observe(
            mask,
            frame.index,
            prompted=certain,
            redetected=not certain and frame.index in prompted.get(mask.object_id, {}),
            cut=cut,
        )
        history.objects.setdefault(mask.object_id, []).append(seen)


def _is_certain(prompted: Mapping[int, Mapping[int, Prompt]], object_id: int, frame: int) -> bool:
    """Whether somebody said where the object is on the frame."""
    prompt = prompted.get(object_id, {}).get(frame)
    return prompt is not None and prompt.source != "redetect"


def _prompted(run: RunFolder) -> dict[int, dict[int, Prompt]]:
    """Object id to frame index to prompt."""
    prompted: dict[int, dict[int, Prompt]] = {}
    for prompt in run.prompts:
        prompted.setdefault(prompt.object_id, {})[prompt.frame] = prompt
    return prompted
