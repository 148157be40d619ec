"""Draw what the logs of a training say: losses, and the scores on held-out clips.

    python -m training.learning_curve OUT/log.jsonl [FURTHER.jsonl] --output curve.png

Runs that follow one another are drawn one behind the other; their held-out clips may differ.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

LOSSES = ("mask", "iou", "score")
SCORES = ("mask", "box", "box first frame")

Entry = dict[str, float]


def read_logs(paths: tuple[Path, ...]) -> tuple[list[Entry], list[Entry]]:
    """The entries of losses and those of scores, their minutes counted from the first run on."""
    losses: list[Entry] = []
    scores: list[Entry] = []
    before = 0.0
    for path in paths:
        entries: list[dict[str, Any]] = [json.loads(x) for x in path.read_text().splitlines()]
        for entry in entries:
            moved = {**entry, "minutes": entry["minutes"] + before}
            (scores if "box" in entry else losses).append(moved)
        before += max(entry["minutes"] for entry in entries)
        for kind, names in ((losses, LOSSES), (scores, SCORES)):
            kind.append(dict.fromkeys(("minutes", *names), float("nan")))  # a gap in the line
    return losses, scores


def draw(losses: list[Entry], scores: list[Entry]) -> Figure:
    """Losses on the left, scores on the right, over minutes."""
    figure = Figure(figsize=(9.0, 3.2), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    for ax, entries, names, title in (
        (left, losses, LOSSES, "training loss"),
        (right, scores, SCORES, "mean J on held-out clips"),
    ):
        for name in names:
            ax.plot([e["minutes"] for e in entries], [e[name] for e in entries], label=name)
        ax.set_title(title)
        ax.set_xlabel("minutes")
        ax.legend(frameon=False)
        ax.grid(alpha=0.3)
    right.set_ylim(0, 1)
    return figure


@click.command()
@click.argument("logs", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), required=True)
def main(logs: tuple[Path, ...], output: Path) -> None:
    """Draw the learning curve of LOGS."""
    FigureCanvasAgg(draw(*read_logs(logs))).print_png(str(output))


if __name__ == "__main__":
    main()
