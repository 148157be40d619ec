"""`track refine` from end to end on the embedded model: revisions, previews, what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.made_videos import make_video
from tracker.cli import main
from tracker.masks import iou
from tracker.session.run_folder import RunFolder
from tracker.video import read_index_mask

SAMPLES = Path(__file__).parents[2] / "samples"
FRAMES = 10


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished run with its video and pictures; tests work on copies."""
    folder = tmp_path_factory.mktemp("refine")
    video = make_video(folder / "clip.mp4", frames=FRAMES, size=(64, 48))
    options = ["--box", "9,9,50,40", "--box", "2@3:20,10,60,40", "--image-size", "64"]
    result = CliRunner().invoke(main, [str(video), *options, "--output", str(folder / "run")])
    assert result.exit_code == 0, result.output
    return folder / "run"


@pytest.fixture
def refine(made, tmp_path, monkeypatch):
    """Calls `track refine` on a copy of the run; returns click's result."""
    shutil.copytree(made, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return lambda *args: CliRunner().invoke(main, ["refine", "run", *map(str, args)])


def lines():
    return RunFolder("run").path.joinpath("masklets", "000000.jsonl").read_text().splitlines()


def test_correct_and_take_back(refine):
    before, prompts = lines(), RunFolder("run").prompts
    old_video = RunFolder("run").path.joinpath("annotated.mp4").read_bytes()
    _written("run/review.json", "{}")
    marks = ["--point", "1@6:30,20", "--point", "1@6:8,4,-", "--box", "3@7:5,5,30,30"]
    result = refine(*marks, "--rename", "2=ball", "--rename", "3=cup", "--json")
    assert result.exit_code == 0, result.output
    done = json.loads(result.stdout)
    assert (done["revision"], done["frames"], done["undone"]) == (1, FRAMES, False)
    assert done["changed"].keys() <= {"1", "3"}
    assert done["changed"]["3"] == [7, 8, 9]
    assert done["outdated"] == ["run/review.json"]
    assert 3 + 4 <= done["frames_tracked"] <= 3 + 4 + 6 + 6
    run = RunFolder("run")
    assert run.info.labels == {1: None, 2: "ball", 3: "cup"}
    assert len(run.prompts) == len(prompts) + 2
    assert run.info.status == "complete"
    assert run.path.joinpath("annotated.mp4").read_bytes() != old_video

    assert refine("--undo").stdout.startswith("revision 1: undone\n")
    assert lines() == before
    assert RunFolder("run").info.labels == {1: None, 2: None}


def test_an_edited_file_removing_and_dropping(refine):
    file = RunFolder("run").path / "prompts.json"
    text = file.read_text().replace("[9.0, 9.0,", "[19.0, 9.0,")
    result = refine("--prompts", _written("edited.json", text), "--drop-object", "2")
    assert result.exit_code == 0, result.output
    (prompt,) = RunFolder("run").prompts
    assert prompt.box_xyxy[0] == 19
    assert "object 2: masks changed on 7 frames, 3 to 9" in result.stdout
    moved = refine("--box", "1@2:9,9,50,40", "--remove", "1@0")
    assert moved.stdout.startswith("revision 2: ")
    first = json.loads(lines()[0])
    assert first["objects"] == []


def _written(name, text):
    with open(name, "w") as file:
        file.write(text)
    return name


def test_a_preview_is_a_picture_and_no_revision(refine):
    before = lines()
    result = refine("--box", "1@5:20,10,60,40", "--preview", "look.png")
    assert result.stdout == "look.png\n"
    assert Image.open("look.png").size == (64, 48)
    assert lines() == before
    assert RunFolder("run").revisions == ()


def test_points_bring_back_a_run_that_followed_something_else(tmp_path, monkeypatch):
    """The old mask lies far away: the points stand alone, and are not drawn to it."""
    monkeypatch.chdir(tmp_path)
    pond, wrong = SAMPLES / "pond", ["--box", "300,20,380,70"]
    options = ["--end", "4", "--no-video", "--output", "run"]
    done = CliRunner().invoke(main, [str(pond / "pond.mp4"), *wrong, *options])
    assert done.exit_code == 0, done.output
    truths = [read_index_mask(pond / "truth" / f"{frame:05d}.png") == 1 for frame in range(4)]
    rows, columns = np.nonzero(truths[2])
    chosen = np.random.default_rng(0).choice(rows.size, 3, replace=False)
    points = [f"1@2:{columns[i]},{rows[i]}" for i in chosen]
    marks = [part for point in points for part in ("--point", point)]
    done = CliRunner().invoke(main, ["refine", "run", *marks])
    assert done.exit_code == 0, done.output
    masks = [frame.objects[0].mask_hw for frame in RunFolder("run").frames()]
    assert iou(masks[0], truths[0]) < 0.1
    assert iou(masks[2], truths[2]) > 0.6
    # Nothing of the object was there before.
    assert min(iou(masks[at], truths[at]) for at in (1, 3)) > 0.05


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "nothing to correct: give --point"),
        (["--undo"], "no revision to undo"),
        (["--undo", "--drop-object", "1"], "--undo stands alone"),
        (["--remove", "1"], "--remove 1: expected OBJ@FRAME"),
        (["--remove", "1@5"], "object 1 has no prompt on frame 5"),
        (["--rename", "1"], "--rename 1: expected OBJ=NAME"),
        (["--rename", "9=cup"], "there is no object 9"),
        (["--box", "1@99:1,1,9,9"], "the last frame of run is 9"),
        (["--box", "1@5:1,1,99,9"], "box 1,1,99,9 lies outside"),
        (["--drop-object", "1", "--settle", "-1"], "--settle -1: must be 0 or more"),
        (["--drop-object", "1", "--preview", "a.png"], "a preview shows one frame"),
    ],
)
def test_what_is_wrong_is_one_line_and_changes_nothing(refine, args, message):
    before = lines()
    result = refine(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr.splitlines()[-1]
    assert lines() == before
    assert RunFolder("run").info.status == "complete"
