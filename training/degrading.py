"""What a camera does to clips: light that drifts, blur, streaks, coarse detail, noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from training.paths import Dice

_KERNEL = 9
_COARSE = 0.2  # of the clips


def degrade_clips(images_bt3hw: Tensor, dice: Dice, light: float = 1.0) -> Tensor:
    """Clips (float, 0 to 255) as a camera would show them, uint8.

    `light` says how much brightness and colour change.
    """
    clips, frames = images_bt3hw.shape[:2]
    one = (clips, 1, 1, 1, 1)
    step = torch.arange(frames, device=images_bt3hw.device)[None, :, None, None, None]
    gain = 1 + light * dice.uniform(one, -0.3, 0.25) + dice.uniform(one, -0.012, 0.012) * step
    tint = 1 + dice.normal((clips, 1, 3, 1, 1), 0.06 * light)
    gamma = torch.exp(dice.normal(one, 0.2 * light))
    lit = 255 * ((images_bt3hw / 255).clamp(0, 1) ** gamma) * gain * tint
    lit = _blurred(_coarse(lit, dice), dice)
    noise = dice.uniform(one, 0, 9) * dice.chance(one, 0.4)
    lit = lit + noise * dice.normal((clips, frames, 1, *lit.shape[-2:]))
    return lit.clamp(0, 255).to(torch.uint8)


def _coarse(images_bt3hw: Tensor, dice: Dice) -> Tensor:
    """The last clips of the batch lose detail, as when a video is enlarged or badly coded."""
    count = round(_COARSE * len(images_bt3hw))
    if not count:
        return images_bt3hw
    factor = 1 / (1.5 + 1.5 * float(dice.uniform((1,))))
    flat = images_bt3hw[-count:].flatten(0, 1)
    small = F.interpolate(flat, scale_factor=factor, mode="bilinear", antialias=True)
    again = F.interpolate(small, size=flat.shape[-2:], mode="bilinear")
    return torch.cat([images_bt3hw[:-count], again.unflatten(0, (count, -1))])


def _blurred(images_bt3hw: Tensor, dice: Dice) -> Tensor:
    """Each clip under its own kernel: none, a round one, or a streak."""
    clips, frames, channels = images_bt3hw.shape[:3]
    offset = torch.arange(_KERNEL, device=images_bt3hw.device) - _KERNEL // 2
    y, x = torch.meshgrid(offset, offset, indexing="ij")
    one = (clips, 1, 1)
    draw, width = dice.uniform(one), dice.uniform(one, 0.4, 1.3)
    angle, reach = dice.uniform(one, 0, math.pi), dice.uniform(one, 1.0, 4.0)
    along, across = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    round_ = torch.exp(-(x**2 + y**2) / (2 * width**2))
    streak = torch.exp(-(across**2) / 0.3) * (along.abs() <= reach)
    sharp = ((x == 0) & (y == 0)).float().expand_as(round_)
    kernel = torch.where(draw < 0.25, round_, torch.where(draw > 0.8, streak, sharp))
    kernel = kernel / kernel.sum((1, 2), keepdim=True)
    per_channel = kernel[:, None].repeat_interleave(frames * channels, 0)
    flat = F.pad(
        images_bt3hw.reshape(1, -1, *images_bt3hw.shape[-2:]), [_KERNEL // 2] * 4, "replicate"
    )
    return F.conv2d(flat, per_channel, groups=len(per_channel)).view_as(images_bt3hw)
