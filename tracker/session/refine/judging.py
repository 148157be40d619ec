"""New masks of a run that was watched carry what its others carry: a state and an appearance."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from tracker.errors import ModelError
from tracker.models.dinov2 import FeatureExtractor, load_features
from tracker.session.drift import thresholds
from tracker.session.identity import ModelIdentity
from tracker.session.progress import Progress
from tracker.session.run_folder import RunFolder
from tracker.session.session import TrackSession
from tracker.session.watch.appearance import Likeness
from tracker.session.watch.watching import DriftWatch
from tracker.types import ObjectMask, Prompt

Step = tuple[int, ObjectMask]
"""A position, and an object's mask there."""


class Judging:
    """Judges what is made again, one object at a time, by the rules of a watch."""

    def __init__(
        self, session: TrackSession, extractor: FeatureExtractor, prompts: Iterable[Prompt]
    ) -> None:
        """`prompts`: of all objects, once they are corrected."""
        self._session, self._extractor, self._prompts = session, extractor, tuple(prompts)
        self._thresholds = thresholds(session.model.name, extractor.name)
        self._likeness: dict[int, Likeness] = {}

    def remind(
        self, object_id: int, stored: Mapping[int, ObjectMask], positions: Collection[int]
    ) -> None:
        """Show what the object looks like where it was prompted and its mask stays."""
        likeness = self._likeness.setdefault(object_id, Likeness())
        for position in positions:
            if position in stored:
                frame = self._session.read(position)
                features = self._extractor.extract(frame.image_hwc)
                likeness.prompt(frame.index, features, stored[position].mask_hw)

    def judged(self, steps: Iterable[Step]) -> Iterator[Step]:
        """The masks of one walk with verdict and appearance, in its order."""
        every = self._session.settings.appearance_every
        watch = DriftWatch(self._thresholds, self._extractor, self._prompts, every)
        watch.likeness = self._likeness
        for position, mask in steps:
            (marked,) = watch.judge(self._session.read(position), (mask,))
            yield position, marked.mask


def judging(
    run: RunFolder, session: TrackSession, prompts: Iterable[Prompt], progress: Progress
) -> Judging | None:
    """What judges new masks of a run that was watched; `prompts` as they are corrected.

    None with a notice where the feature model of the run is not here: appearances of two models
    cannot stand side by side.
    """
    was = run.info.models["features"]
    try:
        extractor = load_features(was.name, session.settings.device)
    except ModelError as error:
        progress.notice(f"the new masks have no appearance: {error}")
        return None
    if ModelIdentity(extractor.name, extractor.weights_sha256) != was:
        progress.notice(f"the new masks have no appearance: {was.name} has other weights now")
        return None
    return Judging(session, extractor, prompts)
