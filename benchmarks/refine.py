"""What do corrections bring, and what do they cost?

    python -m benchmarks.refine --data DIR [--with box --with points --with better]
    python -m benchmarks.refine --generated 6

A script stands for a person who looks at one frame and no other: that which `track review` names
first. There it gives a box of the true mask, or three points (one in its middle, two where the
run's mask is most wrong), or that of both which looks better in a preview of the frame; in three
rounds, each through a run folder. Measured are the mean J (mean IoU over the frames after the
first) after each round, the frames that the model worked on beside those of three full runs, and
the J 30 frames after each correction beside that without any. On real video from the mask of the
first frame; or on generated clips in which the object leaves and returns. A frame on which the
object is not to be seen cannot be given a box; the next one that is named takes its place.
Writes `benchmarks/results/refine.{md,json}`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal, get_args

import click
import cv2
import numpy as np
from PIL import Image

from benchmarks.demo_models import mean_iou
from benchmarks.leaving_cases import leaving_cases
from benchmarks.real_cases import davis
from benchmarks.results import Row, write_table
from tracker.masks import BoolMask, iou, mask_box
from tracker.session.refine.corrections import Corrections
from tracker.session.refine.refining import preview, refine
from tracker.session.run_folder import RunFolder
from tracker.session.tracking import track
from tracker.session.watch.reviewing import review_run
from tracker.settings import TrackSettings
from tracker.types import NEGATIVE, POSITIVE, Prompt

Given = Literal["better", "box", "points"]
Clip = tuple[str, Path, list[BoolMask]]
"""Name, folder of images, the truth on every frame."""

ROUNDS = 3
LATER = 30  # frames
POINTS = 3
SETTINGS = TrackSettings(model="demo", features="demo", device="cpu", redetect="off", video=False)


@dataclass
class Outcome:
    """One clip.

    Attributes:
        scores: J without a correction, then after each round.
        frames: of the clip.
        tracked: how many frames the corrections had the model work on.
        later: J some frames after each correction, without any and with it.
    """

    name: str
    scores: list[float]
    frames: int
    tracked: int = 0
    later: list[tuple[float, ...]] = field(default_factory=list)

    def __str__(self) -> str:
        scores = " ".join(f"{score:.3f}" for score in self.scores)
        return f"{self.name}: J {scores}, {self.tracked} frames of 3 x {self.frames}, {self.later}"


def real_clips(data: Path) -> Iterator[Clip]:
    for sequence in davis(data):
        truth = [sequence.mask(i) for i in range(len(sequence.mask_paths))]
        yield sequence.name, sequence.image_paths[0].parent, truth


def generated_clips(count: int, folder: Path) -> Iterator[Clip]:
    for number, case in enumerate(leaving_cases(count, "look-alike", seed=5)):
        images = folder / f"clip-{number}"
        images.mkdir()
        for index, image_hwc in enumerate(case.frames.images):
            Image.fromarray(image_hwc).save(images / f"{index:05d}.png")
        yield images.name, images, list(case.truth_thw)


def correct(run: Path, name: str, truth: Sequence[BoolMask], given: Given) -> Outcome:
    """Correct a run three times."""
    first = masks_of(run)
    done = Outcome(name, [mean_iou(first, truth)], len(truth))
    for _ in range(ROUNDS):
        prompt = correction(run, truth, given)
        if prompt is not None:
            made = refine(run, Corrections((prompt,)))
            done.tracked += made.revision.frames_tracked
            at = prompt.frame + LATER
            if at < len(truth):
                later = first[at], masks_of(run)[at]
                done.later.append(tuple(round(iou(mask, truth[at]), 3) for mask in later))
        done.scores.append(mean_iou(masks_of(run), truth))
    return done


def correction(run: Path, truth: Sequence[BoolMask], given: Given) -> Prompt | None:
    """What a person says who is shown the frame that a review names first.

    None if it names none, or only such on which the object is not.
    """
    named = [each["frame"] for each in review_run(RunFolder(run)).to_json()["look_at"]]
    frame = next((frame for frame in named if truth[frame].any()), None)
    if frame is None:
        return None
    box = Prompt(frame, 1, box_xyxy=mask_box(truth[frame]))
    points = points_prompt(frame, masks_of(run)[frame], truth[frame])
    if given == "better":
        return max(box, points, key=lambda prompt: _previewed(run, prompt, truth[frame]))
    return box if given == "box" else points


def _previewed(run: Path, prompt: Prompt, truth_hw: BoolMask) -> float:
    (mask,) = preview(run, Corrections((prompt,)), run / "look.png")
    return iou(mask.mask_hw, truth_hw)


def points_prompt(frame: int, mask_hw: BoolMask, truth_hw: BoolMask) -> Prompt:
    """One point in the middle of the object, and two where the mask is most wrong."""
    points = [_middle(truth_hw)]
    wrong_hw = mask_hw != truth_hw
    while len(points) < POINTS and wrong_hw.any():
        points.append(_middle(wrong_hw))
        column, row = points[-1]
        _, parts_hw = cv2.connectedComponents(wrong_hw.astype(np.uint8))
        wrong_hw = wrong_hw & (parts_hw != parts_hw[row, column])
    labels = [POSITIVE if truth_hw[row, column] else NEGATIVE for column, row in points]
    return Prompt(frame, 1, points_n2=np.array(points), point_labels_n=np.array(labels))


def _middle(region_hw: BoolMask) -> tuple[int, int]:
    """`xy` of the pixel that is farthest from the edge of a region."""
    padded_hw = np.pad(region_hw, 1).astype(np.uint8)
    depth_hw = cv2.distanceTransform(padded_hw, cv2.DIST_L2, 5)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth_hw.argmax()), depth_hw.shape)
    return int(column), int(row)


def masks_of(run: Path) -> list[BoolMask]:
    return [frame.objects[0].mask_hw for frame in RunFolder(run).frames()]


def rows(done: Sequence[Outcome], given: Given) -> list[Row]:
    note, before = f"{len(done)} clips, {sum(each.frames for each in done)} frames", given + ": "
    scores = np.mean([each.scores for each in done], axis=0)
    share = sum(each.tracked for each in done) / sum(ROUNDS * each.frames for each in done)
    later = [pair for each in done for pair in each.later]
    return [
        Row(before + "mean J, no correction", float(scores[0]), note),
        *(
            Row(f"{before}mean J after round {number}", float(score), note)
            for number, score in enumerate(scores[1:], 1)
        ),
        Row(before + "mean J gained", float(scores[-1] - scores[0]), "0.10 is asked for"),
        Row(before + "frames tracked, of three full runs", share, "0.60 is allowed"),
        Row(
            f"{before}J {LATER} frames after a correction, less that without",
            float(np.mean([after - first for first, after in later])) if later else float("nan"),
            f"{len(later)} corrections; 0 is asked for",
        ),
    ]


def measure(clips: Iterable[Clip], kinds: Sequence[Given]) -> list[Row]:
    """Track every clip once from the mask of its first frame, and correct a copy for each kind."""
    done: dict[Given, list[Outcome]] = {given: [] for given in kinds}
    for name, images, truth in clips:
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            track(images, SETTINGS, [Prompt(0, 1, mask_hw=truth[0])], run)
            for given, outcomes in done.items():
                copy = Path(shutil.copytree(run, Path(folder) / given))
                outcomes.append(correct(copy, name, truth, given))
                click.echo(f"  {given}: {outcomes[-1]}")
    return [row for given, outcomes in done.items() for row in rows(outcomes, given)]


@click.command()
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="Real data with truth.")
@click.option("--generated", type=int, help="Generated clips instead.")
@click.option("--sequences", type=int, help="Clips to use. [default: all]")
@click.option("--with", "kinds", type=click.Choice(get_args(Given)), multiple=True, default=["box"])
def main(
    data: Path | None, generated: int | None, sequences: int | None, kinds: tuple[Given, ...]
) -> None:
    """Measure what corrections bring."""
    if data is None and not generated:
        raise click.UsageError("give --data DIR or --generated N")
    with tempfile.TemporaryDirectory() as folder:
        clips = real_clips(data) if data else generated_clips(generated or 0, Path(folder))
        found = measure(islice(clips, sequences), kinds)
    for row in found:
        click.echo(f"{row.what}: {row.value:.3f}  {row.note}")
    write_table("refine", "Corrections", found)


if __name__ == "__main__":
    main()
