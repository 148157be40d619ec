"""`track review RUN`: the table, JSON, and what is told when it cannot be done."""

from __future__ import annotations

import json
import shutil

import pytest
from click.testing import CliRunner

from tests.drifting_runs import ASTRAY, FRAMES, make_frames, make_run
from tracker.cli import main
from tracker.cli.summary import name_episode
from tracker.session.drift import Episode


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a run and its video."""
    folder = tmp_path_factory.mktemp("made")
    make_run(folder / "run", make_frames(folder / "frames"))
    return folder


def call(*args):
    return CliRunner().invoke(main, ["review", *map(str, args)])


def test_the_table_names_the_worst_frames_and_the_reason(made):
    result = call(made / "run", "--device", "cpu")
    assert result.exit_code == 0, result.output
    head, worst = result.stdout.splitlines()[:2]
    assert head.split()[:3] == ["object", "label", "look"]
    assert worst.split()[:2] == ["1", "square"]
    assert f"{ASTRAY}-{FRAMES - 1}" in worst
    assert "what looks like the object lies elsewhere" in " ".join(result.stdout.split())
    assert "timeline.png" in result.stdout


def test_without_doubts_the_least_sure_frame_is_named(made, tmp_path):
    """What is left of the run is sound; the scores of one frame are a little lower."""
    shutil.copytree(made / "run", tmp_path / "run")
    chunk = tmp_path / "run" / "masklets" / "000000.jsonl"
    lines = [json.loads(line) for line in chunk.read_text().splitlines()[:ASTRAY]]
    lines[5]["objects"][1]["score"] = 0.95 * lines[4]["objects"][1]["score"]
    chunk.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = call(tmp_path / "run", "--scores-only")
    assert result.exit_code == 0, result.output
    assert f"nothing is doubtful on {ASTRAY} frames" in result.stdout
    assert "the least sure is object 2 on frame 5" in result.stdout


def test_json_is_all_that_stdout_holds(made):
    result = call(made / "run", "--scores-only", "--json")
    review = json.loads(result.stdout)
    assert review["features"] is None
    assert review["episodes"][0]["object_id"] == 1
    assert review["look_at"][0]["frame"] == review["episodes"][0]["look_at"]


def test_a_video_that_is_gone_is_a_note(made, tmp_path):
    shutil.copytree(made / "frames", tmp_path / "frames")
    make_run(tmp_path / "run", tmp_path / "frames")
    shutil.rmtree(tmp_path / "frames")
    result = call(tmp_path / "run")
    assert result.exit_code == 0
    assert "note: judged by the stored scores alone" in result.stderr
    assert "contact.png" not in result.stdout


def test_what_is_no_run_is_bad_input(tmp_path):
    result = call(tmp_path)
    assert result.exit_code == 2
    assert result.stderr == f"error: {tmp_path} is not a run: it has no run.json\n"


def test_an_episode_is_named_in_words():
    episode = Episode(1, 40, 62, 45, "lost", 0.9, 12.0, ("absent",))
    assert name_episode(episode) == "object 1 lost on frames 40-62"
    single = Episode(2, 7, 7, 7, "doubtful", 0.9, 0.9, ("size",))
    assert name_episode(single) == "object 2 doubtful on frame 7"
