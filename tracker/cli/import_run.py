"""`track import FORMAT PATH --video VIDEO`: masks that others have drawn become a run."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tracker.cli.progress import ProgressBar
from tracker.cli.summary import print_summary
from tracker.session.exchange.importing import IMPORTERS, import_run
from tracker.session.summary import summarise

_PATH = click.Path(path_type=Path)


@click.command("import", short_help="Make a run of masks that others have drawn.")
@click.argument("format", type=click.Choice(tuple(IMPORTERS)))
@click.argument("path", type=_PATH)
@click.option(
    "--video", type=_PATH, required=True, metavar="VIDEO", help="What the masks belong to."
)
@click.option(
    "--first",
    type=click.IntRange(min=0),
    metavar="N",
    help="The first frame's number in the annotations. [default: 1 for mots, else 0]",
)
@click.option(
    "--output", type=_PATH, metavar="DIR", help="The run folder. [default: runs/<name of VIDEO>]"
)
@click.option("--overwrite", is_flag=True, help="Replace the run that is in the run folder.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON, nothing else.")
def import_command(
    format: str,
    path: Path,
    video: Path,
    first: int | None,
    output: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Make a run of the annotations in PATH, a file or folder in FORMAT.

    The run can then be refined, scored, remembered and exported like any other. Files of masks are
    named by the numbers of the frames, or as the images of VIDEO; COCO's annotations need a
    track_id, and CVAT's XML is that for videos, with masks or polygons.
    """
    with ProgressBar() as progress:
        run = import_run(
            format, path, video, output, first=first, overwrite=overwrite, progress=progress
        )
    summary = summarise(run)
    if as_json:
        click.echo(json.dumps(summary.to_json(), indent=2))
    else:
        print_summary(summary)
