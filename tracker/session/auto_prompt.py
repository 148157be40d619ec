"""Asks the reference memory for a session's prompts, and says why when there are none."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker import locations
from tracker.errors import NoMatchError, ReferenceMemoryError
from tracker.memory.index import FILE_NAME
from tracker.memory.store import SHORT_ID, ReferenceMemory, own_feature_model
from tracker.session.identity import ModelIdentity
from tracker.session.search import Answer, find_first, sample_positions
from tracker.settings import TrackSettings
from tracker.types import FrameResult, Prompt

# What describes and matches images takes seconds to import, so the functions that use it do that:
# runs that ask no memory begin at once.
if TYPE_CHECKING:
    from tracker.memory.prompting import Decision
    from tracker.models.dinov2 import FeatureExtractor
    from tracker.session.session import TrackSession


@dataclass(frozen=True)
class AutoPrompts:
    """What the memory answered.

    Attributes:
        prompts: one per accepted decision, with the object ids that follow the session's.
        decisions: as JSON objects, each with the frame that it is about: the accepted ones, then
            the best refused one of every label that was not found.
        memory: that was asked; None when it is empty.
        notice: what the user should know, or None.
    """

    prompts: tuple[Prompt, ...] = ()
    decisions: tuple[dict[str, Any], ...] = ()
    memory: ReferenceMemory | None = None
    notice: str | None = None

    @property
    def features(self) -> ModelIdentity | None:
        """The feature model that was used, if any."""
        extractor = self.memory.extractor if self.memory else None
        return ModelIdentity(extractor.name, extractor.weights_sha256) if extractor else None


def memory_folder(session: TrackSession) -> Path:
    """The reference memory that the session's settings name."""
    named = session.settings.memory
    return Path(named).expanduser() if named else locations.user_memory()


def open_memory(session: TrackSession) -> ReferenceMemory | None:
    """That reference memory with its feature model; None when there is nothing in it.

    Raises:
        ReferenceMemoryError: when it cannot be used.
        ModelError: when the feature model cannot be loaded.
    """
    folder = memory_folder(session)
    return _open(folder, session.settings)[0] if _has_references(folder, ()) else None


def ask_memory(session: TrackSession) -> AutoPrompts:
    """Find prompts for a session, which stays as it is.

    When nothing matches, that is a notice if the session has prompts of its own, a prompt in the
    middle of the first frame if the settings say so, and an error otherwise.

    Raises:
        NoMatchError: when the memory is empty, or nothing in it matches the video.
        ReferenceMemoryError: when it cannot be used, or has no reference of a wanted label.
        ModelError: when the feature model cannot be loaded.
    """
    folder = memory_folder(session)
    if not _has_references(folder, session.settings.labels):
        message = f"the reference memory {folder} is empty"
        return _without_match(session, Answer(), None, f"{message}; {_add_hint(folder)}")
    memory, extractor = _open(folder, session.settings)
    answer = _search(session, memory, extractor)
    if not answer.accepted:
        return _without_match(session, answer, memory, _why_not(answer, folder))
    return AutoPrompts(
        prompts=tuple(_numbered(answer, session.next_object_id)),
        decisions=_recorded(answer),
        memory=memory,
        notice=_not_found(answer, session.settings.labels),
    )


def remember(
    memory: ReferenceMemory, prompts: Collection[Prompt], result: FrameResult
) -> list[str]:
    """Add the masks that `prompts` gave on a frame to the memory they came from.

    Prompts of other frames, of other sources, and masks without a pixel are passed over.

    Returns:
        What was added and what could not be, one line each.
    """
    labels = {
        prompt.object_id: prompt.label
        for prompt in prompts
        if prompt.frame == result.frame.index and prompt.source == "memory" and prompt.label
    }
    notices = []
    for mask in result.objects:
        label = labels.get(mask.object_id)
        if label and mask.mask_hw.any():
            try:
                added = memory.add(result.frame.image_hwc, mask.mask_hw, label)
                notices.append(f"remembered as {label!r}: reference {added.id[:SHORT_ID]}")
            except ReferenceMemoryError as error:
                notices.append(f"not remembered: {error}")
    return notices


