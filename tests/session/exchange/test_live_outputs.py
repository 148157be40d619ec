"""Outputs that are made while a run is tracked are those that a pass over the run would make."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.full_disk import files_limited_to
from tests.made_videos import make_image_folder, make_video, truncate_after_packet
from tests.session.test_watch import BOX, FOUND, Script
from tracker.errors import VideoError
from tracker.session.exchange.exporting import export_run
from tracker.session.progress import Progress
from tracker.session.resume.resuming import resume
from tracker.session.run_folder import LOCK, RunFolder
from tracker.session.tracking import ALWAYS, WITH_VIDEO, track
from tracker.settings import TrackSettings
from tracker.types import Prompt

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "samples"
FRAMES = 14
FIRST = Prompt(0, 1, box_xyxy=BOX, label="cup")
LATER = Prompt(5, 2, box_xyxy=(20, 10, 50, 40))
VFR = (0, 20, 33, 90, 91, 120, 200, 210, 260, 300, 333, 340, 350, 399)


class Stages(Progress):
    """Notes the stages; `stop_at` interrupts at a frame as Ctrl-C does."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.names: list[str] = []
        self._left = stop_at

    def stage(self, name, frames):
        self.names.append(name)

    def frame(self):
        if self._left is not None:
            self._left -= 1
            if not self._left:
                raise KeyboardInterrupt


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    vfr = {"pts": VFR, "time_base": Fraction(1, 100)}
    head_first = {"container_options": {"movflags": "faststart"}}
    shorter = make_video(folder / "shorter.mp4", FRAMES, size=(64, 48), **head_first)
    return {
        "plain": make_video(folder / "plain.mp4", FRAMES, size=(64, 48), audio="aac"),
        "odd": make_video(folder / "odd.mp4", FRAMES, size=(67, 49), pixel_format="yuv444p"),
        "rotated": make_video(folder / "rotated.mp4", FRAMES, size=(64, 96), rotation=90),
        "variable": make_video(folder / "variable.mp4", FRAMES, size=(64, 48), **vfr),
        "miscounted": make_video(folder / "miscounted.mkv", FRAMES, size=(64, 48), **vfr),
        "uncounted": make_video(folder / "uncounted.ts", FRAMES, size=(64, 48)),
        "shorter": truncate_after_packet(shorter, 11),
        "images": make_image_folder(
            folder / "images", [f"img {n}.png" for n in range(FRAMES)], (64, 48)
        ),
    }


@pytest.fixture
def tracked(small_predictor, tmp_path):
    """Tracks into a folder; returns the run, and whether a second pass made its outputs."""

    def make(source, prompts=(FIRST, LATER), watch=None, stop_at=None, **settings):
        stages, how = Stages(stop_at), TrackSettings(**settings)
        given = {"predictor": small_predictor, "progress": stages, "watch": watch}
        run = track(source, how, prompts, tmp_path / "run", **given)
        return run, "writing" in stages.names

    return make


def check_outputs(run: RunFolder, folder: Path) -> None:
    """A pass over the run makes the same files; nothing else is left."""
    formats = ALWAYS + (WITH_VIDEO if run.info.settings.video else ())
    made = {each.path.name for each in export_run(run, formats, folder)}
    outputs = {"masks", "scores.csv", "annotated.mp4", "overview.png"}
    assert made == outputs & {path.name for path in run.path.iterdir()}
    assert hidden(run.path) == set()
    for path in (path for path in folder.rglob("*") if path.is_file()):
        assert (run.path / path.relative_to(folder)).read_bytes() == path.read_bytes(), path.name
    stems = {run.export_info().stem(index) for index in run.frame_indices}
    assert {path.stem for path in (run.path / "masks").iterdir()} == stems


def hidden(folder: Path) -> set[str]:
    return {path.name for path in folder.glob(".*")} - {LOCK}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("plain", {}),
        ("odd", {}),
        ("rotated", {}),
        ("variable", {}),
        ("images", {}),
        ("plain", {"video": False}),
        ("plain", {"start": 2, "end": 11, "stride": 3}),
        ("plain", {"end": 999}),
    ],
)
def test_made_on_the_way_from_frames_that_come_in_turn(tracked, videos, tmp_path, name, settings):
    first = Prompt(5, 1, box_xyxy=BOX, label="cup")
    run, second_pass = tracked(videos[name], [first, LATER], **settings)
    assert not second_pass
    assert run.info.status == "complete"
    check_outputs(run, tmp_path / "later")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("plain", {"direction": "backward"}),
        ("plain", {"direction": "both"}),
        ("miscounted", {}),
        ("uncounted", {}),
        ("shorter", {}),
    ],
)
def test_made_in_the_end_where_frames_come_otherwise(tracked, videos, tmp_path, name, settings):
    run, second_pass = tracked(videos[name], **settings)
    assert second_pass
    check_outputs(run, tmp_path / "later")


