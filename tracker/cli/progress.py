"""A progress bar on stderr: frames, frames per second, time left. Quiet when not a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
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
            MofNCompleteColumn(),
            _FramesPerSecond(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None

    def stage(self, name: str, frames: int | None) -> None:
        self._end_stage()
        self._task = self._bar.add_task(name, total=frames)

    def frame(self) -> None:
        if self._task is not None:
            self._bar.advance(self._task)

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


class _FramesPerSecond(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if not speed else f"{speed:.1f} frames/s", style="cyan")
