"""The streaming predictor beside SAM2's own on a GPU, within a given time.

    python -m benchmarks.engine_gpu --seconds 150 --results DIR

What matters most is measured first, and the table is written anew after every group of cases, so
that an end in between costs the rest alone; `--skip` goes on with what an earlier run left. The
cases of a group are tracked frame by frame in turn in one process. What is compiled gets ready
beside that, and waits for its turn to be timed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import click

from benchmarks.engine_cases import Case, made_frames, name, save_frame
from benchmarks.results import FOLDER, Row, write_table

CEILING_TFLOPS = 790  # bf16 of an H200; an H100 has as much
ENCODER_GFLOP = {"t": 292, "s": 360, "b+": 647, "l": 1823}  # at 1024 px
OBJECT_GFLOP = 621
FRAMES = 40  # of which the first 20 warm up
COMPILER_THREADS = "4"  # of each compiled case, so that the others find cores free
TITLE = "The streaming predictor beside SAM2's own on a GPU"

Group = list[Case]
Figures = dict[str, Any]


def engines(base: Case) -> Group:
    """The reference, and ours: exact, as it is by default, and with recorded graphs."""
    ours = replace(base, engine="ours", decoded=True)
    return [base, replace(ours, switches={"exact": True}), ours, with_graphs(ours)]


def with_graphs(ours: Case) -> Case:
    return replace(ours, switches={"graphs": True})


def jobs(base: Case) -> Iterator[list[Group]]:
    """The groups that one process measures each, the most important first."""
    demo = replace(base, model="demo", image_size=min(256, base.image_size), objects=3)
    small = [engines(replace(demo, precision="fp32")), engines(demo)]
    yield small + [engines(replace(base, objects=n)) for n in (1, 10)]
    yield [engines(replace(base, model="b+", objects=n)) for n in (1, 10)]
    ours = replace(base, engine="ours", decoded=True, profile=True)
    yield [[replace(ours, objects=10)], [ours], [with_graphs(ours)]]
    for model in ("s", "l"):
        yield [engines(replace(base, model=model, objects=n)) for n in (1, 10)]
    for model in ("t", "b+", "s", "l"):
        yield [engines(replace(base, model=model, objects=5))]


def compiled_jobs(base: Case) -> Iterator[list[Group]]:
    """SAM2's compiled variant and ours.

    The mode that SAM2 asks for tries kernels for minutes; its graphs (`reduce-overhead`) fail on
    torch 2.11, which finds an output overwritten by a later run.
    """
    yield [[replace(base, engine="vos", switches={"mode": "default"})]]
    yield [[replace(base, engine="ours", switches={"compile": True}, decoded=True)]]


class Job:
    """A process that measures groups of cases, and tells the figures of each when it has them."""

    def __init__(self, groups: list[Group], folder: Path) -> None:
        self._waiting = list(groups)
        self._errors = folder / f"errors-{id(self)}"
        self._told = folder / f"told-{id(self)}"
        given = json.dumps([[asdict(case) for case in group] for group in groups])
        with self._told.open("w") as told, self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.engine_worker", given],
                stdout=told,
                stderr=errors,
                env={**os.environ, "TORCHINDUCTOR_COMPILE_THREADS": COMPILER_THREADS},
                start_new_session=True,  # its compilers are ended with it
            )
        self._reader = self._told.open()
        self._line = ""

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def new_results(self) -> Iterator[tuple[Group, list[Figures]]]:
        """Groups that were measured since the last time."""
        while part := self._reader.readline():
            self._line += part
            if self._line.endswith("\n"):
                yield self._waiting.pop(0), json.loads(self._line)
                self._line = ""

    def complaint(self) -> str:
        """Why groups are missing; empty when none is."""
        if not self._waiting:
            return ""
        last = self._errors.read_text().strip().splitlines()[-1:]
        return f"not measured: {name(self._waiting[0][-1])} and what follows {last}"

    def stop(self) -> None:
        if self.runs:
            os.killpg(self._process.pid, signal.SIGKILL)


class Table:
    """Rows and profiles, written anew whenever some are added."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: list[Row] = []
        self._profiles: list[str] = []

    def add(self, group: Group, figures: list[Figures]) -> None:
        for case, each in zip(group, figures, strict=True):
            self._rows += rows_of(case, each, figures[0])
            if "profile" in each:
                self._profiles.append(f"\n## {name(case)}\n\n```text\n{each['profile']}\n```\n")
        write_table("engine_gpu", TITLE, self._rows, self._folder)
        with (self._folder / "engine_gpu.md").open("a") as file:
            file.writelines(self._profiles)


def rows_of(case: Case, figures: Figures, first: Figures) -> Iterator[Row]:
    """What is shown of a case; `first` are the figures of the first case of its group."""
    seconds, note = median(figures["frame_s"]), name(case)
    yield Row("frames/s", 1 / seconds, note)
    yield Row("s/frame, p95", quantiles(figures["frame_s"], n=20)[-1], note)
    if case.model in ENCODER_GFLOP:
        tflop = (ENCODER_GFLOP[case.model] + case.objects * OBJECT_GFLOP) / 1000
        yield Row("share of the ceiling", tflop / seconds / CEILING_TFLOPS, note)
    if first is not figures:
        yield Row("times the reference", median(first["frame_s"]) / seconds, note)
        yield Row("least IoU with the reference", figures["least_iou"], note)
        yield Row("share of frames with its bits", figures["same_bits"], note)


def measure(running: list[Job], job: Job, table: Table, deadline: float) -> None:
    """Collect what `running` jobs tell until `job` is done, or time is up."""
    while True:
        over = not job.runs or time.monotonic() > deadline
        for each in running:
            for group, figures in each.new_results():
                click.echo(f"{name(group[-1])}: {deadline - time.monotonic():.0f} s left")
                table.add(group, figures)
        if over:
            return
        time.sleep(0.2)


@click.command()
@click.option("--seconds", default=1200.0, show_default=True, help="What is not done then, is not.")
@click.option("--results", type=click.Path(path_type=Path), default=FOLDER, help="For the table.")
@click.option("--device", default="cuda", show_default=True, help="`cpu` tries the script itself.")
@click.option("--image-size", default=1024, show_default=True, help="Side in pixels.")
@click.option("--skip", default=0, help="How many groups of the list to leave out.")
@click.option("--compiled/--no-compiled", default=True, help="Also time what is compiled.")
def main(
    seconds: float, results: Path, device: str, image_size: int, skip: int, compiled: bool
) -> None:
    """Measure the streaming predictor beside SAM2's own on a GPU."""
    deadline = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as made:
        folder, frames = Path(made), Path(made) / "frames"
        frames.mkdir()
        for index, image_hwc in enumerate(made_frames(FRAMES + 6, 1024, 1024)):
            save_frame(frames, index, image_hwc)
        base = Case("frames", "reference", "t", image_size, 1, FRAMES, str(frames), "bf16")
        base = replace(base, device=device, lock=str(folder / "lock"))
        running = [Job(groups, folder) for groups in compiled_jobs(base) if compiled]
        ready = list(running)
        table = Table(results)
        try:
            for groups in islice(jobs(base), skip, None):
                if time.monotonic() < deadline:
                    running.append(Job(groups, folder))
                    measure(running, running[-1], table, deadline)
            for job in ready:
                measure(running, job, table, deadline)
        finally:
            for job in running:
                job.stop()
                if complaint := job.complaint():
                    click.echo(complaint)


if __name__ == "__main__":
    main()
