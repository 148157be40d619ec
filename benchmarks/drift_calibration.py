"""The thresholds of `configs/drift.json`, chosen on generated clips with truth.

A sign's ramp runs from the median of sound masks (IoU from 0.7) to the median of wrong ones (below
0.5), and its weight is how well it alone tells them apart (2 x AUROC - 1).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.demo_models import Bench
from benchmarks.generated_cases import FrameList
from benchmarks.leaving_cases import LeavingCase
from tracker.masks import BoolMask, iou
from tracker.memory.prompting import find_prompts
from tracker.session.drift import Ramp, Rules, Thresholds, Verdict, observe, size_sign
from tracker.session.watch.appearance import Likeness, look, whole_look
from tracker.session.watch.history import History, RunHistory, judge_run
from tracker.session.watch.run_references import RunReferences

SOUND, WRONG = 0.7, 0.5
_HIGHEST_WEIGHT = 0.95
_LATER_REFERENCE = 8  # a frame of the clip beside the first
_ASKED = (6, 14, 22)  # frames after the object has gone
_BACK = (0, 4, 8)  # frames after its return


@dataclass(frozen=True, eq=False)
class Followed:
    """A tracked clip: what a review would know of it, looks of whole frames, true IoUs."""

    name: str
    history: History
    frames_tc: np.ndarray
    ious: list[float]

    def verdicts(self, limits: Thresholds, looks: bool = True) -> list[Verdict]:
        history = self.history if looks else History(self.history.seen)
        return judge_run(RunHistory({1: history}), limits)[1]


def follow(bench: Bench, name: str, frames: FrameList, truth: Sequence[BoolMask]) -> Followed:
    """Track one object from its mask on frame 0, and describe every frame."""
    state = bench.predictor.init_state(frames)
    bench.predictor.add_new_mask(state, 0, 1, truth[0])
    history, frames_t, ious = History(), [], []
    for index, (mask,) in bench.predictor.track(state):
        history.seen.append(observe(mask, index, prompted=index == 0))
        features = bench.extractor.extract(frames[index])
        seen = look(features, mask.mask_hw)
        if seen is not None:
            history.looks[index] = seen
        frames_t.append(whole_look(features))
        ious.append(iou(mask.mask_hw, truth[index]))
    return Followed(name, history, np.stack(frames_t), ious)


def every_other(clip: Followed, every: int) -> Followed:
    """The same clip with looks on every `every`-th frame only, as a watch takes them."""
    looks = {i: seen for i, seen in clip.history.looks.items() if i % every == 0}
    return replace(clip, history=History(clip.history.seen, looks))


_UNTAUGHT = Rules(
    *(Ramp(1.0, 0.0, 0.0),) * 3, Ramp(1.0, 0.5, 1.0), cut=0.5, absent=0.5, doubtful=0.5, trusted=0.5
)  # fmt: skip


def calibrated_rules(clips: Sequence[Followed]) -> Rules:
    """Rules from clips; twice, since what counts as trusted depends on them."""
    rules = _UNTAUGHT
    for _ in range(2):
        limits = _limits(rules)
        sound, wrong = _signs(clips, limits)
        ramps = {name: _ramp(sound[name], wrong[name]) for name in sound}
        rules = Rules(**ramps, cut=0.5, absent=_absent(clips), doubtful=0.5, trusted=0.5)
        good, bad = _doubts(clips, _limits(rules))
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


def _signs(
    clips: Iterable[Followed], limits: Thresholds
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """The values of every sign on sound and on wrong masks."""
    names = ("presence", "predicted_iou", "size", "likeness")
    sound: dict[str, list[float]] = {name: [] for name in names}
    wrong: dict[str, list[float]] = {name: [] for name in names}
    for clip in clips:
        areas: deque[int] = deque(maxlen=limits.rules.recent)
        judged = zip(clip.history.seen, clip.verdicts(limits), clip.ious, strict=True)
        for seen, verdict, truth in judged:
            kind = sound if truth >= SOUND else wrong if truth < WRONG else None
            if kind is not None and seen.area_px and not seen.prompted:
                kind["presence"].append(seen.object_score)
                kind["predicted_iou"].append(seen.predicted_iou)
                kind["size"] += [size_sign(seen.area_px, areas)] if areas else []
                kind["likeness"] += [] if verdict.appearance is None else [verdict.appearance]
            if verdict.trusted:
                areas.append(seen.area_px)
    return sound, wrong


def _ramp(sound: list[float], wrong: list[float]) -> Ramp:
    auroc = roc_auc_score([1] * len(sound) + [0] * len(wrong), sound + wrong)
    fine, bad = float(np.median(sound)), float(np.median(wrong))
    weight = min(max(2 * auroc - 1, 0.0), _HIGHEST_WEIGHT)
    return Ramp(round(fine, 3), round(min(bad, fine - 0.01), 3), round(float(weight), 3))


def _absent(clips: Iterable[Followed]) -> float:
    """The share of empty masks that are wrong, half where there are none."""
    empty = [
        truth < WRONG
        for clip in clips
        for seen, truth in zip(clip.history.seen, clip.ious, strict=True)
        if not seen.area_px
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
            references.add_frame(1, index, features, case.truth_thw[index])
            seen = look(features, case.truth_thw[index])
            if seen is not None:
                likeness.prompt(seen)
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
    seen = look(features, decision.mask_hw)
    score = None if seen is None else likeness.score(seen)
    here = bool(case.truth_thw[index].any())
    return Ask(here, decision.score, -1.0 if score is None else score)


def calibrated_redetect(done: Sequence[Ask], lowest: float) -> dict[str, float]:
    """The likeness that 95 % of the returned objects have, and of those that have it the lowest
    score that refuses every absent object, but at least `lowest`."""
    likeness = float(np.quantile([ask.appearance for ask in done if ask.here], 0.05))
    absent = [ask.score for ask in done if not ask.here and ask.appearance >= likeness]
    score = max(lowest, max(absent, default=0.0) + 0.005)
    return {"score": round(score, 3), "likeness": round(likeness, 3)}
