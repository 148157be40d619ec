"""A run that ended early and was resumed is the run that was never stopped, bit for bit."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
from pathlib import Path

import pytest
import torch

from tests.full_disk import files_limited_to
from tests.made_models import small_random_predictor
from tests.made_videos import make_video
from tests.session.test_watch import BOX, FOUND, Script
from tracker.errors import ModelError, RunError
from tracker.memory.store import ReferenceMemory
from tracker.session import propagation
from tracker.session.lock import Lock
from tracker.session.progress import Progress
from tracker.session.resume.resuming import resume, track_or_resume
from tracker.session.run_folder import LOCK, RunFolder
from tracker.session.run_writer import RunWriter
from tracker.session.tracking import track
from tracker.settings import TrackSettings
from tracker.types import Prompt

FRAMES = 26
PROMPTS = (
    Prompt(5, 1, box_xyxy=BOX, label="cup"),
    Prompt(9, 2, box_xyxy=(20, 10, 50, 40)),
    Prompt(21, 1, box_xyxy=(12, 6, 50, 40)),
)


class StopAt(Progress):
    """Interrupts at a frame as Ctrl-C does; counts those that were tracked, and keeps notices."""

    def __init__(self, frame=None):
        self.frames, self.notices, self._stop, self._stage = 0, [], frame, ""

    def stage(self, name, frames):
        self._stage = name

    def frame(self):
        if self._stage == "tracking":
            self.frames += 1
            if self.frames == self._stop:
                raise KeyboardInterrupt

    def notice(self, text):
        self.notices.append(text)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("videos") / "clip.mp4"
    return make_video(path, frames=FRAMES, size=(64, 48))


@pytest.fixture
def often(monkeypatch):
    """Snapshots every 6 positions, so that a short video has several."""
    monkeypatch.setattr(propagation, "EVERY", 6)


@pytest.fixture
def run(video, small_predictor, tmp_path):
    """Tracks into a folder of this name; `stop` interrupts."""

    def make(name="run", stop=None, watch=None, prompts=PROMPTS, **settings):
        how = TrackSettings(**{"video": False, "redetect": "off", **settings})
        more = {"watch": lambda session: watch} if watch else {}
        more |= {"predictor": small_predictor, "progress": StopAt(stop)}
        if stop is None:
            return track(video, how, prompts, tmp_path / name, **more)
        with pytest.raises(KeyboardInterrupt):
            track(video, how, prompts, tmp_path / name, **more)
        return RunFolder(tmp_path / name)

    return make


def contents(run, *folders):
    """Every file of these parts of a run."""
    paths = [path for folder in folders for path in sorted((run.path / folder).iterdir())]
    return {str(path.relative_to(run.path)): path.read_bytes() for path in paths}


MASKS = ("masklets", "masks")


@pytest.mark.parametrize(
    ("settings", "stops"),
    [
        ({}, (8, 20)),
        ({"direction": "both"}, (14, 27)),
        ({"direction": "backward"}, (17,)),
        ({"start": 1, "stride": 4, "direction": "both"}, (5,)),
    ],
)
def test_the_same_masks_wherever_it_stopped(run, small_predictor, often, settings, stops):
    """And, as every run is watched, the same verdicts and appearances."""
    settings = {"redetect": "auto", **settings}
    whole = run("whole", **settings)
    expected = contents(whole, *MASKS)
    for stop in stops:
        early = run(f"stop{stop}", stop, **settings)
        assert early.info.status == "interrupted"
        progress = StopAt()
        done = resume(early.path, predictor=small_predictor, progress=progress)
        assert contents(done, *MASKS) == expected
        assert done.info.status == "complete"
        assert done.info.labels == {1: "cup", 2: None}
        assert progress.notices[-1].startswith("going on ")


def test_no_more_than_the_frames_since_the_newest_snapshot_are_tracked_again(
    run, small_predictor, often
):
    early = run(stop=20)  # frame 19; snapshots after 17, and at the prompts before it
    progress = StopAt()
    resume(early.path, predictor=small_predictor, progress=progress)
    assert progress.notices == ["going on from frame 17"]
    assert progress.frames == FRAMES - 18


def test_a_damaged_snapshot_is_passed_over(run, small_predictor, often):
    expected = contents(run("whole"), *MASKS)
    early = run(stop=20)
    newest = early.path / "snapshots" / "0-forward-000017.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    (early.path / "snapshots" / ".0-forward-000018.safetensors.tmp").write_bytes(b"half")
    progress = StopAt()
    done = resume(early.path, predictor=small_predictor, progress=progress)
    assert progress.notices == ["going on from frame 11"]
    assert contents(done, *MASKS) == expected


def test_other_prompts_begin_the_run_anew(run, small_predictor, often):
    early = run(stop=20)
    other = run("other", prompts=PROMPTS[1:])
    shutil.copy(other.path / "prompts.json", early.path / "prompts.json")
    progress = StopAt()
    done = resume(early.path, predictor=small_predictor, progress=progress)
    assert progress.notices == ["going on from the beginning"]
    assert contents(done, *MASKS) == contents(other, *MASKS)
    assert done.info.labels == {1: None, 2: None}


@pytest.mark.parametrize("stop", [16, 24, 30])
def test_what_a_watch_found_is_found_again_or_kept(run, small_predictor, often, stop):
    def watch():
        found = Prompt(15, 1, box_xyxy=FOUND, source="redetect", score=0.7)
        return Script({15: found}, {15: 11})

    whole = run("whole", watch=watch())
    early, again = run(stop=stop, watch=watch()), watch()
    done = resume(early.path, predictor=small_predictor, watch=lambda session: again)
    assert contents(done, *MASKS) == contents(whole, *MASKS)
    assert [p.to_json() for p in done.prompts] == [p.to_json() for p in whole.prompts]
    asked = [position for position, _ in again.calls]
    assert again.told + asked == list(range(5, FRAMES))


@pytest.mark.parametrize("stop", [1, 2])
def test_what_is_to_be_remembered_is_remembered_once(tmp_path, stop):
    """Stopped before the first mask is added to the memory, and after it."""
    samples = Path(__file__).parents[3] / "samples"
    memory, run = tmp_path / "memory", tmp_path / "run"
    shutil.copytree(samples / "memory", memory)
    known = len(ReferenceMemory.open(memory).list())
    asked = {"auto_prompt": True, "memory": str(memory), "labels": ["fish"], "remember": True}
    settings = TrackSettings(
        model="demo", device="cpu", redetect="off", end=3, video=False, **asked
    )
    with pytest.raises(KeyboardInterrupt):
        track(samples / "pond" / "pond.mp4", settings, output=run, progress=StopAt(stop))
    assert len(ReferenceMemory.open(memory).list()) == known + (stop > 1)
    resume(run)
    assert len(ReferenceMemory.open(memory).list()) == known + 1


def test_a_run_whose_masks_are_complete_only_lacks_its_outputs(run, small_predictor):
    done = run(end=8, prompts=PROMPTS[:1])
    with RunWriter.reopen(done.path) as writer:
        writer.go_on()
        shutil.rmtree(done.path / "masks")
        (done.path / "scores.csv").unlink()
    with RunWriter.reopen(done.path) as writer:
        writer.note(status="interrupted")
    progress = StopAt()
    again = resume(done.path, progress=progress)
    assert progress.frames == 0
    assert len(list((again.path / "masks").iterdir())) == 8
    assert (again.info.status, again.info.seconds) == ("complete", done.info.seconds)


def test_a_complete_run_is_left_as_it_is(run):
    done = run(end=6, prompts=PROMPTS[:1])
    before = sorted((p, p.stat().st_mtime_ns) for p in done.path.rglob("*") if p.name != LOCK)
    progress = StopAt()
    resume(done.path, progress=progress)
    assert progress.notices == [f"{done.path} is complete; nothing is left to do"]
    after = sorted((p, p.stat().st_mtime_ns) for p in done.path.rglob("*") if p.name != LOCK)
    assert after == before


def live(ready, video, folder):
    """One life of a run, in a process of its own, which has none of the test's fixtures."""
    torch.set_num_threads(1)
    propagation.EVERY, predictor = 6, small_random_predictor()
    settings = TrackSettings(direction="both", video=False)
    ready.set()
    track_or_resume(video, settings, PROMPTS, folder, predictor=predictor)


