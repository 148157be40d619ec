"""Which model a name means, and that no file is handed out unless it is the right one."""

from __future__ import annotations

import functools
import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from tracker import locations
from tracker.errors import ModelError
from tracker.models import registry
from tracker.models.registry import HubSource, Model, ModelFile
from tracker.models.sam2 import load_video_predictor

WEIGHTS = b"weights " * 1000
CONFIG = b'{"model_type": "dinov2"}'


def pin(name: str, content: bytes) -> ModelFile:
    return ModelFile(name, len(content), hashlib.sha256(content).hexdigest())


def small_model(name: str, kind: registry.Kind, files: dict[str, bytes]) -> Model:
    pins = tuple(pin(file, content) for file, content in files.items())
    return Model(name, kind, "config.json", "a test", pins, HubSource(f"test/{name}", "rev1"))


ONE = small_model("one", "features", {"model.safetensors": WEIGHTS, "config.json": CONFIG})
TWO = small_model("two", "features", {"model.safetensors": WEIGHTS[:-1], "config.json": CONFIG})
REAL_MODELS = registry.MODELS
DEMOS = tuple(model for model in REAL_MODELS if model.name == "demo")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with demo models and an empty model folder of the user."""
    package = tmp_path / "package" / "tracker"
    for path, content in {
        "checkpoints/sam2_demo.pt": b"demo sam2",
        "checkpoints/dinov2_demo/model.safetensors": b"demo dinov2",
        "checkpoints/dinov2_demo/config.json": CONFIG,
        "configs/sam2/demo.yaml": b"model: {}",
    }.items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_bytes(content)
    monkeypatch.setattr(locations, "_PACKAGE", package)
    monkeypatch.setattr(registry, "MODELS", (*DEMOS, ONE, TWO))
    monkeypatch.setenv("TRACK_MODELS", str(tmp_path / "models"))
    return tmp_path


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder served as a model hub: what lies at REPO/resolve/REVISION/FILE can be pulled."""
    root = home / "hub"
    root.mkdir()
    asked: list[str] = []

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(root)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield root
    server.shutdown()
    server.server_close()


def offer(hub: Path, model: Model, contents: dict[str, bytes]) -> None:
    assert model.hub
    for name, content in contents.items():
        path = hub / model.hub.repo / "resolve" / model.hub.revision / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def put(model: Model, *contents: bytes) -> None:
    model.folder.mkdir(parents=True, exist_ok=True)
    for file, content in zip(model.files, contents, strict=True):
        (model.folder / file.name).write_bytes(content)


def test_the_demo_models_are_found_where_they_ship(home):
    package = home / "package" / "tracker"
    sam2 = registry.resolve("demo", "sam2")
    assert sam2.path == package / "checkpoints/sam2_demo.pt"
    assert sam2.config == str(package / "configs/sam2/demo.yaml")
    assert sam2.sha256 == hashlib.sha256(b"demo sam2").hexdigest()
    features = registry.resolve("demo", "features")
    assert features.path == package / "checkpoints/dinov2_demo"
    assert features.config == str(package / "checkpoints/dinov2_demo/config.json")
    assert features.sha256 == hashlib.sha256(b"demo dinov2").hexdigest()


@pytest.mark.parametrize("line", ["{} sam2_demo.pt", "{}  sam2_demo.pt", "{} *./sam2_demo.pt"])
def test_a_shipped_file_must_match_the_checksums_that_ship_with_it(home, line):
    sums = home / "package/tracker/checkpoints/SHA256SUMS"
    right, wrong = hashlib.sha256(b"demo sam2").hexdigest(), "0" * 64
    sums.write_text(line.format(right) + "\n")
    assert registry.resolve("demo", "sam2").sha256 == right
    sums.write_text(line.format(wrong) + "\n")
    with pytest.raises(ModelError, match=f"expected {wrong}, found {right}; .*install track again"):
        registry.resolve("demo", "sam2")


