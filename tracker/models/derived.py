"""What is made of a module's weights and tables: kept with it until other weights are loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

_DERIVED = "_derived_weights"

Pair = tuple[torch.Tensor, torch.Tensor]
"""Two tensors that belong together, as weight and bias do."""


def derived(module: Any, key: tuple[Any, ...], make: Callable[[], Pair]) -> Pair:
    """What `make` gave before for this module and key, or gives now."""
    made: dict[Any, Pair] = module.__dict__.setdefault(_DERIVED, {})
    if key not in made:
        made[key] = make()
    return made[key]


def forget_derived(model: nn.Module) -> None:
    """Call it when other weights were loaded."""
    for module in model.modules():
        module.__dict__.pop(_DERIVED, None)


def one_after_the_other(first: Any, second: Any) -> Pair:
    """Weight and bias of one layer that does what two linear layers or 1x1 convolutions do.

    Multiplied in float64, and of the float type of the second, which always follows this first.
    """

    def product() -> Pair:
        a, b = (each.weight.detach().flatten(1).double() for each in (first, second))
        weight = (b @ a).unflatten(1, (-1, *first.weight.shape[2:]))
        bias = b @ first.bias.detach().double() + second.bias.detach().double()
        kind = second.weight.dtype
        return weight.to(kind), bias.to(kind)

    return derived(second, ("after the first", second.weight.dtype), product)