def test_killed_at_random_moments_and_resumed(video, run, often, tmp_path):
    """Real processes that get SIGKILL; the last one is left to finish.

    They come from a server without threads: forked from here, they would have the locks of the
    decoders' and OpenCV's threads, but not the threads that open them.
    """
    expected = contents(run("whole", direction="both", redetect="auto"), *MASKS)
    chance, folder = random.Random(5), tmp_path / "run"
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([__name__])  # imports take seconds
    for lives_s in (*(chance.uniform(0.2, 1.5) for _ in range(4)), None):
        ready = server.Event()
        child = server.Process(target=live, args=(ready, video, folder))
        child.start()
        assert ready.wait(120)
        child.join(lives_s)
        child.kill()
        child.join()
    done = RunFolder(folder)
    assert done.info.status == "complete"
    assert contents(done, *MASKS) == expected


def test_a_full_disk_stops_it_with_one_line_and_it_goes_on_later(
    video, run, small_predictor, often, tmp_path
):
    expected = contents(run("whole"), *MASKS)
    folder, settings = tmp_path / "run", TrackSettings(video=False, redetect="off")
    with (
        pytest.raises(RunError, match=r"cannot write .*snapshots.*: File too large"),
        files_limited_to(20_000),
    ):
        track(video, settings, PROMPTS, folder, predictor=small_predictor)
    assert RunFolder(folder).info.status == "failed"
    assert not list(folder.rglob("*.tmp"))
    done = resume(folder, predictor=small_predictor)
    assert (done.info.status, done.info.error) == ("complete", None)
    assert contents(done, *MASKS) == expected