def test_a_missing_demo_says_that_it_ships_with_track(home):
    (home / "package/tracker/checkpoints/sam2_demo.pt").unlink()
    for name in ("demo", "auto"):
        with pytest.raises(ModelError, match="demo is not installed; it ships with track"):
            registry.resolve(name, "sam2")


def test_auto_is_the_largest_installed_model_of_the_kind():
    assert registry.resolve("auto", "features").name == "demo"
    put(ONE, WEIGHTS, CONFIG)
    assert registry.resolve("auto", "features").name == "one"
    put(TWO, WEIGHTS[:-1], CONFIG)
    assert registry.resolve("auto", "features").name == "two"
    assert registry.resolve("one", "features").name == "one"
    assert registry.resolve("auto", "sam2").name == "demo"
    assert [model.name for model in registry.installed("features")] == ["demo", "one", "two"]


def test_a_model_with_a_file_missing_is_not_installed():
    put(ONE, WEIGHTS, CONFIG)
    (ONE.folder / "config.json").unlink()
    assert not registry.is_installed(ONE)
    assert registry.resolve("auto", "features").name == "demo"


def test_auto_does_not_step_over_a_damaged_model():
    put(ONE, WEIGHTS[::-1], CONFIG)
    with pytest.raises(ModelError, match=r"damaged.*track models pull one"):
        registry.resolve("auto", "features")


def test_a_model_that_is_not_installed_names_the_command_that_helps():
    with pytest.raises(ModelError, match="one is not installed; `track models pull one` fetches"):
        registry.resolve("one", "features")


def test_an_unknown_name_lists_the_known_ones_of_the_kind():
    with pytest.raises(ModelError, match="unknown features model 'three'; known: demo, one, two"):
        registry.resolve("three", "features")
    with pytest.raises(ModelError, match=r"unknown sam2 model 'one'; known: demo$"):
        registry.resolve("one", "sam2")
    with pytest.raises(ModelError, match="unknown model 'auto'; known: demo, one, two"):
        registry.pull("auto")


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_a_tampered_file_is_refused(file):
    put(ONE, WEIGHTS, CONFIG)
    registry.resolve("one", "features")
    path = ONE.folder / file
    path.write_bytes(path.read_bytes() + b"!")
    with pytest.raises(ModelError, match=f"{file} is damaged or was replaced: SHA-256 expected"):
        registry.resolve("one", "features")


