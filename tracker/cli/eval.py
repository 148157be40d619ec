"""`track eval PREDICTION TRUTH`: how good are the masks?"""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from tracker.evaluation.jf import Scores, jf
from tracker.evaluation.sequences import MaskFolder, MaskSequence, pairs
from tracker.session.run_folder import RunFolder, RunMasks, is_run


@click.command("eval")
@click.argument("prediction", type=click.Path(path_type=Path))
@click.argument("truth", type=click.Path(path_type=Path))
@click.option("--all-frames", is_flag=True, help="Score the first and the last frame too.")
@click.option("--json", "as_json", is_flag=True, help="Print the scores as JSON.")
def evaluate(prediction: Path, truth: Path, all_frames: bool, as_json: bool) -> None:
    """Compare masks with the truth: J, F and J&F as DAVIS 2017 defines them.

    PREDICTION and TRUTH are run folders or folders of index PNGs with the same frame names. The
    objects are those of the truth; as in DAVIS, the first and the last frame are left out.
    """
    scores = jf(pairs(_masks(prediction), _masks(truth)), skip_ends=not all_frames)
    if as_json:
        click.echo(json.dumps(scores.to_json(), indent=2))
    else:
        Console().print(_table(scores))


def _masks(path: Path) -> MaskSequence:
    return RunMasks(RunFolder(path)) if is_run(path) else MaskFolder(path)


def _table(scores: Scores) -> Table:
    table = Table("object", "J", "F", "J&F", box=None)
    rows = [(str(entry.object_id), entry.j, entry.f, entry.jf) for entry in scores.objects]
    for name, *values in (*rows, ("mean", scores.j, scores.f, scores.jf)):
        table.add_row(name, *(f"{value:.3f}" for value in values))
    table.caption = f"{len(scores.frames)} frames"
    return table
