"""Is a lost object found again? Generated clips in which it leaves and returns at another place.

    python -m benchmarks.redetect [--cases 15] [--data DIR]

Each clip is tracked from a first-frame box with `--redetect off` and with `auto`, once with the
object alone and once beside a look-alike of another hue. It counts as found when a mask overlaps
the truth by more than half within 10 frames of its return (half of its usual area in view), and as
a false re-detection when a prompt is set while it is away. With --data, real video is tracked both
ways from a first-frame mask. Writes `benchmarks/results/redetect.{md,json}`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from benchmarks.demo_models import Bench, box_prompt, mean_iou
from benchmarks.generated_cases import FrameList
from benchmarks.leaving_cases import COMPANIES, Company, LeavingCase, leaving_cases
from benchmarks.real_cases import davis
from benchmarks.results import Row, write_table
from tracker.masks import BoolMask, iou
from tracker.session.drift import thresholds
from tracker.session.propagation import propagate
from tracker.session.watch.look_again import Eyes, LookAgain
from tracker.settings import TrackSettings
from tracker.types import Frame, Prompt

WITHIN = 10  # frames
FOUND_IOU = 0.5
_SEED = 2


@dataclass(frozen=True, eq=False)
class Followed:
    """The masks of one object, and the prompts that were set on the way."""

    masks: list[BoolMask]
    redetected: list[Prompt]


def follow(bench: Bench, frames: FrameList, prompt: Prompt, redetect: bool) -> Followed:
    """Carry one object through a clip from a prompt on frame 0."""
    watch = _Noting(bench, frames, prompt) if redetect else None
    masks: dict[int, BoolMask] = {}
    prompts = {1: {0: prompt}}
    for position, objects in propagate(bench.predictor, frames, prompts, "forward", watch=watch):
        masks[position] = objects[0].mask_hw
    found = watch.found if watch else []
    return Followed([masks[i] for i in range(len(frames))], found)


class _Noting(LookAgain):
    """Keeps the prompts that it sets."""

    def __init__(self, bench: Bench, frames: FrameList, prompt: Prompt) -> None:
        self.found: list[Prompt] = []
        super().__init__(
            read=lambda position: Frame(position, position, frames[position]),
            prompts=(prompt,),
            eyes=Eyes(bench.extractor, lambda: bench.prompter),
            thresholds=thresholds("demo", bench.extractor.name),
            settings=TrackSettings(redetect="auto"),
        )

    def after(self, position, objects):  # type: ignore[no-untyped-def]
        prompts = super().after(position, objects)
        self.found += prompts.values()
        return prompts


@dataclass(frozen=True)
class Outcome:
    """One clip: mean IoU both ways; found in time; prompted while the object was away."""

    off: float
    auto: float
    found_off: bool
    found: bool
    false: bool


def outcome(bench: Bench, case: LeavingCase) -> Outcome:
    truth = list(case.truth_thw)
    off, auto = (
        follow(bench, case.frames, box_prompt(truth[0]), redetect) for redetect in (False, True)
    )
    empty = {int(i) for i in np.flatnonzero(~case.truth_thw.any(axis=(1, 2)))}
    return Outcome(
        off=mean_iou(off.masks, truth),
        auto=mean_iou(auto.masks, truth),
        found_off=_is_found(off.masks, case),
        found=_is_found(auto.masks, case),
        false=any(prompt.frame in empty for prompt in auto.redetected),
    )


def _is_found(masks: list[BoolMask], case: LeavingCase) -> bool:
    window = range(case.back, min(case.back + WITHIN + 1, len(masks)))
    return any(iou(masks[i], case.truth_thw[i]) > FOUND_IOU for i in window)


def generated(bench: Bench, count: int, company: Company) -> list[Row]:
    done = []
    for case in leaving_cases(count, company, seed=_SEED):
        done.append(outcome(bench, case))
        click.echo(f"  {company} {len(done)}: {done[-1]}")
    note, name = f"{count} clips of {len(case.frames)} frames", f"{company}: "
    return [
        Row(name + f"found within {WITHIN} frames", _share(o.found for o in done), note),
        Row(name + "the same with --redetect off", _share(o.found_off for o in done), note),
        Row(name + "false re-detections while away", _share(o.false for o in done), note),
        Row(name + "mean J, --redetect off", float(np.mean([o.off for o in done])), note),
        Row(name + "mean J, --redetect auto", float(np.mean([o.auto for o in done])), note),
    ]


def real_video(bench: Bench, data: Path) -> list[Row]:
    off, auto, prompts = [], [], 0
    for sequence in davis(data):
        frames = sequence.frames()
        truth = [sequence.mask(i) for i in range(len(sequence.mask_paths))]
        given = Prompt(frame=0, object_id=1, mask_hw=truth[0])
        off.append(mean_iou(follow(bench, frames, given, False).masks, truth))
        found = follow(bench, frames, given, True)
        auto.append(mean_iou(found.masks, truth))
        prompts += len(found.redetected)
        click.echo(f"  {sequence.name}: {off[-1]:.3f} {auto[-1]:.3f} {len(found.redetected)}")
    note = f"{len(off)} DAVIS-2016 sequences"
    return [
        Row("real video: mean J, --redetect off", float(np.mean(off)), note),
        Row("real video: mean J, --redetect auto", float(np.mean(auto)), note),
        Row(
            "real video: mean J changed by",
            float(np.mean(auto) - np.mean(off)),
            "-0.005 is allowed",
        ),
        Row("real video: re-detections", prompts, note),
    ]


def _share(values: Iterable[bool]) -> float:
    return float(np.mean(list(values)))


@click.command()
@click.option(
    "--cases", "count", default=15, show_default=True, help="Clips of each kind; 0: none."
)
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="Real data with truth.")
def main(count: int, data: Path | None) -> None:
    """Measure what looking again brings."""
    bench = Bench()
    kinds = COMPANIES if count else ()
    rows = [row for company in kinds for row in generated(bench, count, company)]
    if data is not None:
        rows += real_video(bench, data)
    for row in rows:
        click.echo(f"{row.what}: {row.value:.3f}  {row.note}")
    write_table("redetect", "Looking for lost objects again", rows)


if __name__ == "__main__":
    main()
