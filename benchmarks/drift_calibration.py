"""The thresholds of `configs/drift.json`, chosen on generated clips with truth.

A sign's ramp runs from the median of sound masks (IoU from 0.7) to the median of wrong ones (below
0.5); the weights of all signs together are those that make what the masks were most likely.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from benchmarks.demo_models import Bench
from benchmarks.generated_cases import FrameList
from benchmarks.leaving_cases import LeavingCase
from tracker.masks import BoolMask, iou
from tracker.memory.prompting import find_prompts
from tracker.session.drift import (
    Observation,
    Ramp,
    Rules,
    Thresholds,
    Verdict,
    observe,
    size_sign,
)
from tracker.session.watch.appearance import ABRUPT, Likeness, whole_look
from tracker.session.watch.history import RunHistory, judge_run
from tracker.session.watch.run_references import RunReferences
from tracker.settings import TrackSettings

EVERY = TrackSettings().appearance_every
SOUND, WRONG = 0.7, 0.5
_HIGHEST_WEIGHT = 0.95
_LATER_REFERENCE = 8  # a frame of the clip beside the first
_ASKED = (6, 14, 22)  # frames after the object has gone
_BACK = (0, 4, 8)  # frames after its return


@dataclass(frozen=True, eq=False)
class Followed:
    """A tracked clip: what a review would know of it, looks of whole frames, true IoUs."""

    name: str
    seen: list[Observation]
    frames_tc: np.ndarray
    ious: list[float]

    def verdicts(self, limits: Thresholds) -> list[Verdict]:
        return judge_run(RunHistory({1: self.seen}), limits)[1]


def follow(bench: Bench, name: str, frames: FrameList, truth: Sequence[BoolMask]) -> Followed:
    """Track one object from its mask on frame 0, and describe every frame."""
    state = bench.predictor.init_state(frames)
    bench.predictor.add_new_mask(state, 0, 1, truth[0])
    likeness = Likeness()
    seen, frames_t, ious = [], [], []
    for index, (mask,) in bench.predictor.track(state):
        features = bench.extractor.extract(frames[index])
        if index == 0:
            likeness.prompt(index, features, mask.mask_hw)
        score = likeness.score(features, mask.mask_hw)
        seen.append(observe(replace(mask, appearance=score), index, prompted=index == 0))
        frames_t.append(whole_look(features))
        ious.append(iou(mask.mask_hw, truth[index]))
    return Followed(name, seen, np.stack(frames_t), ious)


def described(clip: Followed, every: int | None) -> Followed:
    """The clip with appearances where a watch measures them: every few frames, and at events.

    Without any for None.
    """
    kept, since, area = [], 0, 0
    for one in clip.seen:
        since += 1
        event = abs(one.area_px - area) > ABRUPT * max(one.area_px, area)
        area = one.area_px
        wanted = every is not None and (event or since >= every)
        since = 0 if wanted else since
        kept.append(one if wanted else replace(one, appearance=None))
    return replace(clip, seen=kept)


@dataclass(frozen=True)
class _Signs:
    """The values of a mask's signs, as far as there are any, and whether it is wrong."""

    values: dict[str, float]
    wrong: bool


_SIGNS = ("presence", "predicted_iou", "size", "likeness")
_UNTAUGHT = Rules(
    *(Ramp(1.0, 0.0, 0.0),) * 3, Ramp(1.0, 0.5, 1.0), cut=0.5, absent=0.5, doubtful=0.5, trusted=0.5
)  # fmt: skip


def calibrated_rules(clips: Sequence[Followed]) -> Rules:
    """Rules from clips; twice, since what counts as trusted depends on them."""
    watched = [described(clip, EVERY) for clip in clips]
    rules = _UNTAUGHT
    for _ in range(2):
        rows = _signs(clips, _limits(rules))
        ramps = {name: _ramp(rows, name) for name in _SIGNS}
        known = _signs(watched, _limits(rules))
        ramps = _weighted(ramps, [*known, *map(_unseen, known)])
        absent = _absent(clips, ramps["likeness"])
        rules = Rules(**ramps, cut=0.5, absent=absent, doubtful=0.5, trusted=0.5)
        good, bad = _doubts(watched, _limits(rules))
        rules = replace(
            rules,
            doubtful=round(-best_split([-v for v in good], [-v for v in bad]), 2),
            trusted=round(float(np.quantile(good, 0.75)), 2),
        )
        rules = replace(rules, trusted=min(rules.trusted, rules.doubtful))
    return rules


def _limits(rules: Rules) -> Thresholds:
    """Rules alone: what the other thresholds are does not matter to verdicts."""
    return Thresholds(rules, -1.0, 1.0, 1.0)


def _signs(clips: Iterable[Followed], limits: Thresholds) -> list[_Signs]:
    """The signs of every mask that is surely sound or wrong."""
    rows = []
    for clip in clips:
        areas: deque[int] = deque(maxlen=limits.rules.recent)
        judged = zip(clip.seen, clip.verdicts(limits), clip.ious, strict=True)
        for seen, verdict, truth in judged:
            surely = truth >= SOUND or truth < WRONG
            if surely and seen.area_px and not seen.prompted:
                values = {"presence": seen.object_score, "predicted_iou": seen.predicted_iou}
                if areas:
                    values["size"] = size_sign(seen.area_px, areas)
                if verdict.appearance is not None:
                    values["likeness"] = verdict.appearance
                rows.append(_Signs(values, truth < WRONG))
            if verdict.trusted:
                areas.append(seen.area_px)
    return rows


def _unseen(row: _Signs) -> _Signs:
    """What is left of a mask's signs where nothing was compared: verdicts must hold there too."""
    return _Signs({n: v for n, v in row.values.items() if n != "likeness"}, row.wrong)


