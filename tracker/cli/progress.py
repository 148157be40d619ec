"""A progress bar on stderr: frames, frames per second, time left. Quiet when not a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.text import Text

from tracker.session.progress import Progress


class ProgressBar(Progress):
    """A context manager; one line per stage of the work. Notices go to stderr in any case."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bar = RichProgress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            _FrameCount(),
            _FramesPerSecond(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None

    def stage(self, name: str, frames: int | None) -> None:
        self._end_stage()
        self._task = self._bar.add_task(name, total=frames, counts_frames=False)

    def frame(self) -> None:
        if self._task is not None:
            self._bar.update(self._task, advance=1, counts_frames=True)

    def notice(self, text: str) -> None:
        if self._bar.disable:
            click.echo(f"note: {text}", err=True)
        else:
            self._bar.console.print(Text(f"note: {text}", style="yellow"), soft_wrap=True)

    def _end_stage(self) -> None:
        """Show a stage as done, also if it had fewer frames than the video claims."""
        if self._task is not None:
            done = self._bar.tasks[self._task].completed or 1
            self._bar.update(self._task, total=done, completed=done)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._end_stage()
        self._bar.stop()


class _FrameCount(ProgressColumn):
    """`12/70`, and nothing for a stage that has no frames."""

    def render(self, task: Task) -> Text:
        if not task.fields["counts_frames"]:
            return Text()
        return Text(f"{task.completed:.0f}" + (f"/{task.total:.0f}" if task.total else ""))


class _FramesPerSecond(ProgressColumn):
    """The average since the stage began."""

    def render(self, task: Task) -> Text:
        seconds = task.finished_time or task.elapsed
        if not task.fields["counts_frames"] or not seconds:
            return Text()
        return Text(f"{task.completed / seconds:.1f} frames/s", style="cyan")
