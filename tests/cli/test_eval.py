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

    def make(name: str, offsets: list[int], value: int = 1):
        (tmp_path / name).mkdir(parents=True)
        for number, offset in enumerate(offsets):
            index_hw = np.zeros((60, 80), np.uint8)
            index_hw[20:40, 20 + offset : 40 + offset] = value
            write_index_mask(tmp_path / name / f"{number:05d}.png", index_hw)
        return name

    return make


def test_folders_are_scored_without_their_ends(track, masks):
    prediction, truth = masks("prediction", [9, 0, 10, 9]), masks("truth", [0] * 4)
    scores = json.loads(track("eval", prediction, truth, "--json").stdout)
    (sequence,) = scores["sequences"]
    (entry,) = sequence["objects"]
    assert (sequence["name"], sequence["frames"], entry["id"]) == ("truth", 2, 1)
    assert scores["J mean"] == entry["J mean"] == pytest.approx((1 + 1 / 3) / 2)
    assert scores["J recall"] == 0.5
    assert 0.5 < scores["F mean"] < 1
    assert "tracking" not in scores

    everything = json.loads(track("eval", prediction, truth, "--json", "--frames", "all").stdout)
    assert everything["sequences"][0]["frames"] == 4
    assert everything["J mean"] < scores["J mean"]
    vot = json.loads(track("eval", prediction, truth, "--json", "--frames", "vot").stdout)
    assert vot["sequences"][0]["frames"] == 3


def test_the_table_names_objects_and_the_mean(track, masks):
    result = track("eval", masks("prediction", [0] * 4), masks("truth", [0] * 4))
    assert result.exit_code == 0
    for text in ("1.000", "mean", "J recall", "F decay", "2 frames"):
        assert text in result.stdout


def test_several_sequences_and_the_measures_of_tracking(track, masks):
    for name in ("p/cat", "p/dog", "t/cat", "t/dog"):
        masks(name, [0] * 4, value=5 if name[0] == "p" else 1)
    scores = json.loads(track("eval", "p", "t", "--mots", "--json").stdout)
    assert [s["name"] for s in scores["sequences"]] == ["cat", "dog"]
    assert scores["J mean"] == 0.0  # object 1 is not there, but tracked under another number
    assert scores["tracking"]["MOTSA"] == scores["tracking"]["HOTA"] == 1.0
    table = track("eval", "p", "t", "--mots").stdout
    assert all(text in table for text in ("sequence", "cat", "dog", "all", "sMOTSA", "IDF1"))
    only = json.loads(track("eval", "p", "t", "--sequence", "dog", "--json").stdout)
    assert [s["name"] for s in only["sequences"]] == ["dog"]


def test_files_are_written_when_asked_for(track, masks, tmp_path):
    prediction, truth = masks("prediction", [9, 0, 10, 9]), masks("truth", [0] * 4)
    result = track(
        *("eval", prediction, truth, "--csv", "o.csv", "--frames-csv", "f.csv", "--plot", "p.png")
    )
    assert result.exit_code == 0
    assert len((tmp_path / "o.csv").read_text().splitlines()) == 1 + 1 + 2
    assert len((tmp_path / "f.csv").read_text().splitlines()) == 1 + 2
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_void_pixels_are_left_out(track, masks):
    prediction, truth = masks("prediction", [0] * 3), masks("truth", [0] * 3, value=255)
    assert json.loads(track("eval", prediction, truth, "--json").stdout)["J mean"] == 1.0
    result = track("eval", prediction, truth, "--void", "255")
    assert result.exit_code == 2
    assert "truth: the truth has no object on any frame" in result.stderr


def test_a_run_is_scored_by_its_masklets(track, masks, tmp_path):
    video = make_video(tmp_path / "clip.mp4", frames=4, size=(80, 60))
    mask = f"{masks('prompt', [0])}/00000.png"
    assert track(video, "--mask", mask, "--no-video", "--output", "run").exit_code == 0
    scores = json.loads(track("eval", "run", "run/masks", "--json", "--frames", "all").stdout)
    assert scores["J&F"] == 1.0
    assert scores["sequences"][0]["frames"] == 4


def test_what_cannot_be_compared_is_refused(track, masks):
    prediction, truth = masks("prediction", [0] * 3), masks("truth", [0] * 4)
    result = track("eval", prediction, truth)
    assert result.exit_code == 2
    assert "no mask for frame 00003" in result.stderr
    assert "nowhere is not a folder" in track("eval", "nowhere", truth).stderr
