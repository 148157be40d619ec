"""J and F frame by frame, drawn: where a track was lost shows at a glance."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tracker.errors import InputError
from tracker.evaluation.evaluate import Evaluation, SequenceScores
from tracker.video import index_palette
from tracker.video.unfinished import unfinished

MOST_SEQUENCES = 100  # rows of a picture that can still be looked at
_WIDTH_IN, _ROW_IN, _DPI = 9.0, 2.4, 120


def write_plot(evaluation: Evaluation, path: str | Path) -> None:
    """A PNG with one row per sequence: J solid and F dashed, objects in the colours of masks.

    Raises:
        InputError: for more than 100 sequences.
        VideoError: when the file cannot be written; it is complete or absent.
    """
    rows = len(evaluation.sequences)
    if rows > MOST_SEQUENCES:
        raise InputError(
            f"a plot shows {MOST_SEQUENCES} sequences at most, not {rows}; choose some: --sequence"
        )
    figure = Figure(figsize=(_WIDTH_IN, _ROW_IN * rows + 0.4), dpi=_DPI, layout="constrained")
    axes = figure.subplots(rows, 1, squeeze=False)[:, 0]
    for sequence, ax in zip(evaluation.sequences, axes, strict=True):
        _draw(sequence, ax)
    with unfinished(Path(path)) as temporary:
        FigureCanvasAgg(figure).print_png(str(temporary))


def _draw(sequence: SequenceScores, ax: Axes) -> None:
    frames = sequence.masks.frames
    places = range(len(frames))
    for scores in sequence.masks.objects:
        colour = tuple(index_palette()[scores.object_id % 256] / 255)
        marker = "." if len(frames) < 3 else ""  # a line needs two points to be seen
        name = f"object {scores.object_id}"
        ax.plot(places, scores.j.per_frame, "-", color=colour, marker=marker, label=f"{name} J")
        ax.plot(places, scores.f.per_frame, "--", color=colour, marker=marker, label=f"{name} F")
    ax.set_title(f"{sequence.name}: J&F {sequence.masks.jf:.3f}", loc="left", fontsize=10)
    ax.set_ylim(-0.03, 1.03)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    ax.xaxis.set_major_formatter(lambda x, _: frames[int(x)] if int(x) in places else "")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
