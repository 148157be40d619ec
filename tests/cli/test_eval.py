"""`track eval`: runs and folders of masks against the truth."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from tests.made_videos import make_video
from tracker.cli import main
from tracker.video import write_index_mask


@pytest.fixture
def track(tmp_path, monkeypatch):
    """Calls `track` in a folder of its own; returns click's result."""
    monkeypatch.chdir(tmp_path)
    return lambda *args: CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture
def masks(tmp_path):
    """Writes a folder of index masks, a square of 20 pixels per frame, moved right by an offset."""

    def make(name: str, offsets: list[int]):
        (tmp_path / name).mkdir()
        for number, offset in enumerate(offsets):
            index_hw = np.zeros((60, 80), np.uint8)
            index_hw[20:40, 20 + offset : 40 + offset] = 1
            write_index_mask(tmp_path / name / f"{number:05d}.png", index_hw)
        return name

    return make


def test_folders_are_scored_without_their_ends(track, masks):
    prediction, truth = masks("prediction", [9, 0, 10, 9]), masks("truth", [0] * 4)
    scores = json.loads(track("eval", prediction, truth, "--json").stdout)
    (entry,) = scores["objects"]
    assert (entry["id"], entry["frames"]) == (1, 2)
    assert scores["J"] == entry["J"] == pytest.approx((1 + 1 / 3) / 2)
    assert 0.5 < scores["F"] < 1
    everything = json.loads(track("eval", prediction, truth, "--json", "--all-frames").stdout)
    assert everything["objects"][0]["frames"] == 4
    assert everything["J"] < scores["J"]


def test_the_table_names_objects_and_the_mean(track, masks):
    result = track("eval", masks("prediction", [0] * 4), masks("truth", [0] * 4))
    assert result.exit_code == 0
    assert "1.000" in result.stdout
    assert "mean" in result.stdout
    assert "2 frames" in result.stdout


def test_a_run_is_scored_by_its_masklets(track, masks, tmp_path):
    video = make_video(tmp_path / "clip.mp4", frames=4, size=(80, 60))
    mask = f"{masks('prompt', [0])}/00000.png"
    assert track(video, "--mask", mask, "--no-video", "--output", "run").exit_code == 0
    scores = json.loads(track("eval", "run", "run/masks", "--json", "--all-frames").stdout)
    assert scores["J&F"] == 1.0
    assert scores["objects"][0]["frames"] == 4


def test_what_cannot_be_compared_is_refused(track, masks):
    prediction, truth = masks("prediction", [0] * 3), masks("truth", [0] * 4)
    result = track("eval", prediction, truth)
    assert result.exit_code == 2
    assert "no mask for frame 00003" in result.stderr
    assert "nowhere is not a folder" in track("eval", "nowhere", truth).stderr
