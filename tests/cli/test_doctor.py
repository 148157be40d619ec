"""`track doctor` tries the real things, and fails when one that is needed does not work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tracker import locations
from tracker.cli import doctor as module
from tracker.cli.doctor import doctor
from tracker.models import registry

CONFIG = b'{"model_type": "dinov2"}'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Demo models that are there, and folders of the user that are not yet."""
    for path in ("sam2_demo.pt", "dinov2_demo/model.safetensors", "dinov2_demo/config.json"):
        file = tmp_path / "package/checkpoints" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"demo")
    monkeypatch.setattr(locations, "_PACKAGE", tmp_path / "package")
    monkeypatch.setenv("TRACK_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("TRACK_MEMORY", str(tmp_path / "memory"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run() -> tuple[Result, dict[tuple[str, str], dict[str, Any]]]:
    result = CliRunner().invoke(doctor, ["--json"])
    report = json.loads(result.stdout)
    assert report["usable"] == (result.exit_code == 0)
    return result, {(check["area"], check["name"]): check for check in report["checks"]}


def test_this_machine_is_usable_and_nothing_is_left_behind(home):
    before = sorted(home.rglob("*"))
    result, checks = run()
    assert result.exit_code == 0, result.stdout
    for name in ("torch", "sam2", "transformers", "supervision", "av", "opencv"):
        assert checks["version", name]["status"] == "ok"
        assert checks["version", name]["detail"][0].isdigit()
    assert "cpu" in checks["device", "auto"]["detail"]
    assert checks["codec", "write and read H.264"]["detail"] == "8 frames"
    assert "h264" in checks["codec", "decoders"]["detail"]
    assert checks["model sam2", "demo"]["status"] == "ok"
    assert "track models pull sam2.1_hiera_tiny" in checks["model sam2", "auto"]["mend"]
    assert not any(area == "model detector" for area, _ in checks)  # it is optional
    assert checks["folder", "memory"]["detail"] == str(home / "memory")
    assert sorted(home.rglob("*")) == before


def test_the_table_says_the_same():
    result = CliRunner().invoke(doctor)
    assert result.exit_code == 0
    assert "torch" in result.stdout and result.stdout.endswith("everything needed works\n")


def test_a_missing_model_is_unusable(home):
    (home / "package/checkpoints/sam2_demo.pt").unlink()
    result, checks = run()
    assert result.exit_code == 1
    assert checks["model sam2", "demo"]["status"] == "unusable"
    assert "not installed" in checks["model sam2", "demo"]["detail"]


def test_a_damaged_model_is_unusable_even_beside_a_good_one():
    model = registry.find("dinov2_small")[0]
    model.folder.mkdir(parents=True)
    for file in model.files:
        (model.folder / file.name).write_bytes(b"damaged")
    result, checks = run()
    assert result.exit_code == 1
    damaged = checks["model features", "dinov2_small"]
    assert damaged["status"] == "unusable"
    assert "track models pull dinov2_small" in damaged["detail"]
    assert checks["model features", "demo"]["status"] == "ok"


def test_a_folder_that_cannot_be_written_is_unusable(home, monkeypatch):
    (home / "file").write_text("not a folder")
    monkeypatch.setenv("TRACK_MODELS", str(home / "file" / "models"))
    result, checks = run()
    assert result.exit_code == 1
    assert checks["folder", "models"]["status"] == "unusable"
    assert "TRACK_MODELS" in checks["folder", "models"]["mend"]


@pytest.mark.parametrize(("name", "code"), [("no_such_module", 1), ("json", 0)])
def test_a_module_that_does_not_import_is_unusable(monkeypatch, name, code):
    monkeypatch.setattr(module, "MODULES", ((name, name),))
    result, checks = run()
    assert result.exit_code == code
    assert ("No module" in checks["version", name]["detail"]) == (code == 1)


def test_a_note_does_not_fail(monkeypatch):
    monkeypatch.setattr(module, "DECODERS", ("h264", "no_such_codec"))
    result, checks = run()
    assert result.exit_code == 0
    assert checks["codec", "decoders"]["status"] == "note"
    assert checks["codec", "decoders"]["detail"] == "cannot read no_such_codec"