def test_a_tampered_file_is_refused_even_with_its_old_size_and_time():
    put(ONE, WEIGHTS, CONFIG)
    registry.resolve("one", "features")
    path = ONE.folder / "model.safetensors"
    before = path.stat()
    path.write_bytes(WEIGHTS[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    with pytest.raises(ModelError, match="damaged"):
        registry.resolve("one", "features")


def test_a_verified_file_is_not_read_again_until_it_changes(monkeypatch):
    put(ONE, WEIGHTS, CONFIG)
    assert not registry.is_verified(ONE)
    registry.resolve("one", "features")
    assert registry.is_verified(ONE)
    read: list[Path] = []
    whole = registry.read_sha256
    monkeypatch.setattr(registry, "read_sha256", lambda path: read.append(path) or whole(path))
    assert registry.resolve("one", "features").sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert read == []
    (ONE.folder / "config.json").touch()
    registry.resolve("one", "features")
    assert read == [ONE.folder / "config.json"]


def test_verify_reads_in_full_and_forgets_a_stamp_that_does_not_hold():
    put(ONE, WEIGHTS, CONFIG)
    assert [check.state for check in registry.verify(ONE)] == ["ok", "ok"]
    assert registry.is_verified(ONE)
    (ONE.folder / "model.safetensors").write_bytes(b"")
    (ONE.folder / "config.json").unlink()
    checks = registry.verify(ONE)
    assert [check.state for check in checks] == ["damaged", "missing"]
    assert checks[0].found == hashlib.sha256(b"").hexdigest()
    assert not registry.is_verified(ONE)


def test_pull_installs_and_a_second_pull_asks_nothing(hub, monkeypatch):
    offer(hub, ONE, {"model.safetensors": WEIGHTS, "config.json": CONFIG})
    seen: list[tuple[str, int, int]] = []
    assert registry.pull("one", lambda *step: seen.append(step)) is ONE
    assert {step[0] for step in seen} == {"model.safetensors", "config.json"}
    assert registry.is_verified(ONE)
    model = registry.resolve("one", "features")
    assert model.path == ONE.folder and (model.path / "model.safetensors").read_bytes() == WEIGHTS
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    registry.pull("one")


def test_pull_mends_a_damaged_file(hub):
    offer(hub, ONE, {"model.safetensors": WEIGHTS, "config.json": CONFIG})
    registry.pull("one")
    (ONE.folder / "model.safetensors").write_bytes(WEIGHTS[::-1])
    registry.pull("one")
    assert registry.resolve("one", "features").name == "one"


def test_the_demo_models_cannot_be_pulled():
    with pytest.raises(ModelError, match="ships with track"):
        registry.pull("demo")


def test_a_pickle_bomb_with_a_matching_hash_never_goes_off(hub, monkeypatch):
    goes_off = hub / "went_off"

    class Bomb:
        def __reduce__(self) -> tuple:
            return (os.mkdir, (str(goes_off),))

    bomb = hub / "bomb.pt"
    torch.save({"model": Bomb()}, bomb)
    model = small_model("bomb", "sam2", {"bomb.pt": bomb.read_bytes()})
    model = replace(model, config="configs/sam2.1/sam2.1_hiera_t.yaml")
    monkeypatch.setattr(registry, "MODELS", (*registry.MODELS, model))
    offer(hub, model, {"bomb.pt": bomb.read_bytes()})

    registry.pull("bomb")
    assert registry.resolve("bomb", "sam2").sha256 == model.files[0].sha256
    with pytest.raises(ModelError, match="nothing in it was run"):
        load_video_predictor("bomb", "cpu", image_size=64)
    assert not goes_off.exists()

    torch.load(bomb, weights_only=False)  # it is a real bomb: loaded carelessly, it goes off
    assert goes_off.exists()


def test_the_registry_itself():
    assert [(model.kind, model.name) for model in REAL_MODELS] == [
        ("sam2", "demo"),
        ("sam2", "sam2.1_hiera_tiny"),
        ("sam2", "sam2.1_hiera_small"),
        ("sam2", "sam2.1_hiera_base_plus"),
        ("sam2", "sam2.1_hiera_large"),
        ("features", "demo"),
        ("features", "dinov2_small"),
        ("features", "dinov2_base"),
        ("features", "dinov2_large"),
        ("detector", "grounding_dino_tiny"),
    ]
    pulled = [model for model in REAL_MODELS if model.hub]
    assert {model.name for model in REAL_MODELS if model not in pulled} == {"demo"}
    for model in pulled:
        assert model.hub and len(bytes.fromhex(model.hub.revision)) == 20
        for file in model.files:
            assert file.size_bytes > 0 and len(bytes.fromhex(file.sha256)) == 32
    for kind in ("sam2", "features"):
        sizes = [model.size_bytes for model in pulled if model.kind == kind]
        assert sizes == sorted(sizes)


def test_every_pulled_sam2_model_has_its_config_in_the_installed_package():
    configs = [model.config for model in REAL_MODELS if model.kind == "sam2" and model.hub]
    assert all(files("sam2").joinpath(config).is_file() for config in configs)


def test_the_docs_list_the_same_models_and_sizes():
    docs = (Path(__file__).parents[2] / "docs/models.md").read_text("utf-8")
    for model in REAL_MODELS:
        size = f"{model.size_bytes / 1e6:,.0f} MB" if model.hub else "ships with track"
        assert f"| `{model.name}` | {model.kind} | {size} | {model.purpose} |" in docs
