"""Builds SAM2's video predictor from a Hydra config and weights, and says plainly what is wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import sam2
import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from sam2.build_sam import build_sam2_video_predictor
from yaml import YAMLError

from tracker.errors import ModelError
from tracker.models.weights import load_state_dict


def build_from_config(
    config_file: str | PathLike[str],
    device: torch.device,
    mode: str,
    overrides: Sequence[str],
    **kwargs: Any,
) -> Any:
    """`build_sam2_video_predictor` without weights, for a config of its package or of our own.

    Args:
        config_file: as the package names it (`configs/sam2.1/sam2.1_hiera_t.yaml`), or the path of
            a YAML file. The package's name wins.
        overrides: Hydra overrides; of two for the same key the later one holds.

    Raises:
        ModelError: for a config that is not there, or that cannot be built.
    """
    with _config_name(config_file) as name:
        try:
            return build_sam2_video_predictor(
                name,
                device=device,
                mode=mode,
                hydra_overrides_extra=list(overrides),
                apply_postprocessing=False,
                **kwargs,
            )
        except (HydraException, OmegaConfBaseException, YAMLError) as error:
            raise ModelError(f"cannot build {config_file}: {error}") from error


def load_weights(model: torch.nn.Module, path: Path, config_file: str) -> None:
    """Copy a checkpoint's tensors into `model`, converting their float type.

    Raises:
        ModelError: for an unreadable file, or one that was made for another architecture; the
            message names what `config_file` expects and what the file holds. `model` is unchanged.
    """
    found = load_state_dict(path)
    expected = model.state_dict()
    problems = [
        *_listed("missing", [name for name in expected if name not in found]),
        *_listed("not expected", [name for name in found if name not in expected]),
        *_listed(
            "of another shape",
            [
                f"{name} (expected {_shape(value)}, found {_shape(found[name])})"
                for name, value in expected.items()
                if name in found and found[name].shape != value.shape
            ],
        ),
    ]
    if problems:
        raise ModelError(f"{path} does not fit {config_file}: {'; '.join(problems)}")
    model.load_state_dict(found)


@contextlib.contextmanager
def _config_name(config_file: str | PathLike[str]) -> Iterator[str]:
    """The name under which Hydra finds the config while this context lasts.

    The package sam2 initialises Hydra on its own folder when imported (sam2/__init__.py:10). For a
    file elsewhere Hydra looks in that file's folder for the time being.
    """
    package = Path(sam2.__path__[0])
    path = Path(config_file)
    if not path.is_absolute() and (package / path).is_file():
        yield str(config_file)
        return
    if not path.is_file():
        known = ", ".join(
            sorted(str(p.relative_to(package)) for p in package.glob("configs/*2*/*"))
        )
        raise ModelError(f"config {config_file} is neither a file nor one of sam2's: {known}")
    hydra = GlobalHydra.instance()
    before = hydra.hydra
    hydra.clear()
    try:
        with initialize_config_dir(str(path.resolve().parent), version_base="1.2"):
            yield path.name
    finally:
        GlobalHydra.instance().hydra = before


def _listed(what: str, names: list[str], at_most: int = 3) -> list[str]:
    """One clause: how many tensors are `what`, and the first few names; nothing for none."""
    if not names:
        return []
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return [f"{len(names)} tensors {what}: {', '.join(names[:at_most])}{more}"]


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(str(n) for n in tensor.shape) or "scalar"
