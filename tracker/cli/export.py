"""`track export RUN --format NAME …`: a run becomes what others read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import click

from tracker.cli.progress import ProgressBar
from tracker.output.export import FORMATS, ExportOptions
from tracker.output.export.options import CutoutKind, Pictures, parse_split
from tracker.output.styles import OVERLAY, STYLES
from tracker.session.exchange.exporting import Output, export_run
from tracker.session.run_folder import RunFolder

_PATH = click.Path(path_type=Path)


@click.command(short_help="Write a run as a data set, masks, tables or video.")
@click.argument("run", type=_PATH)
@click.option(
    "--format",
    "formats",
    multiple=True,
    required=True,
    metavar="NAME[,NAME…]",
    help=f"{', '.join(FORMATS)}; repeatable.",
)
@click.option("--output", type=_PATH, metavar="DIR", help="Where to. [default: the run folder]")
@click.option("--overwrite", is_flag=True, help="Replace outputs that are there.")
@click.option("--every", type=int, default=1, metavar="N", help="Every Nth frame of the run.")
@click.option("--only", multiple=True, metavar="ID|LABEL", help="These objects; repeatable.")
@click.option(
    "--min-confidence", type=float, default=0.0, metavar="X", help="Leave out masks below X, 0..1."
)
@click.option(
    "--exclude-doubtful", is_flag=True, help="Leave out frames with a doubtful or lost object."
)
@click.option(
    "--frames",
    type=click.Choice(get_args(Pictures)),
    default="jpg",
    help="How data sets store the frames. [default: jpg]",
)
@click.option(
    "--split", metavar="A,B,C", help="Shares of train, val and test, in time: 0.8,0.1,0.1."
)
@click.option("--polygons", is_flag=True, help="coco: polygons instead of run-length codes.")
@click.option(
    "--style",
    multiple=True,
    type=click.Choice(STYLES),
    default=OVERLAY,
    metavar="NAME",
    help=f"video: {', '.join(STYLES)}; repeatable. [default: {', '.join(OVERLAY)}]",
)
@click.option(
    "--cutout",
    type=click.Choice(get_args(CutoutKind)),
    default="png",
    help="cutout: pictures or a video. [default: png]",
)
@click.option(
    "--background", metavar="COLOUR|FILE", help="cutout: instead of transparency, e.g. #00ff00."
)
@click.option("--feather", type=float, default=0.0, metavar="PX", help="cutout: a soft edge.")
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
def export(
    run: Path,
    formats: tuple[str, ...],
    output: Path | None,
    overwrite: bool,
    split: str | None,
    as_json: bool,
    **choices: Any,
) -> None:
    """Write the run folder RUN in other formats.

    Each format makes one file or folder in DIR; docs/formats/ describes them. What could not be
    carried over exactly is said in a note.
    """
    options = ExportOptions(split=parse_split(split) if split else None, **choices)
    with ProgressBar() as progress:
        made = export_run(
            RunFolder(run),
            [name for given in formats for name in given.split(",")],
            output,
            options,
            overwrite=overwrite,
            on_start=lambda frames: progress.stage("writing", frames),
            on_frame=progress.frame,
        )
        for each in made:
            for problem in each.problems:
                progress.notice(f"{each.name}: {problem}")
    if as_json:
        click.echo(json.dumps([_entry(each) for each in made], indent=2))
    else:
        for each in made:
            click.echo(f"{each.name:<14} {each.path}")


def _entry(made: Output) -> dict[str, Any]:
    return {"format": made.name, "path": str(made.path), "problems": list(made.problems)}