def test_a_second_process_is_told_who_is_at_work(run, small_predictor):
    early = run(stop=8)
    with (
        Lock(early.path / LOCK),
        pytest.raises(RunError, match=f"is in use by process {os.getpid()}"),
    ):
        resume(early.path, predictor=small_predictor)
    assert RunFolder(early.path).info.status == "interrupted"


def test_another_video_or_model_is_refused_and_nothing_changes(
    video, run, predictor, small_predictor, tmp_path
):
    copy = tmp_path / "copy.mp4"
    shutil.copy(video, copy)
    early = run(stop=8)
    text = (early.path / "run.json").read_text()
    with pytest.raises(ModelError, match=r"at 64 px, not with given at 128 px"):
        resume(early.path, predictor=predictor)
    with pytest.raises(ModelError, match="a model of the caller's"):
        resume(early.path)
    (early.path / "run.json").write_text(text.replace(str(video), str(copy)))
    make_video(copy, frames=3, size=(64, 48))
    with pytest.raises(RunError, match=r"copy\.mp4 is not the video that"):
        resume(early.path, predictor=small_predictor)
    with pytest.raises(RunError, match="is not a run"):
        resume(tmp_path)
    assert RunFolder(early.path).info.status == "interrupted"


def test_what_is_asked_must_be_what_was_begun(video, run, small_predictor, tmp_path):
    early = run(stop=8, end=12, prompts=PROMPTS[:2])
    other = make_video(tmp_path / "other.mp4", frames=3, size=(64, 48))
    for changes, message in (
        ({"settings": TrackSettings(stride=2)}, "begun with stride 1, not 2; leave it out"),
        ({"prompts": PROMPTS[1:2]}, "begun with other prompts"),
        ({"video": other}, r"holds a run of .*clip\.mp4, not of .*other\.mp4"),
    ):
        given = {"video": video, "prompts": PROMPTS[:2], **changes}
        with pytest.raises(RunError, match=message):
            track_or_resume(output=early.path, predictor=small_predictor, **given)
    done = track_or_resume(video, output=early.path, predictor=small_predictor)
    assert done.info.status == "complete"
    assert done.frame_indices == tuple(range(12))
