"""`timeline.png`: how sure the masks of every object are, from the first frame to the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tracker.types import PromptSource, State
from tracker.video import index_palette

# The colours of the contact sheets.
_PAPER, _INK, _FAINT = "#121418", "#eceef0", "#8c929a"
_STATES: Mapping[State, str] = {
    "visible": "#2f9e5b",
    "doubtful": "#e0a030",
    "occluded": "#5b6472",
    "lost": "#d04a4a",
}
_MARKS: Mapping[PromptSource, str] = {"user": "^", "memory": "D", "redetect": "*", "detector": "s"}
_WIDTH, _ROW, _REST = 12.0, 1.25, 0.9  # inches
_DPI = 100


@dataclass(frozen=True)
class Line:
    """One object over time.

    Attributes:
        object_id: gives the colour, that of the masks.
        name: shown on the left.
        frames: indices, ascending, for the three that follow.
        confidences: 0 to 1, as in `scores.csv`.
        states: one per frame.
        appearances: -1 to 1, None where it is unknown.
        prompts: frame index and source.
    """

    object_id: int
    name: str
    frames: Sequence[int]
    confidences: Sequence[float]
    states: Sequence[State]
    appearances: Sequence[float | None]
    prompts: Sequence[tuple[int, PromptSource]] = ()


def draw_timeline(lines: Sequence[Line], cuts: Sequence[int] = (), title: str = "") -> bytes:
    """A PNG: per object its confidence, appearance, states and prompts; scene cuts across all.

    Args:
        lines: may be empty.
        cuts: frame indices.
    """
    rows = max(1, len(lines))
    figure = Figure((_WIDTH, rows * _ROW + _REST), dpi=_DPI, facecolor=_PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    axes_n = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    for axes, line in zip(axes_n, lines, strict=False):
        _draw(axes, line, cuts)
    for axes in axes_n:
        _dress(axes)
    axes_n[-1].set_xlabel("frame", color=_FAINT)
    axes_n[0].set_title(title, color=_INK, loc="left", fontsize=11)
    figure.legend(
        handles=_legend(), loc="outside lower center", ncols=10, fontsize=7, labelcolor=_FAINT,
        frameon=False,
    )  # fmt: skip
    png = BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()


def _draw(axes: Axes, line: Line, cuts: Sequence[int]) -> None:
    frames = np.asarray(line.frames)
    colour = np.minimum(index_palette()[line.object_id % 256] / 127.5, 1.0)  # as their outlines
    axes.plot(frames, line.confidences, color=tuple(colour.tolist()), linewidth=1.2)
    looks = np.array([np.nan if v is None else v for v in line.appearances], dtype=float)
    axes.plot(frames, looks, color=_INK, linewidth=0.8, linestyle=":")
    for state, shade in _STATES.items():
        here = np.array([each == state for each in line.states], dtype=bool)
        axes.fill_between(frames, -0.16, -0.04, where=_widened(here), color=shade, linewidth=0)
    for frame, source in line.prompts:
        axes.plot(frame, 1.06, marker=_MARKS[source], color=_INK, markersize=6, clip_on=False)
    for frame in cuts:
        axes.axvline(frame, color=_FAINT, linewidth=0.8, linestyle="--")
    axes.set_ylabel(line.name, color=_INK, rotation=0, ha="right", va="center", fontsize=8)


def _widened(here: np.ndarray) -> np.ndarray:
    """With the frame after each stretch, so that a stretch of one frame can be seen."""
    return here | np.concatenate([[False], here[:-1]])


def _dress(axes: Axes) -> None:
    axes.set_facecolor(_PAPER)
    axes.set_ylim(-0.18, 1.12)
    axes.set_yticks([0, 0.5, 1])
    axes.tick_params(colors=_FAINT, labelsize=7)
    for spine in axes.spines.values():
        spine.set_color("#30343a")


def _legend() -> list[Patch | Line2D]:
    states: list[Patch | Line2D] = [Patch(color=c, label=name) for name, c in _STATES.items()]
    lines = [
        Line2D([], [], color=_FAINT, label="confidence"),
        Line2D([], [], color=_INK, linestyle=":", label="appearance"),
        Line2D([], [], color=_FAINT, linestyle="--", label="scene cut"),
    ]
    known: dict[PromptSource, str] = {
        "user": "prompt",
        "memory": "found by the memory",
        "redetect": "found again",
    }
    marks = [
        Line2D([], [], color=_INK, marker=_MARKS[source], linestyle="", label=text)
        for source, text in known.items()
    ]
    return [*states, *lines, *marks]
