"""The memory policies beside each other: mean J from the mask of the first frame, demo weights.

    python -m benchmarks.policies [--data DIR]

On the samples (pond has a look-alike, in crossing the object hides) and on real video. Writes
`benchmarks/results/policies.{md,json}`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.demo_models import Bench, mean_iou
from benchmarks.real_cases import davis
from benchmarks.results import Row, write_table
from tracker.evaluation.sequences import MaskFolder
from tracker.masks import BoolMask
from tracker.models.frames import VideoFileFrames
from tracker.models.memory_policies import POLICIES
from tracker.models.sam2 import load_video_predictor
from tracker.types import Prompt

_SAMPLES = Path(__file__).parent.parent / "samples"

Clip = tuple[str, Any, list[BoolMask]]
"""Name, what `init_state` takes, and the truth of one object on every frame."""


def sample_clips() -> Iterator[Clip]:
    for video in sorted(_SAMPLES.glob("*/*.mp4")):
        truth = MaskFolder(video.parent / "truth")
        indices = [truth.read(name) for name in truth.names()]
        masks = [index_hw == 1 for index_hw in indices]
        yield f"sample {video.stem}", VideoFileFrames(video), masks


def real_clips(data: Path) -> Iterator[Clip]:
    for sequence in davis(data):
        masks = [sequence.mask(i) for i in range(len(sequence.mask_paths))]
        yield sequence.name, sequence.frames(), masks


@click.command()
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="Real data with truth.")
def main(data: Path | None) -> None:
    """Compare the memory policies."""
    bench, rows = Bench(), []
    predictors = {
        name: load_video_predictor("demo", "cpu", memory_policy=name) for name in POLICIES
    }
    real: dict[str, list[float]] = {name: [] for name in POLICIES}
    for clip, frames, truth in (*sample_clips(), *(real_clips(data) if data else ())):
        for name, predictor in predictors.items():
            bench.predictor = predictor
            followed = bench.follow(frames, Prompt(frame=0, object_id=1, mask_hw=truth[0]))
            rows.append(Row(f"{clip}, {name}: mean J", mean_iou(followed, truth)))
            click.echo(f"{rows[-1].what}: {rows[-1].value:.3f}")
            if not clip.startswith("sample"):
                real[name].append(rows[-1].value)
    for name, values in real.items():
        if values:
            rows.append(Row(f"real video, {name}: mean J", float(np.mean(values))))
            click.echo(f"{rows[-1].what}: {rows[-1].value:.3f}")
    write_table("policies", "Memory policies", rows)


if __name__ == "__main__":
    main()
