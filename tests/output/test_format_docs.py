"""Every format has a page, and the examples on the pages run."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.made_runs import write_run
from tests.made_videos import make_video
from tracker.output.export import FORMATS
from tracker.output.export.scores import COLUMNS
from tracker.output.styles import STYLES
from tracker.session.exchange.exporting import export_run

PAGES = sorted((Path(__file__).parents[2] / "docs" / "formats").glob("*.md"))
EXAMPLES = [
    pytest.param(code, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.S))
]
FOREIGN = ("ultralytics", "pyarrow")  # not installed with track


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with `clip.mp4` and its run in every format."""
    folder = tmp_path_factory.mktemp("docs")
    video = make_video(folder / "clip.mp4", 3, size=(96, 64))
    run = write_run(folder / "runs" / "clip", video, range(3))
    export_run(run, [name for name in FORMATS if name != "parquet" or find_spec("pyarrow")])
    return folder


@pytest.mark.parametrize("code", EXAMPLES)
def test_examples_run(place, code, monkeypatch):
    if missing := [name for name in FOREIGN if name in code and find_spec(name) is None]:
        pytest.skip(f"{missing[0]} is not installed")
    monkeypatch.chdir(place)
    exec(compile(code.replace('"cup"', '"ring"'), "example", "exec"), {})


def test_every_format_has_a_page():
    index = next(page for page in PAGES if page.stem == "README").read_text("utf-8")
    for name, output in FORMATS.items():
        assert f"`{name}`" in index and output.file_name in index
    linked = re.findall(r"\]\(([a-z-]+\.md)\)", index)
    assert {*linked, "README.md"} == {page.name for page in PAGES}


def test_every_column_and_style_is_explained():
    text = {page.stem: page.read_text("utf-8") for page in PAGES}
    assert all(f"`{column}`" in text["tables"] for column in COLUMNS)
    assert all(f"`{style}`" in text["video"] for style in STYLES)
