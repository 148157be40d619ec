"""How the layers of many drawn clips move and bend: tensors over clips and layers, on one device.

The laws are those of `training.scenes.Motion`, the distributions those of `training.assets`, wider
where real video is: faster cameras, and waves that bend a whole object.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from torch import Tensor

_WAVES = 3
_TURN = 2 * math.pi


class Dice:
    """Random tensors on the device of their generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator, self.device = generator, generator.device

    @classmethod
    def of(cls, device: torch.device, seed: int, number: int) -> Self:
        """The dice of one batch of a seed."""
        mixed = int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
        return cls(torch.Generator(device).manual_seed(mixed))

    def uniform(self, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Tensor:
        drawn = torch.rand(shape, generator=self.generator, device=self.device)
        return low + (high - low) * drawn

    def normal(self, shape: tuple[int, ...], deviation: float = 1.0) -> Tensor:
        return deviation * torch.randn(shape, generator=self.generator, device=self.device)

    def chance(self, shape: tuple[int, ...], share: float) -> Tensor:
        return self.uniform(shape) < share

    def sign(self, shape: tuple[int, ...]) -> Tensor:
        return 1.0 - 2.0 * self.chance(shape, 0.5).float()

    def pick(self, count: int, shape: tuple[int, ...]) -> Tensor:
        return torch.randint(count, shape, generator=self.generator, device=self.device)

    def weighted(self, weights_n: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Indices drawn in proportion to the weights."""
        count = math.prod(shape)
        drawn = torch.multinomial(weights_n, count, replacement=True, generator=self.generator)
        return drawn.view(shape)


class OverLayers:
    """Dataclasses of tensors whose first two axes are clips and layers."""

    def of(self, layer_b: Tensor) -> Self:
        """The same for one layer of each clip, with an axis less."""
        rows = torch.arange(len(layer_b), device=layer_b.device)
        chosen = {f.name: getattr(self, f.name)[rows, layer_b] for f in fields(self)}  # type: ignore[arg-type]
        return type(self)(**chosen)

    def put(self, layer_b: Tensor, where_b: Tensor, **values: Tensor | float) -> None:
        """Set fields of one layer of each clip, in the clips where `where_b`."""
        rows = torch.arange(len(layer_b), device=layer_b.device)
        for name, value in values.items():
            field = getattr(self, name)
            old = field[rows, layer_b]
            mask = where_b.view(-1, *[1] * (old.ndim - 1))
            field[rows, layer_b] = torch.where(mask, torch.as_tensor(value, device=old.device), old)


@dataclass(eq=False)
class Paths(OverLayers):
    """Lengths are in units of the frame's shorter side; `start` and what is added to it run from 0
    to 1 across the frame; rates are per frame, angles in radians."""

    start: Tensor  # (b, l, 2)
    velocity: Tensor  # (b, l, 2)
    sway: Tensor  # (b, l, 2)
    sway_rate: Tensor
    sway_phase: Tensor
    size: Tensor
    growth: Tensor
    squash: Tensor
    angle: Tensor
    spin: Tensor
    rock: Tensor
    mirror: Tensor  # 1 or -1

    def place(self, times_bt: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Centre (b, t, 2), size and angle (b, t) of paths with one layer."""
        cycles, phase = self.sway_rate[:, None] * times_bt, self.sway_phase[:, None]
        swing = torch.sin(_TURN * (cycles + phase))
        both = torch.stack([swing, torch.sin(_TURN * (1.3 * cycles + 2 * phase))], -1)
        centre = self.start[:, None] + self.velocity[:, None] * times_bt[..., None]
        size = self.size[:, None] * self.growth[:, None] ** times_bt
        angle = self.angle[:, None] + self.spin[:, None] * times_bt + self.rock[:, None] * swing
        return centre + self.sway[:, None] * both, size, angle


def random_paths(dice: Dice, shape: tuple[int, int], speed_b1: Tensor) -> Paths:
    """Paths that start in view and may leave it, under a camera that moves all of them."""
    pair = (*shape, 2)
    upright = dice.chance(shape, 0.75)
    camera = dice.normal((shape[0], 1, 2), 0.012) * dice.chance((shape[0], 1, 1), 0.5)
    return Paths(
        start=dice.uniform(pair, 0.1, 0.9),
        velocity=(dice.normal(pair, 0.014) + camera) * speed_b1[..., None],
        sway=dice.normal(pair, 0.05).abs(),
        sway_rate=dice.uniform(shape, 0.01, 0.08) * speed_b1,
        sway_phase=dice.uniform(shape),
        size=torch.exp(dice.uniform(shape, math.log(0.13), math.log(0.8))),
        growth=1 + (dice.normal(shape, 0.014) * speed_b1).clamp(-0.04, 0.04),
        squash=dice.uniform(shape, 0.7, 1.3),
        angle=torch.where(upright, dice.normal(shape, 0.4), dice.uniform(shape, 0, _TURN)),
        spin=dice.normal(shape, 0.03) * speed_b1,
        rock=dice.normal(shape, 0.1),
        mirror=dice.sign(shape),
    )


@dataclass(eq=False)
class Waves(OverLayers):
    """Smooth deformations that move: sums of sine waves over the place on a layer.

    wave (b, l, w, 2): radians per unit of length; phase, rate (b, l, w); shift (b, l, w, 2).
    """

    wave: Tensor
    phase: Tensor
    rate: Tensor
    shift: Tensor

    def bend(self, place_bthw2: Tensor, times_bt: Tensor) -> Tensor:
        """Places after the deformation, of waves with one layer."""
        bent = place_bthw2
        for w in range(_WAVES):
            along = (place_bthw2 * self.wave[:, w, None, None, None]).sum(-1)
            phase = self.phase[:, w, None] + self.rate[:, w, None] * times_bt
            height = torch.sin(along + phase[..., None, None])
            bent = bent + height[..., None] * self.shift[:, w, None, None, None]
        return bent


def random_waves(
    dice: Dice, shape: tuple[int, int], speed_b1: Tensor, *, share: float, amount: float
) -> Waves:
    """Waves that bend a `share` of the layers by about `amount` of their size."""
    waves = (*shape, _WAVES)
    turn, bends = dice.uniform(waves, 0, _TURN), dice.chance((*shape, 1, 1), share)
    return Waves(
        wave=torch.stack([turn.cos(), turn.sin()], -1) * dice.uniform((*waves, 1), 2.0, 10.0),
        phase=dice.uniform(waves, 0, _TURN),
        rate=dice.normal(waves, 0.35) * speed_b1[..., None],
        shift=dice.normal((*waves, 2), amount) * bends,
    )
