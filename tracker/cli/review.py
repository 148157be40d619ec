"""`track review RUN`: where did it go wrong?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tracker.cli.progress import ProgressBar
from tracker.session.drift import REASONS, frames_to_look_at
from tracker.session.run_folder import CONTACT, TIMELINE, RunFolder

if TYPE_CHECKING:
    from tracker.session.drift import Episode
    from tracker.session.watch.reviewing import Review

_COLUMNS = ("object", "label", "look at", "frames", "state", "doubt", "because")


@click.command(short_help="Name the frames of a run to look at, worst first.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Episodes to show."
)
@click.option("--features", default="auto", metavar="NAME", help="auto: the run's own.")
@click.option("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--scores-only", is_flag=True, help="Judge by the stored scores; read no video.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole review as JSON.")
def review(
    run: Path, limit: int, features: str, device: str, scores_only: bool, as_json: bool
) -> None:
    """Judge every mask of RUN, and name the episodes to look at, the worst first.

    Writes review.json, timeline.png and contact.png into the run folder.
    """
    folder = RunFolder(run)
    from tracker.session.watch.reviewing import review_run

    with ProgressBar() as progress:
        found = review_run(
            folder, features=features, device=device, scores_only=scores_only, progress=progress
        )
        for notice in found.notices:
            progress.notice(notice)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
    else:
        _print(found, folder, limit)


def _print(found: Review, run: RunFolder, limit: int) -> None:
    console = Console(soft_wrap=True)
    if not found.episodes:
        console.print(f"nothing is doubtful on {found.frames} frames{_least_sure(found)}")
        return
    table = Table(*_COLUMNS, box=None)
    for episode in found.episodes[:limit]:
        label = run.info.labels.get(episode.object_id) or ""
        table.add_row(*(Text(cell) for cell in _cells(episode, label)))
    console.print(table)
    console.print()
    left = len(found.episodes) - limit
    if left > 0:
        console.print(f"{left} more in review.json")
    pictures = [path for name in (TIMELINE, CONTACT) if (path := found.run / name).exists()]
    console.print(Text(f"see {' and '.join(map(str, pictures))}"))


def _least_sure(found: Review) -> str:
    """Where to look all the same."""
    for object_id, frame in frames_to_look_at((), found.verdicts)[:1]:
        return f"; the least sure is object {object_id} on frame {frame}"
    return ""


def _cells(episode: Episode, label: str) -> tuple[str, ...]:
    first, last = episode.first, episode.last
    return (
        str(episode.object_id),
        label,
        str(episode.look_at),
        str(first) if first == last else f"{first}-{last}",
        episode.state,
        f"{episode.doubt:.2f}",
        "; ".join(REASONS[reason] for reason in episode.reasons),
    )
