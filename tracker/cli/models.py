"""`track models`: which models there are, fetching them, and checking that they are intact."""

from __future__ import annotations

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from tracker.errors import ModelError
from tracker.models import download, registry


@click.group()
def models() -> None:
    """List, pull and verify the models that track can use."""


@models.command("list")
def list_models() -> None:
    """List every model: its size, whether it is installed, and what it is for.

    "not verified" is a model that will be read in full, and its SHA-256 compared, at its next use.
    """
    table = Table("name", "kind", box=None)
    table.add_column("size", justify="right")
    table.add_column("installed")
    for column in table.columns:
        column.no_wrap = True
    table.add_column("what for")
    for model in registry.MODELS:
        size = f"{model.size_bytes / 1e6:,.0f} MB" if model.size_bytes else ""
        table.add_row(model.name, model.kind, size, _installed(model), model.purpose)
    Console().print(table)


def _installed(model: registry.Model) -> str:
    if not registry.is_installed(model):
        return "no"
    return "verified" if registry.is_verified(model) else "not verified"


@models.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def pull(names: tuple[str, ...]) -> None:
    """Download models, going on where an earlier pull broke off.

    A file is put in place only after its SHA-256 was compared with the pinned one.
    """
    for name in names:
        registry.find(name)  # a typing error in the last name shows before the first download
    with _progress_bar() as bar:
        pulled = [registry.pull(name, _reporter(bar, name)) for name in dict.fromkeys(names)]
    for model in pulled:
        click.echo(f"{model.name}: installed, SHA-256 verified, in {model.folder}")


@models.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
def verify(names: tuple[str, ...]) -> None:
    """Read models in full and compare their SHA-256; without names, all that are installed."""
    chosen = [model for name in dict.fromkeys(names) for model in registry.find(name)]
    if not names:
        chosen = [model for model in registry.MODELS if registry.is_installed(model)]
    table = Table("name", "kind", "file", "SHA-256", "state", box=None)
    bad = []
    for model in chosen:
        for check in registry.verify(model):
            sha256 = check.found[:12] if check.found else ""
            table.add_row(model.name, model.kind, check.path.name, sha256, check.state)
            if check.state != "ok":
                bad.append((model, check))
    Console().print(table)
    if bad:
        model, check = bad[0]
        raise ModelError(f"{check.path} is {check.state}; {registry.mend(model)}")


def _progress_bar() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _reporter(bar: Progress, model_name: str) -> download.Progress:
    """A callback that shows each file of a model as a line of its own."""
    lines: dict[str, TaskID] = {}

    def report(file: str, done: int, total: int) -> None:
        if file not in lines:  # what an earlier pull left is no part of this one's speed
            lines[file] = bar.add_task(f"{model_name} {file}", total=total, completed=done)
        bar.update(lines[file], completed=done)

    return report
