"""Which device a model runs on."""

from __future__ import annotations

import torch

from tracker.errors import SettingsError


def pick_device(name: str | torch.device = "auto") -> torch.device:
    """The device called `name`: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    `auto` is the first CUDA device, else the CPU. It never picks `mps`, whose numbers differ from
    those SAM2 was published with; ask for it by name.

    Raises:
        SettingsError: for an unknown name, or a device that this machine does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise SettingsError(
            f"unknown device {name!r}; known: auto, cpu, cuda, cuda:N, mps"
        ) from error
    if not _is_here(device):
        raise SettingsError(f"device {name} is not available; here: auto, {', '.join(_here())}")
    return device


def _is_here(device: torch.device) -> bool:
    return str(device) in _here()


def _here() -> list[str]:
    cuda = [f"cuda:{n}" for n in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *(["cuda"] if cuda else []), *cuda, *mps]
