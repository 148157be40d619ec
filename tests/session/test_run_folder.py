"""What is written to a run folder is what is read from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.full_disk import files_limited_to
from tracker.errors import RunError
from tracker.session.run_folder import RunFolder, RunMasks, chunk_name, is_run
from tracker.session.run_info import RunInfo
from tracker.session.run_writer import LOCK, RunWriter, check_target


@pytest.fixture
def write(tmp_path, run_info, result, prompts):
    """Writes a run with results for the given frames."""

    def make(frames, folder="run", **settings):
        with RunWriter(tmp_path / folder, run_info(**settings), prompts) as writer:
            for index in frames:
                writer.write(result(index))
        return RunFolder(tmp_path / folder)

    return make


def assert_same(stored, made):
    assert (stored.index, stored.pts) == (made.frame.index, made.frame.pts)
    assert [m.object_id for m in stored.objects] == [m.object_id for m in made.objects]
    for a, b in zip(stored.objects, made.objects, strict=True):
        assert (a.mask_hw == b.mask_hw).all()
        assert (a.object_score, a.predicted_iou) == pytest.approx((b.object_score, b.predicted_iou))


def test_frames_read_back_as_they_were_written(write, result, run_info, prompts):
    run = write(range(150))
    stored = list(run.frames())
    assert len(stored) == 150
    for frame in stored:
        assert_same(frame, result(frame.index))
    assert_same(run.frame_masks(77), result(77))
    assert run.info == replace(run_info(), status="complete", video=run.info.video)
    assert [prompt.to_json() for prompt in run.prompts] == [p.to_json() for p in prompts]
    chunks = sorted(path.name for path in (run.path / "masklets").iterdir())
    assert chunks == ["000000.jsonl", "000064.jsonl", "000128.jsonl"]


def test_verdicts_and_appearances_read_back(tmp_path, run_info, result, prompts):
    made = result(0)
    marked = tuple(
        replace(mask, verdict=verdict, appearance=appearance)
        for mask, verdict, appearance in zip(
            made.objects, ("doubtful", "visible"), (0.25, None), strict=True
        )
    )
    with RunWriter(tmp_path / "run", run_info(), prompts) as writer:
        writer.write(replace(made, objects=marked))
    (frame,) = RunFolder(tmp_path / "run").frames()
    first, second = frame.objects
    assert (first.state, first.appearance) == ("doubtful", 0.25)
    assert (second.state, second.appearance) == ("visible", None)


def test_any_order_will_do(write, result):
    forward_then_back = [*range(70, 140), *range(69, -1, -1)]
    run = write(forward_then_back)
    assert run.frame_indices == tuple(range(140))
    for frame in run.frames():
        assert_same(frame, result(frame.index))


def test_a_frame_that_comes_again_keeps_the_other_objects(tmp_path, run_info, result, prompts):
    with RunWriter(tmp_path / "run", run_info(), prompts) as writer:
        for index in range(130):
            writer.write(result(index, object_ids=(1,)))
        for index in range(99, 9, -1):
            writer.write(result(index, object_ids=(2,), size=7))
    for frame in RunFolder(tmp_path / "run").frames():
        ids = [mask.object_id for mask in frame.objects]
        assert ids == ([1, 2] if 10 <= frame.index < 100 else [1])
        for mask in frame.objects:
            assert mask.mask_hw.sum() == (25 if mask.object_id == 1 else 49)


def test_a_strided_range_keeps_the_indices_of_the_video(write):
    run = write(range(10, 200, 7), start=10, end=200, stride=7)
    assert run.frame_indices == tuple(range(10, 200, 7))
    assert chunk_name(199) == "000192.jsonl"


def test_a_chunk_is_on_disk_when_the_next_one_begins(tmp_path, run_info, result, prompts):
    folder = tmp_path / "run"
    with RunWriter(folder, run_info(start=3), prompts) as writer:
        for index in range(3, 65):
            writer.write(result(index))
            assert (folder / "masklets" / "000000.jsonl").exists() == (index == 64)
        assert RunFolder(folder).info.status == "running"
        assert RunFolder(folder).frame_indices == tuple(range(3, 64))


def write_then_raise(folder, info, prompts, results, error=None):
    with RunWriter(folder, info, prompts) as writer:
        for each in results:
            writer.write(each)
        if error:
            raise error


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (KeyboardInterrupt(), "interrupted", None),
        (ValueError("no luck"), "failed", "no luck"),
    ],
)
def test_a_run_that_ends_early_keeps_its_full_chunks(
    tmp_path, run_info, result, prompts, error, status, text
):
    results = [result(index) for index in (*range(64), 66)]
    with pytest.raises(type(error)):
        write_then_raise(tmp_path / "run", run_info(end=70), prompts, results, error)
    run = RunFolder(tmp_path / "run")
    assert (run.info.status, run.info.error) == (status, text)
    assert run.frame_indices == tuple(range(64))
    assert not list(run.path.rglob("*.tmp"))


def test_an_existing_run_is_refused_and_overwritten_only_when_told(
    tmp_path, write, run_info, result, prompts
):
    old = write(range(100))
    (old.path / "notes.txt").write_text("mine")
    (old.path / "masks").mkdir()
    with pytest.raises(RunError, match="holds a run; --overwrite replaces it"):
        RunWriter(old.path, run_info(), prompts)
    assert len(old.frame_indices) == 100
    with RunWriter(old.path, run_info(), prompts, overwrite=True) as writer:
        writer.write(result(0))
    assert RunFolder(old.path).frame_indices == (0,)
    assert not (old.path / "masks").exists()
    assert (old.path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_no_run_is_never_touched(tmp_path, run_info, prompts, overwrite):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("x")
    (tmp_path / "photos" / "run.json").write_text('{"name": "jogging"}')
    with pytest.raises(RunError, match="exists and is not a run"):
        RunWriter(tmp_path / "photos", run_info(), prompts, overwrite)
    assert len(list((tmp_path / "photos").iterdir())) == 2
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="cannot be a run folder"):
        check_target(tmp_path / "file", overwrite)


def test_a_second_writer_is_told_who_is_at_work(tmp_path, run_info, prompts, result):
    folder = tmp_path / "run"
    code = (
        "import sys, pathlib; from tracker.session.lock import check_not_locked\n"
        "check_not_locked(pathlib.Path(sys.argv[1]))\n"
    )
    ask = [sys.executable, "-c", code, str(folder / LOCK)]
    with RunWriter(folder, run_info(), prompts) as writer:
        writer.write(result(0))
        answer = subprocess.run(ask, capture_output=True, text=True).stderr
        assert f"in use by process {os.getpid()}" in answer
        with pytest.raises(RunError, match="in use by process"):
            RunWriter(folder, run_info(), prompts, overwrite=True)
    assert subprocess.run(ask, capture_output=True, text=True).returncode == 0
    assert RunFolder(folder).info.status == "complete"


def test_a_full_disk_is_a_clear_error_and_leaves_no_half_file(tmp_path, run_info, result, prompts):
    folder = tmp_path / "run"
    results = [result(index) for index in range(65)]
    with (
        pytest.raises(RunError, match=r"cannot write .*000000\.jsonl: File too large"),
        files_limited_to(2000),
    ):
        write_then_raise(folder, run_info(), prompts, results)
    assert RunFolder(folder).frame_indices == ()
    assert not list(folder.rglob("*.tmp"))


def test_what_is_no_run_or_damaged_is_said_plainly(tmp_path, write):
    with pytest.raises(RunError, match=r"is not a run: it has no run\.json"):
        RunFolder(tmp_path)
    run = write(range(3))
    assert is_run(run.path)
    assert not is_run(tmp_path)
    with pytest.raises(RunError, match="holds no frame 3"):
        run.frame_masks(3)
    chunk = run.path / "masklets" / "000000.jsonl"
    chunk.write_text(chunk.read_text()[:-20])
    with pytest.raises(RunError, match=r"000000\.jsonl is damaged"):
        list(run.frames())
    (run.path / "run.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(RunError, match="made in format 99"):
        RunFolder(run.path)


def test_info_survives_json(run_info):
    info = replace(
        run_info(auto_prompt=True, labels=("cup",)),
        decisions=({"label": "cup", "score": 0.5},),
        status="failed",
        error="no luck",
        seconds=1.5,
        problems=("0.10 s: bad packet",),
        notices=("small model",),
    )
    assert RunInfo.from_json(json.loads(json.dumps(info.to_json()))) == info


def test_a_run_is_a_sequence_of_index_masks(write, result):
    masks = RunMasks(write(range(4)))
    assert masks.names() == ("00000", "00001", "00002", "00003")
    index_hw = masks.read("00002")
    first, second = result(2).objects
    assert ((index_hw == 2) == second.mask_hw).all()
    assert ((index_hw == 1) == (first.mask_hw & ~second.mask_hw)).all()
