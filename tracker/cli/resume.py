"""`track resume RUN`: go on with a run that ended early."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tracker.cli.progress import ProgressBar
from tracker.cli.summary import print_summary


@click.command(short_help="Go on with a run that was interrupted or killed.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON, nothing else.")
def resume(run: Path, as_json: bool) -> None:
    """Go on with RUN, the folder of a run that was interrupted, killed or ran out of disk.

    It goes on from its newest snapshot, with the video, model and settings that it was begun with;
    at most 64 processed frames are tracked again. A complete run is left as it is.
    """
    from tracker.session.resume.resuming import resume as go_on
    from tracker.session.summary import summarise

    with ProgressBar() as progress:
        done = go_on(run, progress=progress)
    summary = summarise(done)
    if as_json:
        click.echo(json.dumps(summary.to_json(), indent=2))
    else:
        print_summary(summary)
