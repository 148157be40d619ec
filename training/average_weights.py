"""Average two checkpoints of one lineage: what a model was, and what further training made of it.

    python -m training.average_weights BEFORE.pt AFTER.pt --share 0.5 --output sam2_demo.pt

Further training on other material gains there and loses elsewhere; the mean of the weights keeps
most of both (Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022).
"""

from __future__ import annotations

from pathlib import Path

import click
import torch

Weights = dict[str, torch.Tensor]


def averaged(before: Weights, after: Weights, share: float) -> Weights:
    """`(1 - share)` of the tensors of `before` plus `share` of those of `after`, in their dtype.

    Raises:
        ValueError: when the two are not of one architecture.
    """
    if {k: v.shape for k, v in before.items()} != {k: v.shape for k, v in after.items()}:
        raise ValueError("the two checkpoints are not of one architecture")
    return {
        name: torch.lerp(tensor.float(), after[name].float(), share).to(tensor.dtype)
        for name, tensor in before.items()
    }


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("before", type=_FILE)
@click.argument("after", type=_FILE)
@click.option("--share", default=0.5, show_default=True, type=click.FloatRange(0, 1))
@click.option("--output", type=click.Path(path_type=Path), required=True)
def main(before: Path, after: Path, share: float, output: Path) -> None:
    """Average the checkpoints BEFORE and AFTER."""
    old, new = (torch.load(path, weights_only=True)["model"] for path in (before, after))
    try:
        torch.save({"model": averaged(old, new, share)}, output)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


if __name__ == "__main__":
    main()