def _has_references(folder: Path, labels: Collection[str]) -> bool:
    """Whether the memory holds anything; raises when it lacks a label that is asked for."""
    known = ReferenceMemory.open(folder).labels() if (folder / FILE_NAME).is_file() else ()
    if known and (unknown := [label for label in labels if label not in known]):
        raise ReferenceMemoryError(
            f"no reference in {folder} is labelled {unknown[0]!r}; labels: {', '.join(known)}"
        )
    return bool(known)


def _open(folder: Path, settings: TrackSettings) -> tuple[ReferenceMemory, FeatureExtractor]:
    """The memory with its feature model; `auto` is the one that its references have."""
    from tracker.models.dinov2 import load_features

    name = settings.features
    if name == "auto":
        name = own_feature_model(folder) or name
    extractor = load_features(name, settings.device)
    return ReferenceMemory.open(folder, extractor), extractor


def _search(session: TrackSession, memory: ReferenceMemory, extractor: FeatureExtractor) -> Answer:
    from tracker.memory.prompting import find_prompts
    from tracker.models.sam2 import ImagePrompter

    settings, prompter = session.settings, ImagePrompter(session.predictor)

    def ask(position: int, labels: Collection[str] | None) -> list[Decision] | None:
        try:
            frame = session.read(position)
        except IndexError:
            return None
        return find_prompts(
            frame.image_hwc,
            memory,
            extractor,
            prompter,
            frame=frame.index,
            labels=labels,
            prompt_kind=settings.prompt_kind,
            max_per_label=settings.max_per_label,
            seed=settings.seed,
        )

    length = session.frame_count
    if settings.search_frames is not None:
        length = min(settings.search_frames, length or settings.search_frames)
    second = ceil(session.info.frame_rate / settings.stride)
    positions = sample_positions(length, settings.search_samples, second)
    return find_first(ask, positions, settings.labels)


def _numbered(answer: Answer, first_id: int) -> list[Prompt]:
    found = [decision.prompt for decision in answer.accepted if decision.prompt is not None]
    return [replace(prompt, object_id=i) for i, prompt in enumerate(found, start=first_id)]


def _recorded(answer: Answer) -> tuple[dict[str, Any], ...]:
    return tuple(d.to_json() for d in (*answer.accepted, *answer.refused.values()))


def _without_match(
    session: TrackSession, answer: Answer, memory: ReferenceMemory | None, message: str
) -> AutoPrompts:
    decisions = _recorded(answer)
    if session.prompts:
        return AutoPrompts((), decisions, memory, f"{message}; the given prompts are tracked")
    if session.settings.fallback == "center":
        notice = f"{message}; the middle of the first frame is tracked instead"
        return AutoPrompts((_middle(session),), decisions, memory, notice)
    best = _best_refused(answer)
    raise NoMatchError(
        message,
        best_score=best.score if best else None,
        threshold=best.threshold if best else None,
    )


def _middle(session: TrackSession) -> Prompt:
    centre = np.array([[session.info.width / 2, session.info.height / 2]], np.float32)
    return Prompt(session.grid.start, session.next_object_id, centre, np.array([1], np.int32))


def _best_refused(answer: Answer) -> Decision | None:
    return max(answer.refused.values(), key=lambda decision: decision.score, default=None)


def _why_not(answer: Answer, folder: Path) -> str:
    best = _best_refused(answer)
    looked = f"on {answer.frames_asked} frame{'s' * (answer.frames_asked != 1)}"
    score = f"no object was found {looked}"
    if best:
        needed = f"{best.threshold:.2f} is needed"
        score = f"the best score {looked} is {best.score:.2f} ({best.label}), {needed}"
    return f"nothing in the reference memory {folder} matches: {score}; {_add_hint(folder)}"


def _not_found(answer: Answer, labels: Collection[str]) -> str | None:
    missing = [label for label in labels if label not in {d.label for d in answer.accepted}]
    return f"not found in this video: {', '.join(missing)}" if missing else None


def _add_hint(folder: Path) -> str:
    return (
        "add a picture of the object as it looks here: track memory add IMAGE --mask FILE "
        f"--label NAME --memory {folder}; or prompt it: --box X1,Y1,X2,Y2"
    )
