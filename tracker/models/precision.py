"""The float type of the heavy arithmetic: weights are cast once, activations by autocast.

Under autocast and `inference_mode` torch casts every weight anew on every call; weights that have
the type already are taken as they are, and the results keep their bits.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from tracker.errors import SettingsError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

LEAST_IMAGE_SIZE = 512
"""On a CPU, below this image size `auto` is float32: what bfloat16 saves is a fraction of a second,
and masks of few cells change more with its digits."""

_CAST = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def resolve_precision(name: str, device: torch.device, image_size: int) -> torch.dtype:
    """The float type called `name`: `fp32`, `bf16`, `fp16`, or `auto`.

    `auto` is bfloat16 where the hardware multiplies it natively: CUDA devices that do, and CPUs
    with AVX512-BF16 or AMX at an image size from `LEAST_IMAGE_SIZE`. Elsewhere it is float32.

    Raises:
        SettingsError: for another name.
    """
    if name in DTYPES:
        return DTYPES[name]
    if name != "auto":
        raise SettingsError(f"precision {name!r}: one of auto, {', '.join(DTYPES)}")
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        large = image_size >= LEAST_IMAGE_SIZE
        native = device.type == "cpu" and large and cpu_multiplies_bf16()
    return torch.bfloat16 if native else torch.float32


def cpu_multiplies_bf16() -> bool:
    """Whether this CPU has AVX512-BF16 or AMX."""
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def lower(model: Any, dtype: torch.dtype) -> None:
    """Cast what autocast would, once: weights and biases of linear layers and convolutions.

    Prompt encoder and mask decoder then compute in `dtype` whoever calls them, sam2's image
    predictor too, and give float32. Nothing happens for float32.
    """
    if dtype == torch.float32:
        return
    for module in model.modules():
        if isinstance(module, _CAST):
            module.to(dtype)
    for part in (model.sam_prompt_encoder, model.sam_mask_decoder):
        part.forward = _lowered(part.forward, dtype, model.device)


def _lowered(function: Callable[..., Any], dtype: torch.dtype, device: torch.device) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        with computing_in(dtype, device):
            results = function(*args, **kwargs)
        return tuple(result.float() for result in results)

    return call


def computing_in(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[None]:
    """The context in which weights of `dtype` are used. In float32 a caller's own one holds."""
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype, cache_enabled=False)
