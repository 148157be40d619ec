"""`track eval PREDICTION TRUTH`: how good are the masks?"""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from tracker.cli.progress import ProgressBar
from tracker.evaluation.evaluate import Evaluation, evaluate
from tracker.evaluation.jf import FRAME_CHOICES, FrameChoice
from tracker.evaluation.mots import TrackingScores
from tracker.evaluation.sequences import MaskSequence, find_comparisons
from tracker.evaluation.tables import FIGURES, figure_rows, write_frame_table, write_object_table
from tracker.session.run_folder import RunFolder, RunMasks, is_run

_PATH = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, dir_okay=False)
_TRACKING = ("sMOTSA", "MOTSA", "MOTSP", "IDF1", "HOTA", "DetA", "AssA", "FP", "FN", "IDS")


@click.command("eval", short_help="Compare masks with the truth.")
@click.argument("prediction", type=_PATH)
@click.argument("truth", type=_PATH)
@click.option(
    "--frames",
    "scored",
    type=click.Choice(FRAME_CHOICES),
    default="davis",
    show_default=True,
    help="davis: all but the first and the last; vot: all but the first; all.",
)
@click.option("--mots", is_flag=True, help="Tracking measures too: sMOTSA, MOTSA, IDF1, HOTA.")
@click.option("--void", type=int, metavar="ID", help="Value in TRUTH for pixels not to judge.")
@click.option("--sequence", "only", multiple=True, metavar="NAME", help="Only this; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print the scores as JSON, nothing else.")
@click.option("--csv", "objects_csv", type=_FILE, metavar="FILE", help="Write a row per object.")
@click.option("--frames-csv", type=_FILE, metavar="FILE", help="Write a row per object and frame.")
@click.option("--plot", type=_FILE, metavar="FILE.png", help="Draw J and F frame by frame.")
def evaluate_command(
    prediction: Path,
    truth: Path,
    scored: FrameChoice,
    mots: bool,
    void: int | None,
    only: tuple[str, ...],
    as_json: bool,
    objects_csv: Path | None,
    frames_csv: Path | None,
    plot: Path | None,
) -> None:
    """Compare masks with the truth: J, F and J&F as DAVIS 2017 defines them.

    PREDICTION and TRUTH are run folders or folders of index PNGs with the same frame names, or
    folders with one of these per sequence. The objects are those of the truth; as in DAVIS, the
    first and the last frame are left out.
    """
    found = find_comparisons(prediction, truth, _open_run, only, literal=void is not None)
    with ProgressBar() as progress:
        progress.stage("scoring", sum(len(each.truth.names()) for each in found))
        evaluation = evaluate(
            found, scored=scored, void=void, tracking=mots, on_frame=progress.frame
        )
    if objects_csv:
        write_object_table(evaluation, objects_csv)
    if frames_csv:
        write_frame_table(evaluation, frames_csv)
    if plot:
        from tracker.evaluation.plot import write_plot  # its library takes a second to import

        write_plot(evaluation, plot)
    if as_json:
        click.echo(json.dumps(evaluation.to_json(), indent=2))
    else:
        _print(evaluation)


def _open_run(folder: Path) -> MaskSequence | None:
    return RunMasks(RunFolder(folder)) if is_run(folder) else None


def _print(evaluation: Evaluation) -> None:
    console = Console()
    console.print(_mask_table(evaluation))
    if evaluation.tracking:
        console.print()
        console.print(_tracking_table(evaluation, evaluation.tracking))


def _mask_table(evaluation: Evaluation) -> Table:
    several = len(evaluation.sequences) > 1
    table = Table(*(["sequence"] if several else []), "object", box=None)
    for figure in FIGURES:
        table.add_column(figure, justify="right")
    for sequence, name, figures in figure_rows(evaluation):
        if not several and sequence == "all":
            continue
        row = [name, *(f"{figures[figure]:.3f}" for figure in FIGURES)]
        table.add_row(*([sequence] if several else []), *row)
    frames = sum(len(sequence.masks.frames) for sequence in evaluation.sequences)
    table.caption = f"{frames} frames"
    return table


def _tracking_table(evaluation: Evaluation, total: TrackingScores) -> Table:
    table = Table("sequence", box=None)
    for name in _TRACKING:
        table.add_column(name, justify="right")
    rows = [(s.name, s.tracking) for s in evaluation.sequences if s.tracking]
    for name, scores in [*rows, ("all", total)] if len(rows) > 1 else rows:
        values = scores.to_json()
        table.add_row(
            name,
            *(str(v) if isinstance(v := values[key], int) else f"{v:.3f}" for key in _TRACKING),
        )
    return table
