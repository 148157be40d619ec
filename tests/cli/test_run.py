"""`track VIDEO` from end to end on the embedded models: files, tables, JSON and exit codes."""

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
from tests.made_detector import make_detector
from tests.made_videos import make_video
from tracker.cli import main
from tracker.session.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
BOX = ["--box", "40,20,120,100"]


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("videos") / "clip.mp4", frames=5)


@pytest.fixture
def track(tmp_path, monkeypatch):
    """Calls `track` in a folder of its own, with a memory of its own; returns click's result."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACK_MEMORY", str(tmp_path / "memory"))

    def call(*args):
        return CliRunner().invoke(main, [str(arg) for arg in args])

    return call


def test_a_video_alone_means_run(track, video):
    result = track(video, *BOX, "--no-video")
    assert result.exit_code == 0, result.output
    run = RunFolder("runs/clip")
    assert run.info.status == "complete"
    assert run.info.models["sam2"].name == "demo"
    assert result.stdout.splitlines()[1].split()[:4] == ["1", "box", "user", "0"]
    assert "runs/clip/masks" in result.stdout
    assert result.stderr.splitlines() == [
        "note: using demo, a small model; for real footage: track models pull sam2.1_hiera_small"
    ]


def test_json_is_all_that_stdout_holds(track, video):
    result = track("run", video, *BOX, "--box", "2@3:10,10,60,60", "--json", "--output", "out")
    summary = json.loads(result.stdout)
    assert [entry["id"] for entry in summary["objects"]] == [1, 2]
    assert summary["objects"][1]["frame"] == 3
    assert summary["frames"] == 5
    assert summary["status"] == "complete"
    assert all(Path(path).exists() for path in summary["outputs"].values())


def test_prompts_of_a_run_can_be_passed_back_in(track, video):
    track(video, *BOX, "--point", "2@1:30,30", "--no-video", "--output", "a")
    result = track(video, "--prompts", "a/prompts.json", "--no-video", "--output", "b")
    assert result.exit_code == 0, result.output
    first, second = RunFolder("a"), RunFolder("b")
    assert [p.to_json() for p in first.prompts] == [p.to_json() for p in second.prompts]
    for ours, theirs in zip(first.frames(), second.frames(), strict=True):
        for a, b in zip(ours.objects, theirs.objects, strict=True):
            assert (a.mask_hw == b.mask_hw).all()


def test_boxes_of_a_detector_become_objects(track, video, tmp_path):
    box = {"frame": 0, "box": [40, 20, 120, 100], "label": "cup", "score": 0.9}
    (tmp_path / "boxes.json").write_text(json.dumps([box]))
    given = ("run", video, "--boxes", "boxes.json", "--end", "2", "--no-video", "--json")
    (entry,) = json.loads(track(*given, "--detect-every", "1").stdout)["objects"]
    assert (entry["label"], entry["source"], entry["score"]) == ("cup", "detector", 0.9)
    assert RunFolder("runs/clip").info.settings.boxes == str(tmp_path / "boxes.json")
    sure = track(*given, "--box-threshold", "0.95", "--output", "sure")
    assert sure.exit_code == 3
    assert "nothing on frame 0; --detect-every N looks on later ones too" in sure.stderr
    assert not (tmp_path / "sure").exists()


def test_words_become_objects(track, video, tmp_path):
    """The detector's weights are random: any boxes, but named by the phrases."""
    make_detector(tmp_path / "detector")
    asked = ["--text", "a red ball . a dog .", "--detector", "detector", "--box-threshold", "0.5"]
    small = ["--image-size", "64", "--end", "3", "--no-video", "--detect-every", "2"]
    result = track("run", video, *asked, *small, "--json")
    assert result.exit_code == 0, result.stderr
    objects = json.loads(result.stdout)["objects"]
    assert objects and {entry["label"] for entry in objects} <= {"red ball", "dog"}
    assert {entry["source"] for entry in objects} == {"detector"}
    assert {entry["frame"] for entry in objects} <= {0, 2}


