"""`track export`: options, what is printed, and what is refused."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from tests.made_runs import write_run
from tests.made_videos import make_video
from tracker.cli import main
from tracker.output.export import FORMATS


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A folder `run` in the working directory: 6 frames, and masks that overlap nowhere."""
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "run", make_video(tmp_path / "clip.mp4", 6, size=(96, 64)), range(6))
    return tmp_path / "run"


def track(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def test_several_formats_go_into_one_folder(run, tmp_path):
    result = track("export", "run", "--format", "coco,yolo", "--format", "csv", "--output", "data")
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == [
        *("coco", "data/coco", "yolo", "data/yolo"),
        *("csv", "data/scores.csv"),
    ]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        *("coco", "scores.csv", "yolo"),
    ]


def test_options_reach_the_formats(run, tmp_path):
    args = ["--every", "2", "--only", "ring", "--split", "0.5,0.5,0", "--frames", "none"]
    assert track("export", run, "--format", "coco", "--output", "data", *args).exit_code == 0
    folder = tmp_path / "data" / "coco" / "annotations"
    found = json.loads((folder / "instances_val.json").read_text("utf-8"))
    assert [image["frame_index"] for image in found["images"]] == [4]
    assert {entry["track_id"] for entry in found["annotations"]} == {1}


def test_without_output_it_goes_into_the_run_and_is_not_overwritten(run):
    assert track("export", run, "--format", "mot", "--json").exit_code == 0
    assert (run / "mot" / "clip" / "seqinfo.ini").is_file()
    again = track("export", run, "--format", "mot")
    assert (again.exit_code, "--overwrite" in again.stderr) == (2, True)
    assert track("export", run, "--format", "mot", "--overwrite").exit_code == 0


def test_a_davis_export_is_scored_as_equal_to_its_run(run):
    assert track("export", run, "--format", "davis").exit_code == 0
    result = track("eval", run, run / "davis" / "Annotations" / "480p" / "clip", "--json")
    assert json.loads(result.stdout)["J&F"] == 1.0


def test_json_names_what_was_made_and_notes_go_to_stderr(run, tmp_path):
    result = track(
        "export", run, "--format", "video", "--style", "blur", "--style", "box", "--json"
    )
    (made,) = json.loads(result.stdout)
    assert made == {"format": "video", "path": str(run / "annotated.mp4"), "problems": []}


def test_a_cutout_has_a_background(run, tmp_path):
    args = ["--format", "cutout", "--cutout", "mp4", "--background", "#00ff00", "--feather", "1.5"]
    assert track("export", run, *args).exit_code == 0
    assert (run / "cutout" / "cutout.mp4").is_file()


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--format", "gif"], "unknown format 'gif'; known: png, "),
        ([], "Missing option '--format'"),
        (["--format", "png", "--every", "0"], "--every 0: must be 1 or more"),
        (["--format", "png", "--split", "1"], "three shares"),
        (["--format", "png", "--only", "cat"], "no such object"),
        (["--format", "png", "--min-confidence", "2"], "from 0 to 1"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(run, args, text):
    result = track("export", run, *args)
    assert result.exit_code == 2
    assert text in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    result = track("export", tmp_path, "--format", "png")
    assert (result.exit_code, "is not a run" in result.stderr) == (2, True)


def test_every_format_is_in_the_help(run):
    text = " ".join(track("export", "--help").stdout.split())
    assert all(name in text for name in FORMATS)
