"""`track resume` and `track VIDEO --resume`, with a real process that is interrupted and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.interrupts import heed_interrupts
from tests.made_videos import make_video
from tracker.cli import main
from tracker.session.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
OPTIONS = ["--box", "9,9,50,40", "--image-size", "64", "--no-video", "--device", "cpu"]


@pytest.fixture
def track(tmp_path, monkeypatch):
    """Calls `track` in a folder of its own; returns click's result."""
    monkeypatch.chdir(tmp_path)
    return lambda *args: CliRunner().invoke(main, [str(arg) for arg in args])


def begin(video):
    """`track VIDEO` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, ROOT / "cli.py", video, *OPTIONS],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )


def wait_for(path, process):
    while not path.exists() and process.poll() is None:
        time.sleep(0.02)


def test_interrupted_in_time_resumed_by_one_process_only(track, tmp_path):
    assert track("resume", tmp_path).exit_code == 2  # what it imports is there from here on
    video = make_video(tmp_path / "clip.mp4", frames=75, size=(64, 48))
    process = begin(video)
    run = tmp_path / "runs" / "clip"
    wait_for(run / "snapshots" / "0-forward-000000.safetensors", process)
    refused = track("resume", run)
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    assert "interrupted\n" in iter(process.stderr.readline, "")
    assert time.monotonic() - sent < 5
    assert process.wait(60) == 130
    assert refused.exit_code == 2
    assert f"in use by process {process.pid}" in refused.stderr
    assert RunFolder(run).info.status == "interrupted"

    assert "--resume goes on with it" in track(video, *OPTIONS).stderr
    done = track(video, "--resume", "--json")
    assert done.exit_code == 0, done.output
    assert "note: going on from frame 0" in done.stderr
    assert json.loads(done.stdout)["frames"] == 75
    assert RunFolder(run).frame_indices == tuple(range(75))

    again = track("resume", run)
    assert again.exit_code == 0
    assert "is complete; nothing is left to do" in again.stderr


def test_without_a_run_there_it_begins(track, tmp_path):
    video = make_video(tmp_path / "clip.mp4", frames=3, size=(64, 48))
    assert track(video, *OPTIONS, "--resume").exit_code == 0
    assert RunFolder("runs/clip").info.status == "complete"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["resume", "nowhere"], "nowhere is not a run"),
        (["{video}", *OPTIONS, "--resume", "--overwrite"], "--resume or --overwrite, not both"),
    ],
)
def test_what_is_wrong_is_one_line(track, tmp_path, args, message):
    video = make_video(tmp_path / "clip.mp4", frames=2, size=(64, 48))
    result = track(*(arg.format(video=video) for arg in args))
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]
