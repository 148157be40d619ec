"""Imports run downward only, and torch stays under `tracker/models`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tracker

PACKAGE = Path(tracker.__file__).parent

# From the bottom up. A room may import from the lines below its own, and from itself; those on one
# line do not know each other, but for the lowest.
LAYERS = (
    (
        *("types", "masks", "views", "edges", "guided_filter"),
        *("colour_models", "prompted_colours"),
        *("errors", "settings", "locations", "durable"),
    ),
    ("models", "video"),
    ("memory", "output", "evaluation"),
    ("session",),
    ("cli", "web"),
)
LAYER_OF = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}

# The streaming predictor opens the paths that SAM2's own `init_state` takes.
ALLOWED = {("models", "video")}

MODULES = sorted(path for path in PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of every import in a file, also inside functions and `TYPE_CHECKING`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def room(path: Path) -> str:
    """`cli` for `tracker/cli/run.py`, `types` for `tracker/types.py`, `` for the package."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py").replace("__init__", "")


def may_import(importer: str, imported: str) -> bool:
    if importer in ("", imported) or (importer, imported) in ALLOWED:
        return True
    below = LAYER_OF[imported] < LAYER_OF[importer]
    return below or LAYER_OF[imported] == LAYER_OF[importer] == 0


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downward(path):
    for line, name in imports(path):
        parts = name.split(".")
        if parts[0] == "tracker" and len(parts) > 1 and parts[1] in LAYER_OF:
            where = f"{path.relative_to(PACKAGE.parent)}:{line}"
            assert may_import(room(path), parts[1]), f"{where} imports tracker.{parts[1]}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_torch_stays_under_models(path):
    if room(path) != "models":
        torches = {"torch", "torchvision", "sam2", "transformers"}
        found = [(line, name) for line, name in imports(path) if name.split(".")[0] in torches]
        assert not found


def test_every_room_has_its_place():
    rooms = {room(path) for path in MODULES} - {""}
    assert rooms <= LAYER_OF.keys()


def test_nothing_in_the_package_imports_its_tools_or_tests():
    for path in MODULES:
        outside = {name.split(".")[0] for _, name in imports(path)}
        assert not outside & {"tests", "training", "benchmarks", "samples"}, path