def _ramp(rows: Sequence[_Signs], name: str) -> Ramp:
    """From the median of sound masks to that of wrong ones."""
    fine, bad = (
        float(np.median([r.values[name] for r in rows if name in r.values and r.wrong == wrong]))
        for wrong in (False, True)
    )
    return Ramp(round(fine, 3), round(min(bad, fine - 0.01), 3), 1.0)


def _weighted(ramps: dict[str, Ramp], rows: Sequence[_Signs]) -> dict[str, Ramp]:
    """The ramps with the weights that make what the masks were most likely, all together.

    `1 - prod(1 - weight x share)` is then a noisy-or model (Pearl, 1988) of the probability that a
    mask is wrong. A sign that says what another says better gets little weight.
    """
    shares_ns = np.array(
        [[ramps[n].doubt(r.values[n]) if n in r.values else 0.0 for n in ramps] for r in rows]
    )
    wrong_n = np.array([r.wrong for r in rows])

    def unlikeliness(logits_s: NDArray[np.float64]) -> float:
        doubt_n = 1 - np.prod(1 - expit(logits_s) * shares_ns, axis=1)
        doubt_n = np.clip(doubt_n, 1e-3, 1 - 1e-3)
        likelihood_n = np.where(wrong_n, doubt_n, 1 - doubt_n)
        return float(-np.log(likelihood_n).mean() + 1e-3 * np.square(logits_s).sum())

    found = minimize(unlikeliness, np.zeros(len(ramps))).x
    weights = np.minimum(expit(found), _HIGHEST_WEIGHT)
    named = zip(ramps.items(), weights, strict=True)
    return {name: replace(ramp, weight=round(float(weight), 3)) for (name, ramp), weight in named}


def _absent(clips: Iterable[Followed], likeness: Ramp) -> float:
    """The share that is wrong of empty masks on frames on which nothing looks like the object.

    Half where there are none.
    """
    empty = [
        truth < WRONG
        for clip in clips
        for seen, truth in zip(clip.seen, clip.ious, strict=True)
        if not seen.area_px and seen.appearance is not None and seen.appearance >= likeness.fine
    ]
    return round(float(sum(empty) + 1) / (len(empty) + 2), 3)


def _doubts(clips: Iterable[Followed], limits: Thresholds) -> tuple[list[float], list[float]]:
    """Of sound and of wrong masks."""
    pairs = [
        (truth, verdict.doubt)
        for clip in clips
        for verdict, truth in zip(clip.verdicts(limits)[1:], clip.ious[1:], strict=True)
    ]
    return [d for truth, d in pairs if truth >= SOUND], [d for truth, d in pairs if truth < WRONG]


def best_split(high: Sequence[float], low: Sequence[float]) -> float:
    """The value that parts two samples with the best balanced accuracy."""
    values = np.unique(np.concatenate([high, low]))
    middles = (values[1:] + values[:-1]) / 2
    high_n, low_n = np.asarray(high), np.asarray(low)
    accuracy = [(high_n >= m).mean() + (low_n < m).mean() for m in middles]
    return float(middles[int(np.argmax(accuracy))])


def calibrated_cut(clips: Sequence[Followed], apart: int = 8) -> float:
    """The cosine that parts frames of one clip, up to 8 apart, from those of different clips."""
    same = [
        float(clip.frames_tc[i] @ clip.frames_tc[i + apart])
        for clip in clips
        for i in range(0, len(clip.frames_tc) - apart, apart)
    ]
    firsts = np.stack([clip.frames_tc[0] for clip in clips])
    other = (firsts @ firsts.T)[np.triu_indices(len(firsts), 1)]
    return round(best_split(same, other.tolist()), 3)


@dataclass(frozen=True)
class Ask:
    """The best match for an object on one frame: whether it was there, score and likeness."""

    here: bool
    score: float
    appearance: float


def asks(bench: Bench, cases: Iterable[LeavingCase]) -> list[Ask]:
    """Ask for the object while it is away, and after its return, as looking again does."""
    done = []
    for case in cases:
        references, likeness = RunReferences(), Likeness()
        for index in (0, _LATER_REFERENCE):
            features = bench.extractor.extract(case.frames[index])
            references.add_frame(1, index, case.frames[index], features, case.truth_thw[index])
            if index == 0:  # the later one is a trusted frame, which no mask is held against
                likeness.prompt(index, features, case.truth_thw[index])
        places = [case.gone + n for n in _ASKED] + [case.back + n for n in _BACK]
        done += [_ask(bench, case, index, references, likeness) for index in places]
    return done


def _ask(
    bench: Bench, case: LeavingCase, index: int, references: RunReferences, likeness: Likeness
) -> Ask:
    image_hwc = case.frames[index]
    features = bench.extractor.extract(image_hwc)
    decision = find_prompts(
        image_hwc, references, bench.extractor, bench.prompter, threshold=0.0, features=features
    )[0]
    found = decision.mask_hw is not None
    appearance = likeness.score(features, decision.mask_hw) if found else None
    here = bool(case.truth_thw[index].any())
    return Ask(here, decision.score, -1.0 if appearance is None else appearance)


def calibrated_redetect(done: Sequence[Ask], lowest: float) -> dict[str, float]:
    """The likeness that 95 % of the returned objects have, and of those that have it the lowest
    score that refuses every absent object, but at least `lowest`."""
    likeness = float(np.quantile([ask.appearance for ask in done if ask.here], 0.05))
    absent = [ask.score for ask in done if not ask.here and ask.appearance >= likeness]
    score = max(lowest, max(absent, default=0.0) + 0.005)
    return {"score": round(score, 3), "likeness": round(likeness, 3)}
