"""Things that do not stand out: in the colours of their surroundings, or with another surface.

A cut-out before a random background is told by its colours alone. In real video much is not, and
what is one thing shows in its outline and its motion.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.bank import SPRITE, STILL, Bank
from training.paths import Dice, OverLayers

_TINTED, _DRESSED = 0.3, 0.15  # of the layers
_OF_BEHIND = 0.5  # of the dressed ones


@dataclass(eq=False)
class Disguises(OverLayers):
    """How each layer of each clip looks other than its sprite: tensors (b, l).

    dressed: bool; still, row, column: int64, the square of a still that replaces the sprite's
    colours where `dressed`; tint: float32 (b, l, 3), 0 to 255, the mean colour that the sprite
    moves towards, and depth: float32, how far, 0 to 1.
    """

    dressed: Tensor
    still: Tensor
    row: Tensor
    column: Tensor
    tint: Tensor
    depth: Tensor

    def put_on(self, sprite_b4hw: Tensor, bank: Bank) -> Tensor:
        """The sprites (float32, RGBA, 0 to 255) of one layer, in these disguises of that layer."""
        reach = torch.arange(SPRITE, device=sprite_b4hw.device)
        rows, columns = (place[:, None] + reach for place in (self.row, self.column))
        stills = self.still[:, None, None]
        surface = bank.stills_m4hw[stills, :3, rows[:, :, None], columns[:, None]]
        surface = surface.permute(0, 3, 1, 2).float()
        rgb, alpha = sprite_b4hw[:, :3], sprite_b4hw[:, 3:]
        rgb = torch.where(self.dressed[:, None, None, None], surface, rgb)
        mean = (rgb * alpha).sum((2, 3)) / alpha.sum((2, 3)).clamp(min=1)
        shift = self.depth[:, None] * (self.tint - mean)
        return torch.cat([(rgb + shift[..., None, None]).clamp(0, 255), alpha], 1)


def random_disguises(bank: Bank, dice: Dice, behind_b: Tensor, layers: int) -> Disguises:
    """Disguises for that many layers before the stills `behind_b`."""
    shape = (len(behind_b), layers)
    behind_bl = behind_b[:, None].expand(shape)
    other_bl = dice.pick(len(bank.stills_m4hw), shape)
    row, column = (dice.pick(STILL, shape) for _ in "yx")
    return Disguises(
        dressed=dice.chance(shape, _DRESSED),
        still=torch.where(dice.chance(shape, _OF_BEHIND), behind_bl, other_bl),
        row=dice.pick(STILL - SPRITE, shape),
        column=dice.pick(STILL - SPRITE, shape),
        tint=bank.stills_m4hw[behind_bl, :3, row, column].float(),
        depth=dice.chance(shape, _TINTED) * dice.uniform(shape, 0.4, 1.0),
    )
