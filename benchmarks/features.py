"""What the demo feature model's tokens, its colours, and both together say, without SAM2.

    python -m benchmarks.features [--cases 50] [--data DIR]

A reference of the same object and one of another are held against the first frame of a clip:
generated ones, and with --data real ones (reference: the last frame). Writes
`benchmarks/results/features.{md,json}`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.generated_cases import cases
from benchmarks.real_cases import davis
from benchmarks.results import Row, write_table
from tracker.locations import shipped
from tracker.masks import BoolMask
from tracker.memory.comparison import compare
from tracker.memory.retrieval import inside_cells
from tracker.models.dinov2 import FeatureExtractor
from training.textures import Image

SHARES = {"tokens": 0.0, "colours": 1.0, "both": None}
_SEED = 5

Shown = tuple[Image, BoolMask]
Triple = tuple[Shown, Shown, Shown]
"""A frame with its object, a reference of that object, and one of another."""


def generated(count: int) -> Iterator[Triple]:
    for case in cases(count, seed=_SEED):
        yield (case.frames[0], case.truth_thw[0]), case.own, case.foreign


def real(data: Path) -> Iterator[Triple]:
    sequences = davis(data)
    for sequence, other in zip(sequences, sequences[1:] + sequences[:1], strict=True):
        ends = ((sequence, 0), (sequence, -1), (other, -1))
        first, last, foreign = ((shown.image(i), shown.mask(i)) for shown, i in ends)
        yield first, last, foreign


def score(name: str, extractor: FeatureExtractor, triples: list[Triple]) -> list[Row]:
    """How well the object is found, and told from another."""
    precisions, own, foreign = [], [], []
    for (image, truth), same, other in triples:
        query = extractor.extract(image)
        compared, wrong = (
            compare(extractor.extract(reference), mask, query) for reference, mask in (same, other)
        )
        inside = inside_cells(truth, query.grid_hw)
        precisions.append(average_precision_score(inside.ravel(), compared.contrast_hw.ravel()))
        own.append(compared.matches.foreground)
        foreign.append(wrong.matches.foreground)
    told = roc_auc_score([1] * len(own) + [0] * len(foreign), own + foreign)
    note = f"{len(triples)} clips"
    return [
        Row(f"{name}: average precision of the object's patches", float(np.mean(precisions)), note),
        Row(f"{name}: AUROC of own against foreign references", float(told), note),
    ]


@click.command()
@click.option("--cases", "count", default=50, show_default=True, help="Generated clips.")
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="Real data with truth.")
def main(count: int, data: Path | None) -> None:
    """Score the demo feature model by itself."""
    material = {"generated clips": list(generated(count))}
    if data is not None:
        material["real video"] = list(real(data))
    folder, rows = shipped("checkpoints") / "dinov2_demo", []
    for what, share in SHARES.items():
        extractor = FeatureExtractor("demo", folder, "", colour_share=share)
        for name, triples in material.items():
            for row in score(f"{name}, {what}", extractor, triples):
                click.echo(f"{row.what}: {row.value:.3f}  {row.note}")
                rows.append(row)
    write_table("features", "The demo feature model by itself", rows)


if __name__ == "__main__":
    main()
