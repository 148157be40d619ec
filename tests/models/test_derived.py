"""Weights made of other weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tracker.models.derived import derived, forget_derived, one_after_the_other


def test_made_once_until_forgotten() -> None:
    model, made = nn.Sequential(nn.Linear(2, 2)), []

    def make() -> tuple[torch.Tensor, torch.Tensor]:
        made.append(1)
        return torch.zeros(1), torch.zeros(1)

    for _ in range(2):
        derived(model[0], ("a",), make)
    assert len(made) == 1
    derived(model[0], ("b",), make)
    assert len(made) == 2
    forget_derived(model)
    derived(model[0], ("a",), make)
    assert len(made) == 3


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_two_layers_in_one(kind: torch.dtype) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(6, 9).to(kind), nn.Linear(9, 4).to(kind)
    convolutions = nn.Conv2d(6, 9, 1).to(kind), nn.Conv2d(9, 4, 1).to(kind)
    tokens, maps = torch.randn(5, 6).to(kind), torch.randn(2, 6, 3, 3).to(kind)
    digits = {"atol": 1e-6, "rtol": 1e-5} if kind == torch.float32 else {"atol": 0.02, "rtol": 0.02}
    weight, bias = one_after_the_other(*linear)
    assert weight.dtype == bias.dtype == kind
    expected = linear[1](linear[0](tokens))
    torch.testing.assert_close(nn.functional.linear(tokens, weight, bias), expected, **digits)
    weight, bias = one_after_the_other(*convolutions)
    expected = convolutions[1](convolutions[0](maps))
    torch.testing.assert_close(nn.functional.conv2d(maps, weight, bias), expected, **digits)
