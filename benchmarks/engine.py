"""The streaming predictor beside SAM2's own: speed and memory, each run in a process of its own.

    python -m benchmarks.engine --bars      what bars are set for on a CPU, and nothing else
    python -m benchmarks.engine --quick     the cheap cases, a few minutes on one core
    python -m benchmarks.engine             models, image sizes and objects on a CPU
    python -m benchmarks.engine --memory    peak memory over 600 and 6,000 frames of made-up video

Runs of the engines alternate; with `--bars`, frame by frame within one process. On a machine that
is shared, compare CPU time: with one thread it is the wall time that a free core would need.
`benchmarks.engine_gpu` measures on a GPU.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from statistics import mean, median, quantiles
from typing import Any

import click

from benchmarks.engine_cases import Case, made_frames, name, save_frame
from benchmarks.results import Row, write_table
from tracker.video import VideoWriter

KINDS = {"s": "wall time", "cpu_s": "CPU time"}

Result = dict[str, Any]


def run(*cases: Case) -> list[Result]:
    """The figures of each case, measured in one new process; several are tracked in turn."""
    given = json.dumps([[asdict(case) for case in cases]])
    command = [sys.executable, "-m", "benchmarks.engine_worker", given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        names = " with ".join(map(name, cases))
        raise click.ClickException(f"{names} failed: {done.stderr.strip().splitlines()[-1:]}")
    results: list[Result] = json.loads(done.stdout)
    for case, figures in zip(cases, results, strict=True):
        click.echo(f"{name(case)}: {summary(figures)}")
    return results


def summary(figures: Result) -> str:
    shown = {k: v for k, v in figures.items() if isinstance(v, int | float)}
    if "frame_cpu_s" in figures:
        shown |= {"s_median": per_frame(figures["frame_s"])}
        shown |= {"cpu_s_median": per_frame(figures["frame_cpu_s"])}
    return ", ".join(f"{key} {value:.3f}" for key, value in shown.items())


def compared(reference: Case, ours: Case, repeats: int, in_turn: bool = False) -> list[Row]:
    """Rows for both and their quotients; the runs alternate, the best of each counts."""
    pairs = []
    for _ in range(repeats):
        together = in_turn and ours.task == "frames"
        pairs.append(run(reference, ours) if together else [*run(reference), *run(ours)])
    rows, best = [], []
    for case, results in zip((reference, ours), zip(*pairs, strict=True), strict=True):
        best.append([min(key_figure(figures, kind) for figures in results) for kind in KINDS])
        fastest = min(results, key=lambda figures: key_figure(figures, "cpu_s"))
        rows += list(figure_rows(case, fastest))
    note = f"{name(ours)} / {reference.engine} {reference.precision}"
    for label, theirs, mine in zip(KINDS.values(), *best, strict=True):
        rows.append(Row(f"ours / reference, {label}", mine / theirs, note))
    return rows


def key_figure(figures: Result, kind: str) -> float:
    """Seconds of what the task is about, of one of `KINDS`."""
    if f"frame_{kind}" in figures:
        return per_frame(figures[f"frame_{kind}"])
    return float(figures.get(f"first_mask_{kind}") or figures[f"whole_{kind}"])


def per_frame(seconds: list[float]) -> float:
    """The median over fours of frames, since the encoder may take four frames at once."""
    fours = [seconds[first : first + 4] for first in range(0, len(seconds) - 3, 4)]
    return float(median(mean(four) for four in fours))


def figure_rows(case: Case, figures: Result) -> Iterator[Row]:
    if "frame_s" in figures:
        yield Row("s/frame, median of fours", per_frame(figures["frame_s"]), name(case))
        yield Row("s/frame, p95", quantiles(figures["frame_s"], n=20)[-1], name(case))
        yield Row("CPU s/frame, median of fours", per_frame(figures["frame_cpu_s"]), name(case))
    for key, label in (
        ("first_mask_s", "s to the first mask"),
        ("first_mask_cpu_s", "CPU s to the first mask"),
        ("whole_s", "s for the whole video"),
        ("whole_cpu_s", "CPU s for the whole video"),
        ("peak_rss_mb", "peak RSS, MB"),
        ("peak_vram_mb", "peak VRAM, MB"),
        ("least_iou", "least IoU with the reference"),
    ):
        if key in figures:
            yield Row(label, figures[key], name(case))


def pair(case: Case, **ours: Any) -> tuple[Case, Case]:
    """A case of the reference, and the same of ours."""
    return case, replace(case, engine="ours", **ours)


def bar_pairs(folder: Path, video: Path) -> Iterator[tuple[Case, Case]]:
    """Reference and ours, for every bar that is set for a CPU; the cheapest first."""
    demo = Case("whole", "reference", "demo", 256, 1, 0, str(video))
    yield pair(replace(demo, task="first", source=str(folder)))
    yield pair(demo)
    small = Case("frames", "reference", "demo", 256, 5, 24, str(start_of(folder, 26)))
    for model in ("demo", "t"):
        yield pair(replace(small, model=model))
        yield pair(replace(small, model=model), precision="bf16")
    brief, _ = make_clip(folder.with_name("brief"), 12, 1280, 720)
    large = Case("whole", "reference", "t", 1024, 1, 0, str(brief.with_name("clip.mp4")))
    yield pair(large, precision="auto")
    steady = replace(small, model="t", image_size=1024, objects=1, frames=12)
    yield pair(steady, precision="auto")
    yield pair(steady)
    yield pair(replace(steady, objects=5, frames=9), precision="auto")


def cpu_pairs(folder: Path, video: Path, quick: bool) -> Iterator[tuple[Case, Case]]:
    """Reference and ours, over models, image sizes, objects and precisions."""
    frames = Case("frames", "reference", "demo", 256, 5, 12, str(start_of(folder, 16)))
    yield pair(frames)
    yield pair(replace(frames, objects=1))
    yield pair(replace(frames, model="t", frames=9))
    yield pair(Case("first", "reference", "demo", 256, 1, 0, str(folder)))
    yield pair(Case("whole", "reference", "demo", 256, 1, 0, str(video)))
    large = replace(frames, model="t", image_size=512, objects=1, frames=6 if quick else 12)
    yield pair(large)
    yield pair(large, precision="auto")
    if quick:
        return
    for model in ("t", "b+"):
        for size in (512, 1024):
            for objects in (1, 5, 10):
                case = replace(large, model=model, image_size=size, objects=objects)
                yield pair(case)
                yield pair(case, precision="auto")
    yield pair(replace(frames, objects=10))


def memory_rows(frames: int) -> list[Row]:
    """Peak memory over some frames, and over ten times as many."""
    short = Case("memory", "ours", "demo", 64, 1, frames)
    peaks = [run(replace(short, frames=n))[0]["peak_rss_mb"] for n in (frames, 10 * frames)]
    note = "demo weights at 64 px, one object"
    return [
        Row(f"peak RSS over {frames} frames, MB", peaks[0], note),
        Row(f"peak RSS over {10 * frames} frames, MB", peaks[1], note),
        Row("more / fewer frames", peaks[1] / peaks[0], note),
    ]


def make_clip(folder: Path, count: int, width: int, height: int) -> tuple[Path, Path]:
    """The same made-up frames as a folder of JPEGs and as a video file."""
    images, video = folder / "frames", folder / "clip.mp4"
    images.mkdir(parents=True)
    rate = Fraction(25)
    with VideoWriter(
        video, width=width, height=height, frame_rate=rate, time_base=1 / rate
    ) as writer:
        for index, image_hwc in enumerate(made_frames(count, width, height)):
            save_frame(images, index, image_hwc)
            writer.write(image_hwc, index)
    return images, video


def start_of(folder: Path, count: int) -> Path:
    """The first frames of a folder, for measurements that must not wait for SAM2 to read it all."""
    start = folder.with_name(f"first-{count}")
    start.mkdir(exist_ok=True)
    for path in sorted(folder.iterdir())[:count]:
        (start / path.name).symlink_to(path)
    return start


@click.command()
@click.option("--bars", is_flag=True, help="What bars are set for, frame by frame in turn.")
@click.option(
    "--only",
    default="",
    help="Of these or the CPU cases, those whose name has this; a table of its own.",
)
@click.option("--quick", is_flag=True, help="The cheap cases only.")
@click.option("--memory", is_flag=True, help="Peak memory over some frames and ten times more.")
@click.option("--memory-frames", default=600, show_default=True, help="The fewer frames of it.")
@click.option("--clip-frames", default=300, show_default=True, help="Length of the clip.")
@click.option("--repeats", default=1, show_default=True, help="Runs of each engine.")
def main(
    bars: bool,
    only: str,
    quick: bool,
    memory: bool,
    memory_frames: int,
    clip_frames: int,
    repeats: int,
) -> None:
    """Measure the streaming predictor beside SAM2's own."""
    table = "engine_bars" if bars else "engine_cpu"
    if only:  # a part does not take the place of the whole
        table = f"{table}_{'_'.join(only.split())}"
    if memory:
        rows = memory_rows(memory_frames)
        write_table("engine_memory", "Memory of the streaming predictor", rows)
        return
    with tempfile.TemporaryDirectory() as made:
        folder, video = make_clip(Path(made), clip_frames, 1280, 720)
        pairs = bar_pairs(folder, video) if bars else cpu_pairs(folder, video, quick)
        rows: list[Row] = []
        for reference, ours in (pair for pair in pairs if only in name(pair[1])):
            rows += compared(reference, ours, repeats, in_turn=bars)
            write_table(table, "The streaming predictor beside SAM2's own", rows)


if __name__ == "__main__":
    main()
