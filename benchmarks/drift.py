"""Does the drift watch see where masks go wrong?

    python -m benchmarks.drift [--cases 16] [--data DIR] [--write]

As a detector of frames with a true IoU below 0.5: the AUROC of the doubt; how many wrong masks, and
how many sound ones (from 0.7), are held to be doubtful; and which share of the drift episodes
(stretches below 0.5 after a better frame) is met by a person who looks at 5 % of the frames, in the
order of `track review`. On generated clips, and on real video with --data, each tracked from a
first-frame mask: a poor prompt is no drift, and nothing but SAM2's own scores could tell. With
--write the thresholds of the demo models in `configs/drift.json` are first chosen anew, on other
clips than those that are scored.
Writes `benchmarks/results/drift.{md,json}`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.demo_models import Bench
from benchmarks.drift_calibration import (
    EVERY,
    SOUND,
    WRONG,
    Followed,
    asks,
    calibrated_cut,
    calibrated_redetect,
    calibrated_rules,
    described,
    follow,
)
from benchmarks.generated_cases import cases
from benchmarks.leaving_cases import COMPANIES, leaving_cases
from benchmarks.real_cases import davis
from benchmarks.results import Row, write_table
from tracker.locations import shipped
from tracker.memory.abstention import abstention_threshold
from tracker.session.drift import (
    FILE_NAME,
    Thresholds,
    find_episodes,
    frames_to_look_at,
    thresholds,
    worst_first,
)

_CALIBRATION, _SCORED = 3, 4  # seeds
_BRIDGE = 3
_BUDGETS = (0.02, 0.05, 0.1, 0.2)
_LEAVING = 4  # one clip in which the object leaves, of each kind, for so many others


def clips(bench: Bench, count: int, seed: int) -> list[Followed]:
    """Generated clips: those of the demo models, and some in which the object leaves."""
    done: list[Followed] = []
    for case in cases(count, seed=seed):
        done.append(follow(bench, f"clip {len(done)}", case.frames, list(case.truth_thw)))
    for company in COMPANIES:
        for away in leaving_cases(max(1, count // _LEAVING), company, seed=seed):
            done.append(follow(bench, company, away.frames, list(away.truth_thw)))
    return done


def real_clips(bench: Bench, data: Path, frames: int | None) -> list[Followed]:
    done = []
    for sequence in davis(data):
        images = sequence.frames(frames)
        truth = [sequence.mask(i) for i in range(len(images))]
        done.append(follow(bench, sequence.name, images, truth))
    return done


def auroc(done: Sequence[Followed], limits: Thresholds) -> float:
    """Of the doubt, over all frames after the prompted one."""
    doubts, wrong = [], []
    for clip in done:
        doubts += [verdict.doubt for verdict in clip.verdicts(limits)[1:]]
        wrong += [truth < WRONG for truth in clip.ious[1:]]
    return float(roc_auc_score(wrong, doubts))


def doubtful_shares(done: Sequence[Followed], limits: Thresholds) -> dict[str, float]:
    """The shares of wrong and of sound masks, without empty ones, that are doubtful."""
    states: dict[str, list[bool]] = {"wrong": [], "sound": []}
    for clip in done:
        rows = zip(clip.verdicts(limits), clip.seen, clip.ious, strict=True)
        for verdict, seen, truth in rows:
            kind = "wrong" if truth < WRONG else "sound" if truth >= SOUND else None
            if kind is not None and seen.area_px and not seen.prompted:
                states[kind].append(verdict.state == "doubtful")
    return {kind: float(np.mean(each)) for kind, each in states.items()}


def drift_episodes(ious: Sequence[float]) -> list[range]:
    """Stretches of wrong frames that follow a better one; up to 2 better frames do not part them.

    That is how `tracker.session.drift.find_episodes` joins its own.
    """
    if all(truth < WRONG for truth in ious):
        return []
    first = next(i for i, truth in enumerate(ious) if truth >= WRONG)
    wrong = [i for i in range(first, len(ious)) if ious[i] < WRONG]
    parts: list[list[int]] = []
    for i in wrong:
        if parts and i - parts[-1][-1] <= _BRIDGE:
            parts[-1].append(i)
        else:
            parts.append([i])
    return [range(part[0], part[-1] + 1) for part in parts]


def episode_recall(done: Sequence[Followed], limits: Thresholds, budget: float) -> float:
    """The share of drift episodes in which a looked-at frame lies."""
    verdicts = dict(enumerate(clip.verdicts(limits) for clip in done))
    episodes = worst_first(e for n, each in verdicts.items() for e in find_episodes(n, each))
    most = round(budget * sum(len(clip.ious) for clip in done))
    looked = set(frames_to_look_at(episodes, verdicts)[:most])
    wanted = [(n, part) for n, clip in enumerate(done) for part in drift_episodes(clip.ious)]
    met = [any((n, frame) in looked for frame in part) for n, part in wanted]
    return float(np.mean(met)) if met else float("nan")


def score(name: str, done: Sequence[Followed], limits: Thresholds) -> list[Row]:
    frames = sum(len(clip.ious) - 1 for clip in done)
    wrong = np.mean([truth < WRONG for clip in done for truth in clip.ious[1:]])
    episodes = sum(len(drift_episodes(clip.ious)) for clip in done)
    sparse = [described(clip, EVERY) for clip in done]
    unlooked = [described(clip, None) for clip in done]
    note = f"{frames} frames of {len(done)} clips, {wrong:.0%} wrong"
    every = f"looks every {EVERY} frames"
    return [
        Row(f"{name}: AUROC, {every}", auroc(sparse, limits), note),
        Row(f"{name}: AUROC, looks on every frame", auroc(done, limits), note),
        Row(f"{name}: AUROC, scores alone", auroc(unlooked, limits), note),
        *(
            Row(f"{name}: {kind} masks held to be doubtful, {every}", share, note)
            for kind, share in doubtful_shares(sparse, limits).items()
        ),
        *(
            Row(
                f"{name}: drift episodes met at {budget:.0%} of the frames",
                episode_recall(sparse, limits, budget),
                f"{episodes} episodes",
            )
            for budget in _BUDGETS
        ),
    ]


def calibrate(bench: Bench, count: int) -> None:
    """Choose the thresholds of the demo models, and write them."""
    done = clips(bench, count, _CALIBRATION)
    rules = calibrated_rules(done)
    few = max(1, count // _LEAVING)
    asked = [a for c in COMPANIES for a in asks(bench, leaving_cases(few, c, seed=_CALIBRATION))]
    redetect = calibrated_redetect(asked, abstention_threshold(bench.extractor.name))
    origin = {
        "data": f"{len(done)} generated clips (benchmarks/drift.py)",
        "command": f"python -m benchmarks.drift --cases {count} --write",
    }
    masks: dict[str, Any] = {
        name: asdict(getattr(rules, name)) for name in ("presence", "predicted_iou", "size")
    }
    masks |= {name: getattr(rules, name) for name in ("cut", "absent", "doubtful", "trusted")}
    looks = {
        "likeness": asdict(rules.likeness),
        "cut_below": calibrated_cut(done),
        "redetect": redetect,
    }
    path = shipped("configs") / FILE_NAME
    known = json.loads(path.read_text("utf-8"))
    known["sam2"]["demo"] = masks | origin
    known["features"]["demo"] = looks | origin
    path.write_text(json.dumps(known, indent=2) + "\n", "utf-8")
    found = [a.score >= redetect["score"] for a in asked if a.here]
    click.echo(f"{json.dumps(masks | looks)}; returned objects accepted: {np.mean(found):.2f}")


@click.command()
@click.option("--cases", "count", default=16, show_default=True, help="Generated clips.")
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="Real data with truth.")
@click.option("--frames", type=int, help="Frames of each real sequence. [default: all]")
@click.option("--write", is_flag=True, help="Choose the thresholds anew.")
def main(count: int, data: Path | None, frames: int | None, write: bool) -> None:
    """Measure the drift watch."""
    bench = Bench()
    if write:
        calibrate(bench, count)
    limits = thresholds("demo", bench.extractor.name)
    rows = score("generated clips", clips(bench, count, _SCORED), limits)
    if data is not None:
        rows += score("real video", real_clips(bench, data, frames), limits)
    for row in rows:
        click.echo(f"{row.what}: {row.value:.3f}  {row.note}")
    write_table("drift", "The drift watch", rows)


if __name__ == "__main__":
    main()