def test_made_in_the_end_where_a_gap_is_filled(tracked, videos, tmp_path):
    found = Prompt(9, 1, box_xyxy=FOUND, source="redetect", score=0.7)
    run, second_pass = tracked(videos["plain"], watch=lambda _: Script({9: found}, {9: 6}))
    assert second_pass
    check_outputs(run, tmp_path / "later")


def test_made_in_the_end_where_an_object_joins(tracked, videos, tmp_path):
    new = Prompt(9, 3, box_xyxy=FOUND, source="detector", label="plate")
    run, second_pass = tracked(videos["plain"], watch=lambda _: Script({9: new}))
    assert second_pass
    assert "plate" in (run.path / "scores.csv").read_text()
    check_outputs(run, tmp_path / "later")


def test_a_watched_run_has_the_verdicts_in_its_outputs(tmp_path):
    """With the embedded models: the memory is asked, and appearance is measured."""
    asked = {"auto_prompt": True, "memory": str(SAMPLES / "memory"), "labels": ["fish"]}
    settings = TrackSettings(model="demo", device="cpu", end=6, appearance_every=2, **asked)
    stages = Stages()
    run = track(SAMPLES / "pond" / "pond.mp4", settings, output=tmp_path / "run", progress=stages)
    assert "writing" not in stages.names
    assert any(mask.appearance for frame in run.frames() for mask in frame.objects)
    check_outputs(run, tmp_path / "later")


@pytest.mark.parametrize("stop_at", [1, 9, FRAMES])
def test_nothing_is_left_of_an_interruption_and_it_goes_on(
    tracked, videos, small_predictor, tmp_path, stop_at
):
    with pytest.raises(KeyboardInterrupt):
        tracked(videos["plain"], stop_at=stop_at)
    assert hidden(tmp_path / "run") == set()
    assert not {"masks", "annotated.mp4"} & set(os.listdir(tmp_path / "run"))
    assert not [t for t in threading.enumerate() if t.name.startswith("write-behind")]
    check_outputs(resume(tmp_path / "run", predictor=small_predictor), tmp_path / "later")


def test_killed_while_outputs_are_half_made(videos, small_predictor, tmp_path):
    video = make_video(tmp_path / "long.mp4", 40, size=(64, 48))
    folder, again = tmp_path / "run", tmp_path / "again"
    options = ["--box", "9,9,50,40", "--image-size", "64", "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, ROOT / "cli.py", video, *options, "--output", folder]
    )
    while process.poll() is None and not list(folder.glob(".masks.tmp/*.png")):
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert len(hidden(folder)) == 3  # masks, scores and the unfinished video
    shutil.copytree(folder, again)
    check_outputs(resume(folder), tmp_path / "later")
    given = {"predictor": small_predictor, "overwrite": True}
    without = track(videos["plain"], TrackSettings(video=False), [FIRST], again, **given)
    check_outputs(without, tmp_path / "plain")


def test_a_full_disk_costs_no_masks(tracked, small_predictor, tmp_path):
    """The video outgrows what is left, on the way and in the end."""
    (tmp_path / "noise").mkdir()
    rng = np.random.default_rng(3)
    for index in range(FRAMES):
        noise_hwc = rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)
        Image.fromarray(noise_hwc).save(tmp_path / "noise" / f"{index}.png")
    with (
        pytest.raises(VideoError, match=r"cannot write .*: File too large"),
        files_limited_to(60_000),
    ):
        tracked(tmp_path / "noise", [FIRST])
    run = RunFolder(tmp_path / "run")
    assert (run.info.status, len(run.frame_indices)) == ("failed", FRAMES)
    assert run.info.seconds is not None
    assert hidden(run.path) == set()
    stages = Stages()
    done = resume(run.path, predictor=small_predictor, progress=stages)
    assert stages.names == ["writing"]
    check_outputs(done, tmp_path / "later")
