"""Kills a run at random moments with SIGKILL until it is done: what is lost, and is it the same?

    OMP_NUM_THREADS=1 python -m benchmarks.kills

Every life of the run is a process of its own that goes on from what the one before has left. The
masks must be those of a run that was never stopped, byte for byte, and no life may lose more than
the 64 frames since its newest snapshot.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import tempfile
import time
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path

import torch

from benchmarks.results import Row, write_table
from tests.made_videos import make_video
from tracker.models.sam2 import load_video_predictor
from tracker.session.progress import Progress
from tracker.session.resume.resuming import track_or_resume
from tracker.session.resume.snapshots import EVERY
from tracker.session.run_folder import RunFolder
from tracker.session.tracking import track
from tracker.settings import TrackSettings
from tracker.types import Prompt

PROMPTS = (Prompt(0, 1, box_xyxy=(8, 6, 40, 40)), Prompt(70, 2, box_xyxy=(20, 10, 50, 40)))
SIZE = 64
SETTINGS = TrackSettings(model="demo", device="cpu", redetect="off", image_size=SIZE, video=False)


class Counted(Progress):
    """Counts tracked frames where another process can read it."""

    def __init__(self, count: Synchronized[int]) -> None:
        self._count, self._tracking = count, False

    def stage(self, name: str, frames: int | None) -> None:
        self._tracking = name == "tracking"

    def frame(self) -> None:
        self._count.value += self._tracking


def masks(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((run / "masklets").iterdir())}


def newest(run: Path) -> int:
    """The position of the newest snapshot, -1 if there is none."""
    names = [path.stem for path in (run / "snapshots").glob("0-forward-[0-9]*.safetensors")]
    return max((int(name.split("-")[-1]) for name in names), default=-1)


def work(video: Path, run: Path, count: Synchronized[int], ready: Event) -> None:
    """What a life does, in a process of its own."""
    torch.set_num_threads(1)
    predictor, progress = load_video_predictor("demo", "cpu", SIZE), Counted(count)
    ready.set()
    track_or_resume(video, SETTINGS, PROMPTS, run, predictor=predictor, progress=progress)


def live(video: Path, run: Path, seconds: float | None) -> int:
    """One life of the run; returns how many tracked frames it lost. None lets it finish.

    Spawned: forked, it would wait for threads of the decoders and of OpenCV that it lacks.
    """
    spawned, before = multiprocessing.get_context("spawn"), newest(run)
    count, ready = spawned.Value("i", 0), spawned.Event()
    process = spawned.Process(target=work, args=(video, run, count, ready))
    process.start()
    assert ready.wait(120), "the process did not begin"
    process.join(seconds)
    process.kill()
    process.join()
    return count.value - (newest(run) - before) if seconds is not None else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--frames", type=int, default=700)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    chance, predictor = random.Random(arguments.seed), load_video_predictor("demo", "cpu", SIZE)
    with tempfile.TemporaryDirectory() as folder:
        video = make_video(Path(folder) / "clip.mp4", frames=arguments.frames, size=(64, 48))
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        begun = time.monotonic()
        track(video, SETTINGS, PROMPTS, whole, predictor=predictor)
        per_chunk = (time.monotonic() - begun) * EVERY / arguments.frames
        lost = [
            live(video, killed, chance.uniform(0, 1.5 * per_chunk))
            for _ in range(arguments.kills)
            if not (killed / "run.json").exists() or RunFolder(killed).info.status != "complete"
        ]
        live(video, killed, None)
        same = masks(killed) == masks(whole)
    rows = [
        Row("kills", len(lost), f"{arguments.frames} frames, two objects, demo model at 64 px"),
        Row("frames tracked in vain, on average", sum(lost) / len(lost), "of one life"),
        Row("frames tracked in vain, at most", max(lost), f"of one life; {EVERY} are allowed"),
        Row("masks equal those of a run never stopped", float(same), "1: every byte"),
    ]
    write_table("kills", "A run that is killed again and again", rows)
    for row in rows:
        print(f"{row.what}: {row.value:g} ({row.note})")


if __name__ == "__main__":
    main()
