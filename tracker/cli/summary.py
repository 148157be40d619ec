"""The table that ends a run."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tracker.session.drift import Episode
from tracker.session.summary import ObjectSummary, RunSummary


def print_summary(summary: RunSummary) -> None:
    """Print a run's objects and what was written, to stdout."""
    columns = ("object", "label", "prompt", "from", "frame", "score", "visible", "confidence")
    table = Table(*columns, box=None)
    for entry in summary.objects:
        table.add_row(*(Text(cell) for cell in _cells(entry, summary.frames)))
    console = Console(soft_wrap=True)
    console.print(table)
    console.print()
    for name, text in _facts(summary):
        console.print(Text(f"{name:<16}", style="bold"), Text(text), sep="")


def _cells(entry: ObjectSummary, frames: int) -> tuple[str, ...]:
    return (
        str(entry.id),
        entry.label or "",
        entry.prompt,
        entry.source,
        str(entry.frame),
        "" if entry.score is None else f"{entry.score:.2f}",
        f"{entry.frames_visible} of {frames}",
        "" if entry.mean_confidence is None else f"{entry.mean_confidence:.2f}",
    )


def _facts(summary: RunSummary) -> list[tuple[str, str]]:
    speed = f", {summary.frames / summary.seconds:.1f} frames/s" if summary.seconds else ""
    models = ", ".join(f"{kind} {name}" for kind, name in summary.models.items())
    facts = [
        ("run", summary.run),
        ("models", models + speed),
        *((name, path) for name, path in summary.outputs.items()),
    ]
    if summary.episodes:
        facts.append(("look at", _doubts(summary)))
    if summary.problems:
        more = f"; and {len(summary.problems) - 1} more" if len(summary.problems) > 1 else ""
        facts.append(("noted", summary.problems[0] + more))
    return facts


def _doubts(summary: RunSummary) -> str:
    count = f"{summary.episodes} episode{'s' * (summary.episodes != 1)}"
    worst = ", ".join(name_episode(episode) for episode in summary.worst)
    more = ", …" if summary.episodes > len(summary.worst) else ""
    return f"{count}: {worst}{more}; see them: track review {summary.run}"


def name_episode(episode: Episode) -> str:
    """`object 1 lost on frames 40-62`."""
    frames = f"frame {episode.first}"
    if episode.last != episode.first:
        frames = f"frames {episode.first}-{episode.last}"
    return f"object {episode.object_id} {episode.state} on {frames}"
