"""`track models`: what a person sees, and what is on disk afterwards."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tracker import locations
from tracker.cli.models import models
from tracker.errors import ModelError
from tracker.models import registry
from tracker.models.registry import HubSource, Model, ModelFile

WEIGHTS = b"weights " * 200_000
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
MODEL = Model(
    name="tiny",
    kind="sam2",
    config="configs/sam2.1/sam2.1_hiera_t.yaml",
    purpose="a test",
    files=(ModelFile("tiny.pt", len(WEIGHTS), SHA256),),
    hub=HubSource("test/tiny", "rev1"),
)
DEMO = Model("demo", "sam2", "sam2/demo.yaml", "ships with track", (ModelFile("sam2_demo.pt"),))

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run a subcommand; a hub on this machine serves MODEL, and the user's folder is empty."""
    file = tmp_path / "hub/test/tiny/resolve/rev1/tiny.pt"
    file.parent.mkdir(parents=True)
    file.write_bytes(WEIGHTS)
    (tmp_path / "package/checkpoints").mkdir(parents=True)
    (tmp_path / "package/checkpoints/sam2_demo.pt").write_bytes(b"demo")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "hub"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TRACK_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(locations, "_PACKAGE", tmp_path / "package")
    monkeypatch.setattr(registry, "MODELS", (DEMO, MODEL))
    yield lambda *words: CliRunner().invoke(models, words)
    server.shutdown()
    server.server_close()


def row(result: Result, name: str) -> str:
    """The table's row for a model, its columns one space apart."""
    rows = [" ".join(line.split()) for line in result.stdout.splitlines()]
    (found,) = (line for line in rows if line.startswith(f"{name} "))
    return found


def test_list_shows_what_is_installed_and_verified(run):
    result = run("list")
    assert result.exit_code == 0
    assert row(result, "demo") == "demo sam2 0 MB verified ships with track"
    assert row(result, "tiny") == "tiny sam2 2 MB no a test"
    run("pull", "tiny")
    assert row(run("list"), "tiny") == "tiny sam2 2 MB verified a test"
    (MODEL.folder / "tiny.pt").write_bytes(b"other")
    assert row(run("list"), "tiny") == "tiny sam2 2 MB not verified a test"


def test_list_of_the_real_registry_names_every_model(monkeypatch, tmp_path):
    monkeypatch.setenv("TRACK_MODELS", str(tmp_path))
    result = CliRunner().invoke(models, ["list"])
    assert result.exit_code == 0
    for model in registry.MODELS:
        assert model.name in result.stdout


def test_pull_installs_and_says_where(run):
    result = run("pull", "tiny")
    assert result.exit_code == 0
    assert result.stdout == f"tiny: installed, SHA-256 verified, in {MODEL.folder}\n"
    assert (MODEL.folder / "tiny.pt").read_bytes() == WEIGHTS
    assert run("pull", "tiny", "tiny").stdout == result.stdout


def test_pull_knows_all_names_before_it_starts(run):
    result = run("pull", "tiny", "huge")
    assert isinstance(result.exception, ModelError)
    assert str(result.exception) == "unknown model 'huge'; known: demo, tiny"
    assert not MODEL.folder.exists()


def test_pull_of_a_wrong_file_is_an_error_and_installs_nothing(run, tmp_path):
    (tmp_path / "hub/test/tiny/resolve/rev1/tiny.pt").write_bytes(WEIGHTS[::-1])
    result = run("pull", "tiny")
    assert isinstance(result.exception, ModelError) and SHA256 in str(result.exception)
    assert not registry.is_installed(MODEL)


def test_pull_without_a_name_is_a_usage_error(run):
    result = run("pull")
    assert result.exit_code == 2 and "NAME" in result.stderr


def test_verify_reads_all_installed_models(run):
    run("pull", "tiny")
    result = run("verify")
    assert result.exit_code == 0
    assert row(result, "tiny") == f"tiny sam2 tiny.pt {SHA256[:12]} ok"
    assert row(result, "demo").endswith(" ok")


def test_verify_finds_damage_that_the_stamp_hides(run):
    run("pull", "tiny")
    path = MODEL.folder / "tiny.pt"
    path.write_bytes(WEIGHTS[::-1])
    now = path.stat()
    stamp = path.with_name(".tiny.pt.verified")
    stamp.write_text(f"{SHA256} {now.st_size} {now.st_mtime_ns} {now.st_ctime_ns}\n")
    assert registry.is_verified(MODEL)
    result = run("verify", "tiny")
    assert row(result, "tiny").endswith(" damaged")
    assert isinstance(result.exception, ModelError) and result.exception.exit_code == 2
    assert "tiny.pt is damaged; `track models pull tiny` fetches it" in str(result.exception)
    assert not registry.is_verified(MODEL)


def test_verify_of_a_model_that_is_not_installed_is_an_error(run):
    result = run("verify", "tiny")
    assert row(result, "tiny").endswith(" missing")
    assert isinstance(result.exception, ModelError)


@pytest.mark.parametrize("command", [[], ["list"], ["pull"], ["verify"]])
def test_every_command_has_help(command):
    result = CliRunner().invoke(models, [*command, "--help"])
    assert result.exit_code == 0 and "Usage:" in result.stdout
