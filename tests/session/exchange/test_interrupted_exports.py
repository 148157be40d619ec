"""An export that is cut short leaves nothing that could be taken for a whole one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.interrupts import heed_interrupts
from tests.made_runs import write_run
from tests.made_videos import make_video
from tracker.output.export import FORMATS, ExportOptions
from tracker.session.exchange.exporting import export_run
from tracker.session.run_folder import RunFolder

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, MemoryError])
def test_an_interruption_leaves_nothing_of_any_format(tmp_path, kind):
    video = make_video(tmp_path / "clip.mp4", 4, size=(96, 64))
    run = write_run(tmp_path / "run", video, range(4))
    before = sorted(path.name for path in run.path.iterdir())
    seen = []

    def interrupt() -> None:
        seen.append(1)
        if len(seen) == 3:
            raise kind

    with pytest.raises(kind):
        export_run(run, list(FORMATS), on_frame=interrupt)
    assert sorted(path.name for path in run.path.iterdir()) == before


@pytest.fixture(scope="module")
def large_run(tmp_path_factory) -> RunFolder:
    """Its frames take seconds to draw."""
    folder = tmp_path_factory.mktemp("large")
    video = make_video(folder / "clip.mp4", 30, size=(1280, 720))
    return write_run(folder / "run", video, range(30))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_leaves_the_output_before_as_it_was(large_run, tmp_path, number):
    out = tmp_path / "out"
    (before,) = export_run(large_run, ["coco"], out, ExportOptions(every=10))
    stored = {p: p.read_bytes() for p in before.path.rglob("*") if p.is_file()}
    command = ["export", large_run.path, "--format", "coco,video", "--style", "halo"]
    command += ["--output", out, "--overwrite"]
    process = subprocess.Popen(
        [sys.executable, ROOT / "cli.py", *command],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    begun = out / ".coco.tmp" / "images" / "00003.jpg"
    while process.poll() is None and not begun.exists():
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode in (130, -signal.SIGKILL), errors
    assert {p: p.read_bytes() for p in before.path.rglob("*") if p.is_file()} == stored
    there = {path.name for path in out.iterdir()}
    if number != signal.SIGKILL:  # nobody can tidy up after that but the next export
        assert errors.splitlines()[-1] == "interrupted"
        assert there == {"coco"}
    assert all(name == "coco" or name.startswith(".") for name in there)
    options = ExportOptions(every=10)
    export_run(large_run, ["coco", "csv", "video"], out, options, overwrite=True)
    assert {path.name for path in out.iterdir()} == {"coco", "scores.csv", "annotated.mp4"}
