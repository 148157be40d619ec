"""Reads a checkpoint as tensors and nothing else: what it might contain besides is never run."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch

from tracker.errors import ModelError


def load_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a `.pt` file by name, on the CPU.

    Reads SAM2's official form, `{"model": state dict}` (as sam2/build_sam.py `_load_checkpoint`),
    and a bare state dict.

    Raises:
        ModelError: for a file that is missing or damaged, or that holds anything but tensors.
            PyTorch's `weights_only` unpickler refuses code before it runs.
    """
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist") from error
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} is not a file of weights, or holds more than weights; it is refused, and "
            "nothing in it was run"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path} is damaged or no PyTorch file: {error}") from error
    state = loaded.get("model", loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise ModelError(f"{path} holds no state dict: expected tensors by name, or under 'model'")
    return state
