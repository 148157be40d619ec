"""`track doctor`: tries what track needs on this machine, and says what to do where it fails."""

from __future__ import annotations

import importlib
import json
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Literal, get_args

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tracker import locations
from tracker.errors import SettingsError, VideoError
from tracker.models import registry

Status = Literal["ok", "note", "unusable"]

# What a user calls it, and the module that must import.
MODULES = (
    ("torch", "torch"),
    ("torchvision", "torchvision"),
    ("sam2", "sam2"),
    ("transformers", "transformers"),
    ("supervision", "supervision"),
    ("av", "av"),
    ("opencv", "cv2"),
)
DECODERS = ("h264", "hevc", "vp9", "av1", "mpeg4", "gif", "aac")
STYLES = {"ok": "green", "note": "yellow", "unusable": "bold red"}


@dataclass(frozen=True)
class Check:
    """One thing that was tried. `unusable` makes the command fail, `note` does not."""

    area: str
    name: str
    status: Status
    detail: str
    mend: str = ""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def doctor(as_json: bool) -> None:
    """Check versions, devices, models, codecs and folders.

    Exit code 1 if something that track needs is unusable.
    """
    done = list(checks())
    usable = all(check.status != "unusable" for check in done)
    if as_json:
        click.echo(json.dumps({"usable": usable, "checks": [asdict(c) for c in done]}, indent=2))
    else:
        Console().print(_table(done))
        click.echo("everything needed works" if usable else "something needed is unusable")
    if not usable:
        sys.exit(1)


def checks() -> Iterator[Check]:
    """Try everything, in the order in which a failure explains the next."""
    yield _try("version", "track", partial(metadata.version, "track"), failure="note")
    yield _try("version", "python", platform.python_version)
    for name, module in MODULES:
        yield _try("version", name, partial(_version, module), "install track again")
    mend = "only --reader decord needs it"
    yield _try("version", "decord", partial(_version, "decord"), mend, failure="note")
    yield _try("device", "auto", _devices)
    yield from _models()
    yield _try("codec", "write and read H.264", _write_and_read, "install track again")
    yield _try("codec", "decoders", _decoders, failure="note")
    yield _folder("runs", Path.cwd() / "runs", "give `--output` a folder elsewhere")
    yield _folder("memory", locations.user_memory(), "set TRACK_MEMORY to a folder elsewhere")
    yield _folder("models", locations.user_models(), "set TRACK_MODELS to a folder elsewhere")


def _try(
    area: str,
    name: str,
    action: Callable[[], str],
    mend: str = "",
    failure: Status = "unusable",
) -> Check:
    """Run a check that returns its finding, or raises why there is none."""
    try:
        return Check(area, name, "ok", action())
    # A broken installation raises anything: ImportError, OSError of a library, RuntimeError.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        return Check(area, name, failure, reason, mend)


def _version(module: str) -> str:
    """Import it, since an installed package may still not load."""
    loaded = importlib.import_module(module)
    return str(getattr(loaded, "__version__", None) or metadata.version(module))


def _devices() -> str:
    from tracker.models.device import pick_device  # imports torch, which may be what is broken

    here = []
    for name in ("cpu", "cuda", "mps"):
        try:
            here.append(str(pick_device(name)))
        except SettingsError:
            continue
    return f"{pick_device('auto')} (usable: {', '.join(here)})"


def _models() -> Iterator[Check]:
    """Every installed model is intact; `auto` is a real one or a note."""
    for kind in get_args(registry.Kind):
        area = f"model {kind}"
        names = [model.name for model in registry.installed(kind)]
        if not names and kind == "detector":
            continue  # none ships with track, and only --text needs one
        names = names or ["demo"]
        for name in names:
            yield _try(area, name, partial(_intact, name, kind))
        if names == ["demo"]:
            smallest = next(m.name for m in registry.MODELS if m.kind == kind and m.hub)
            todo = f"for real footage: track models pull {smallest}"
            yield Check(area, "auto", "note", "takes demo, a small model", todo)
        else:
            yield Check(area, "auto", "ok", f"takes {names[-1]}")


def _intact(name: str, kind: registry.Kind) -> str:
    files = registry.resolve(name, kind)
    return f"SHA-256 {files.sha256[:12]}, {files.path}"


def _write_and_read() -> str:
    """Eight frames through our own writer and reader."""
    from tracker.video import VideoWriter, open_video

    with tempfile.TemporaryDirectory() as folder:
        path, rate = Path(folder) / "doctor.mp4", Fraction(25)
        image_hwc = np.full((48, 64, 3), 128, np.uint8)
        with VideoWriter(path, width=64, height=48, frame_rate=rate, time_base=1 / rate) as video:
            for pts in range(8):
                video.write(image_hwc, pts)
        with open_video(path) as video:
            count = sum(1 for _ in video.frames())
    if count != 8:
        raise VideoError(f"8 frames written, {count} read back")
    return "8 frames"


def _decoders() -> str:
    from av.codec import Codec

    missing = []
    for name in DECODERS:
        try:
            Codec(name, "r")
        except ValueError:  # av.codec.codec.UnknownCodecError
            missing.append(name)
    if missing:
        raise VideoError(f"cannot read {', '.join(missing)}")
    return ", ".join(DECODERS)


def _folder(name: str, path: Path, mend: str) -> Check:
    return _try("folder", name, partial(_writable, path), mend)


def _writable(path: Path) -> str:
    """Write a file into the folder, or where the folder would be made; leave nothing behind."""
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    with tempfile.TemporaryFile(dir=existing) as file:
        file.write(b"track")
    return str(path)


def _table(done: list[Check]) -> Table:
    table = Table("area", "name", "", box=None)
    table.add_column("finding", overflow="fold")  # a path is shown whole
    for check in done:
        finding = check.detail
        if check.status != "ok" and check.mend:
            finding += f"; {check.mend}"
        # Text, not str: rich would take a bracket in an error message for markup.
        table.add_row(
            check.area, check.name, Text(check.status, STYLES[check.status]), Text(finding)
        )
    return table
