"""A light convolutional trunk for SAM2's image encoder, used by the demo model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class ConvTrunk(nn.Module):
    """Four stages of residual convolutions at strides 4, 8, 16 and 32.

    Stands where SAM2 has Hiera: `forward` takes images (b, 3, h, w) and returns one map per stage,
    finest first, and `channel_list` names their channels coarsest first
    (sam2/modeling/backbones/hieradet.py does the same).
    """

    def __init__(
        self,
        channels: Sequence[int] = (32, 64, 128, 256),
        depths: Sequence[int] = (1, 2, 4, 2),
    ) -> None:
        super().__init__()
        self.channel_list = list(reversed(channels))
        self.stages = nn.ModuleList()
        incoming = 3
        for number, (width, depth) in enumerate(zip(channels, depths, strict=True)):
            stride = 4 if number == 0 else 2
            down = _downsample(incoming, width, stride)
            self.stages.append(nn.Sequential(down, *(_Block(width) for _ in range(depth))))
            incoming = width

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        maps = []
        for stage in self.stages:
            images = stage(images)
            maps.append(images)
        return maps


def _downsample(incoming: int, outgoing: int, stride: int) -> nn.Module:
    layers: list[nn.Module] = []
    if stride == 4:
        half = outgoing // 2
        layers = [nn.Conv2d(incoming, half, 3, 2, 1), nn.GELU()]
        incoming = half
    layers += [nn.Conv2d(incoming, outgoing, 3, 2, 1), nn.GroupNorm(8, outgoing)]
    return nn.Sequential(*layers)


class _Block(nn.Module):
    """Two 3x3 convolutions with a group norm between, added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.GroupNorm(8, width)
        self.outer = nn.Conv2d(width, width, 3, padding=1)
        self.scale = nn.Parameter(torch.full((1, width, 1, 1), 0.3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = nn.functional.gelu(self.norm(self.inner(x)))
        return x + self.scale * self.outer(hidden)
