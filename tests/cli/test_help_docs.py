"""`docs/cli.md` shows what `--help` shows; `python tests/cli/test_help_docs.py` rewrites it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tracker.cli import main

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
BLOCK = re.compile(r"(?<=^## `)(?P<name>track[^`]*)`\n\n```text\n(?P<help>.*?)```$", re.M | re.S)


def commands(
    command: click.Command = main, name: str = "track", parent: click.Context | None = None
) -> Iterator[tuple[str, str]]:
    """Every command's full name and help, groups before what is in them."""
    context = click.Context(command, info_name=name.split()[-1], parent=parent, terminal_width=96)
    yield name, command.get_help(context) + "\n"
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            inner = command.get_command(context, each)
            assert inner is not None
            yield from commands(inner, f"{name} {each}", context)


def documented() -> dict[str, str]:
    return {match["name"]: match["help"] for match in BLOCK.finditer(DOCS.read_text("utf-8"))}


def test_the_docs_show_every_help_text():
    assert documented() == dict(commands()), "run: python tests/cli/test_help_docs.py"


@pytest.mark.parametrize(("name", "text"), commands(), ids=lambda value: value.split("\n")[0])
def test_every_command_and_option_says_what_it_does(name, text):
    summary = text.split("\n\n")[1].strip()
    assert summary, f"{name} has no description"
    lines = [line for line in text.splitlines() if line.startswith("  --")]
    assert "  --help" in "".join(lines)


def rewrite() -> None:
    """Put the help texts into the docs, keeping what stands before the first of them."""
    text = DOCS.read_text("utf-8")
    head = text[: text.index("## `track")]
    blocks = (f"## `{name}`\n\n```text\n{help_text}```\n" for name, help_text in commands())
    DOCS.write_text(head + "\n".join(blocks), "utf-8")


if __name__ == "__main__":
    rewrite()
