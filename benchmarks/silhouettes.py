"""Successes and failures of the demo SAM2 on real clips, as silhouettes: no picture of the clips.

    python -m benchmarks.silhouettes --data DIR --output docs/silhouettes.png

Each row is a DAVIS sequence, prompted by its first mask; the best come first. Green is right,
red is missed, blue is not the object.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.demo_models import Bench
from benchmarks.real_cases import Sequence, davis
from tracker.masks import BoolMask, iou
from tracker.types import Prompt

SHOWN = 7  # frames of a sequence, the prompted one first
_WIDTH_PX = 160
_RIGHT, _MISSED, _SPILLED, _EMPTY = (60, 160, 75), (215, 60, 50), (55, 110, 215), (238, 238, 238)


@dataclass(frozen=True, eq=False)
class Followed:
    """One sequence: J of each frame, and silhouettes (RGB) of some of them by frame index."""

    name: str
    ious_t: NDArray[np.float64]
    pictures: dict[int, NDArray[np.uint8]]

    @property
    def mean_iou(self) -> float:
        return float(self.ious_t[1:].mean())


def silhouette(predicted_hw: BoolMask, truth_hw: BoolMask) -> NDArray[np.uint8]:
    """What is right, missed and spilled, RGB."""
    picture = np.full((*truth_hw.shape, 3), _EMPTY, np.uint8)
    picture[truth_hw & predicted_hw] = _RIGHT
    picture[truth_hw & ~predicted_hw] = _MISSED
    picture[predicted_hw & ~truth_hw] = _SPILLED
    height = round(_WIDTH_PX * truth_hw.shape[0] / truth_hw.shape[1])
    return np.asarray(cv2.resize(picture, (_WIDTH_PX, height), interpolation=cv2.INTER_AREA))


def follow(bench: Bench, sequence: Sequence) -> Followed:
    truth = [sequence.mask(i) for i in range(len(sequence.mask_paths))]
    predicted = bench.follow(sequence.frames(), Prompt(frame=0, object_id=1, mask_hw=truth[0]))
    shown = np.linspace(0, len(truth) - 1, SHOWN).round().astype(int)
    return Followed(
        sequence.name,
        np.array([iou(p, t) for p, t in zip(predicted, truth, strict=True)]),
        {int(i): silhouette(predicted[i], truth[i]) for i in shown},
    )


def draw(rows: list[Followed]) -> Figure:
    """One row per sequence, the best first."""
    rows = sorted(rows, key=lambda row: -row.mean_iou)
    figure = Figure(figsize=(1.5 * SHOWN, 1.05 * len(rows)), dpi=100, layout="constrained")
    axes = figure.subplots(len(rows), SHOWN, squeeze=False)
    for row, row_axes in zip(rows, axes, strict=True):
        for (index, picture), ax in zip(row.pictures.items(), row_axes, strict=True):
            ax.imshow(picture)
            ax.set_axis_off()
            ax.set_title(f"{index}: J {row.ious_t[index]:.2f}", fontsize=7, pad=2)
        label = f"{row.name} {row.mean_iou:.2f}"
        row_axes[0].text(
            0, 0.97, label, fontsize=7, weight="bold", va="top", transform=row_axes[0].transAxes
        )
    return figure


@click.command()
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--output", type=click.Path(path_type=Path), required=True)
def main(data: Path, output: Path) -> None:
    """Draw how the demo SAM2 follows real objects."""
    bench = Bench()
    rows = [follow(bench, sequence) for sequence in davis(data)]
    FigureCanvasAgg(draw(rows)).print_png(str(output))


if __name__ == "__main__":
    main()