def test_options_reach_the_run(track, video):
    asked = ["--start", "1", "--end", "5", "--stride", "2", "--direction", "both", "--seed", "7"]
    result = track(video, "--box", "1@3:40,20,120,100", *asked, "--no-video", "--device", "cpu")
    assert result.exit_code == 0, result.output
    run = RunFolder("runs/clip")
    assert run.frame_indices == (1, 3)
    assert (run.info.settings.seed, run.info.settings.device) == (7, "cpu")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["nowhere.mp4", *BOX], 2, "nowhere.mp4"),
        (["{video}"], 2, "nothing to track: give --auto-prompt"),
        (["{video}", "--box", "1,2"], 2, "--box 1,2: expected [OBJ@FRAME:]X1,Y1,X2,Y2"),
        (["{video}", *BOX, "--stride", "0"], 2, "--stride 0: must be 1 or more"),
        (["{video}", *BOX, "--nonsense"], 2, "No such option '--nonsense'"),
        (["{video}", *BOX, "--direction", "up"], 2, "'up' is not one of"),
        (["{video}", *BOX, "more"], 2, "unexpected extra argument"),
        (["{video}", *BOX, "--label", "cup"], 2, "--label needs --auto-prompt"),
        (["{video}", *BOX, "--model", "huge"], 2, "unknown sam2 model 'huge'"),
        (["{video}", *BOX, "--preset", "slow"], 2, "--preset slow: one of fast, quality"),
        (["{video}", "--auto-prompt"], 3, "is empty"),
        (["models", "pull", "nonesuch"], 2, "unknown model 'nonesuch'"),
    ],
)
def test_what_is_wrong_is_one_line_and_an_exit_code(track, video, args, code, message):
    result = track(*(arg.format(video=video) for arg in args))
    assert result.exit_code == code
    assert result.stdout == ""
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert "Traceback" not in result.stderr
    assert not Path("runs").exists()


def test_debug_shows_the_traceback(track, video):
    result = track(video, "--box", "1,2", "--debug")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert "PromptError" in result.stderr


def test_a_bug_is_one_line_too_and_exit_code_1(track, video, monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("no luck")

    monkeypatch.setattr("tracker.session.tracking.track", broken)
    result = track(video, *BOX)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "error: ZeroDivisionError: no luck; --debug shows the traceback"
    ]


def test_an_interruption_that_a_library_makes_an_error_of_its_own_is_one(track, video, monkeypatch):
    def library(*args, **kwargs):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise ValueError("only integers") from error

    monkeypatch.setattr("tracker.session.tracking.track", library)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = track(video, *BOX)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


def test_an_existing_run_is_refused_without_overwrite(track, video):
    assert track(video, *BOX, "--no-video", "--end", "2").exit_code == 0
    result = track(video, *BOX, "--no-video", "--end", "2")
    assert result.exit_code == 2
    assert "--overwrite replaces it" in result.stderr
    assert track(video, *BOX, "--no-video", "--end", "2", "--overwrite").exit_code == 0


def test_a_misspelt_command_is_not_taken_for_a_video(track, tmp_path):
    result = track("modles", "list")
    assert result.exit_code == 2
    assert "did you mean 'models'?" in result.stderr
    (tmp_path / "modles").mkdir()
    assert "no image in modles" in track("modles", *BOX).stderr


@pytest.mark.parametrize("args", [[], ["--help"], ["memory"]])
def test_without_a_command_the_help_is_shown(track, args):
    result = track(*args)
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")


def test_the_version_is_told(track):
    assert track("--version").stdout.startswith("track, version ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_the_masks_up_to_its_newest_snapshot(tmp_path, number):
    video = make_video(tmp_path / "long.mp4", frames=1000, size=(64, 48))
    options = ["--box", "9,9,50,40", "--image-size", "128", "--redetect", "off", "--output", "run"]
    process = subprocess.Popen(
        [sys.executable, ROOT / "cli.py", video, *options],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    chunk = tmp_path / "run" / "masklets" / "000000.jsonl"
    while process.poll() is None and (not chunk.exists() or chunk.read_text().count("\n") < 64):
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "interrupted"
    run = RunFolder(tmp_path / "run")
    assert run.info.status == "interrupted"
    assert len(run.frame_indices) >= 64
    assert run.frame_indices == tuple(range(len(run.frame_indices)))
