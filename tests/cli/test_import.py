"""`track import`: from annotations to a run that the other commands take."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from tests.made_videos import make_video
from tracker.cli import main
from tracker.session.run_folder import RunFolder
from tracker.video import write_index_mask


@pytest.fixture
def track(tmp_path, monkeypatch):
    """Calls `track` beside `clip.mp4` and three masks of it in `drawn/`."""
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "clip.mp4", 3, size=(96, 64))
    (tmp_path / "drawn").mkdir()
    for index in range(3):
        index_hw = np.zeros((64, 96), np.uint8)
        index_hw[10:30, 10 + index : 30] = 2
        write_index_mask(tmp_path / "drawn" / f"{index:05d}.png", index_hw)
    return lambda *args: CliRunner().invoke(main, [str(arg) for arg in args])


def test_masks_become_a_run_that_is_scored_and_exported(track):
    result = track("import", "png", "drawn", "--video", "clip.mp4")
    assert result.exit_code == 0, result.output
    assert "runs/clip" in result.stdout
    assert RunFolder("runs/clip").frame_indices == (0, 1, 2)
    scores = json.loads(track("eval", "runs/clip", "drawn", "--json").stdout)
    assert scores["J&F"] == 1.0
    assert track("export", "runs/clip", "--format", "coco").exit_code == 0


def test_masks_of_others_are_refined_and_remembered(track):
    assert track("import", "png", "drawn", "--video", "clip.mp4").exit_code == 0
    box = ("--box", "2@1:40,20,90,60", "--settle", "0")
    result = track("refine", "runs/clip", *box, "--json")
    assert result.exit_code == 0, result.output
    done = json.loads(result.stdout)
    assert done["changed"] == {"2": [1, 2]}  # the drawn mask on frame 0 is a prompt
    assert RunFolder("runs/clip").info.models["sam2"].name == "imported"
    scores = json.loads(track("eval", "runs/clip", "drawn", "--frames", "all", "--json").stdout)
    assert scores["J&F"] < 0.9
    added = track(
        *("memory", "add", "--from-run", "runs/clip", "--frame", "0", "--object", "2"),
        *("--label", "square", "--memory", "memory"),
    )
    assert added.exit_code == 0, added.output
    assert "square" in track("memory", "list", "--memory", "memory").stdout
    assert track("refine", "runs/clip", "--undo").exit_code == 0
    scores = json.loads(track("eval", "runs/clip", "drawn", "--frames", "all", "--json").stdout)
    assert scores["J&F"] == 1.0


def test_the_summary_as_json(track):
    result = track("import", "png", "drawn", "--video", "clip.mp4", "--output", "out", "--json")
    summary = json.loads(result.stdout)
    assert summary["models"] == {"sam2": "imported"}
    (entry,) = summary["objects"]
    assert (entry["id"], entry["prompt"], entry["frames_visible"]) == (2, "mask", 3)


def test_what_cannot_be_imported_is_said_in_one_line(track):
    for args, text in (
        (["gif", "drawn", "--video", "clip.mp4"], "is not one of"),
        (["png", "drawn"], "Missing option '--video'"),
        (["png", "nowhere", "--video", "clip.mp4"], "nowhere is not a folder"),
        (["png", "drawn", "--video", "nowhere.mp4"], "nowhere.mp4"),
        (["png", "drawn", "--video", "clip.mp4", "--first", "1"], "names no frame"),
    ):
        result = track("import", *args)
        assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
        assert text in result.stderr
