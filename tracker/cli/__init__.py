"""The command `track`: parse, call, render.

A first argument that is not the name of a command is a video, and means `track run`.
"""

from __future__ import annotations

import difflib
import importlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import click

from tracker.errors import TrackError

DONE, UNEXPECTED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

# Imported when they are called, so that `--help` answers at once.
COMMANDS = {
    "run": "tracker.cli.run:run",
    "resume": "tracker.cli.resume:resume",
    "refine": "tracker.cli.refine:refine",
    "export": "tracker.cli.export:export",
    "import": "tracker.cli.import_run:import_command",
    "review": "tracker.cli.review:review",
    "eval": "tracker.cli.eval:evaluate_command",
    "segment": "tracker.cli.segment:segment",
    "label": "tracker.cli.label:label",
    "memory": "tracker.cli.memory:memory",
    "models": "tracker.cli.models:models",
    "doctor": "tracker.cli.doctor:doctor",
}


class TrackGroup(click.Group):
    """`track`: finds commands by name, means `run` by anything else, and owns the exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in {*COMMANDS, "--help", "--version"}:
            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            if near and not Path(args[0]).exists():
                raise click.UsageError(
                    f"{args[0]!r} is neither a command nor a video; did you mean {near[0]!r}?", ctx
                )
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, **kwargs: Any
    ) -> NoReturn:
        """Run a command and exit: 0 done, 2 bad input, 3 no match, 130 interrupted, 1 a bug."""
        given = list(sys.argv[1:] if args is None else args)
        debug = "--debug" in given
        given = [arg for arg in given if arg != "--debug"]
        with _quiet_libraries(debug), _interrupts() as interrupted:
            code = self._exit_code(given, debug, kwargs, interrupted)
        if code == INTERRUPTED and args is None:  # the command line of this process
            _end_at_once(code)
        sys.exit(code)

    def _exit_code(
        self, args: list[str], debug: bool, kwargs: dict[str, Any], interrupted: threading.Event
    ) -> int:
        kwargs = {**kwargs, "standalone_mode": False}
        try:
            result = super().main(args, **kwargs)
            return result if isinstance(result, int) else DONE
        except (KeyboardInterrupt, click.Abort):
            return _fail("interrupted", INTERRUPTED)
        except Exception as error:
            if interrupted.is_set():  # compiled code may turn an interrupt into its own error
                return _fail("interrupted", INTERRUPTED)
            return _explain(error, debug)


@click.group(
    cls=TrackGroup,
    context_settings={"help_option_names": ["--help"]},
    epilog="With any command, --debug shows the traceback of an error.",
)
@click.version_option(metadata.version("track"), prog_name="track")
def main() -> None:
    """Find an object by a stored reference, follow it through a video, and keep its masks.

    `track VIDEO …` is short for `track run VIDEO …`.
    """


def _explain(error: Exception, debug: bool) -> int:
    """Say in one line what went wrong; returns the exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message())
        return DONE
    if isinstance(error, click.ClickException):
        return _fail(_usage(error), BAD_INPUT)
    if debug:
        traceback.print_exc()
    if isinstance(error, TrackError):
        return _fail(str(error), error.exit_code)
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return _fail(what + ("" if debug else "; --debug shows the traceback"), UNEXPECTED)


def _fail(message: str, code: int) -> int:
    click.echo(f"error: {message}" if code != INTERRUPTED else message, err=True)
    return code


def _end_at_once(code: int) -> NoReturn:
    """Leave out what Python does at its end: taking the libraries apart can take seconds."""
    for child in multiprocessing.active_children():
        child.terminate()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _usage(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    message = " ".join(error.format_message().split()).removesuffix(".")
    return f"{message}; see {context.command_path} --help" if context else message


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """SIGTERM ends a run as Ctrl-C does, so finished work is kept; yields whether one has come."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return

    def interrupt(signum: int, frame: Any) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    numbers = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else a caller's choice
        numbers.append(signal.SIGINT)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _quiet_libraries(debug: bool) -> Iterator[None]:
    """Keep the warnings, logs and bars of libraries off the terminal, unless debugging."""
    if debug:
        yield
        return
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
