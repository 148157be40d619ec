"""Batches of clips for training SAM2: frames, and the masks of a few objects in them.

They are drawn from a bank (`DrawnClips`), or cut from one's own annotated clips
(`AnnotatedClips`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training.annotated import AnnotatedClip, random_window
from training.bank import WINDOW_FRAMES, Bank, Pictures, Windows
from training.degrading import degrade_clips
from training.drawing import Drawn, Scenes
from training.paths import Dice
from training.textures import Rng

Shown = Literal["scenes", "regions", "things", "pictures"]

SMALLEST_PX = 40
_TRIES = 20  # at an annotated clip, before giving up
_PREFERRED = 0.6  # a photograph's own object goes before most sprites


@dataclass(frozen=True)
class ClipShape:
    """How many clips, frames and objects a batch holds, and the frames' side in pixels.

    What is shown are drawn scenes, regions or things of real clips, or photographs with masks under
    a moving camera. Where a bank has no such material, scenes are drawn.
    """

    clips: int
    frames: int
    objects: int
    size: int = 256
    shown: Shown = "scenes"


@dataclass(frozen=True, eq=False)
class ClipBatch:
    """images_bthwc: uint8; masks_bkthw: bool, objects that are visible on the first frame."""

    images_bthwc: Tensor
    masks_bkthw: Tensor


class ClipSource(Protocol):
    """Where batches come from."""

    def batch(self, shape: ClipShape, number: int) -> ClipBatch:
        """Batch `number` of the source's seed, on the device of the model.

        The same number gives the same clips, so that a training that was interrupted goes on with
        what it would have seen, and every check sees the same.
        """


class DrawnClips:
    """Clips drawn from a bank, on its device."""

    def __init__(self, bank: Bank, seed: int) -> None:
        self._bank, self._seed = bank, seed

    @torch.no_grad()
    def batch(self, shape: ClipShape, number: int) -> ClipBatch:
        dice = Dice.of(self._bank.device, self._seed, number)
        windows = {"regions": self._bank.windows, "things": self._bank.followed}.get(shape.shown)
        if windows is not None:
            return _seen_through(*_played(self._bank, windows, shape, dice), shape, dice)
        if shape.shown == "pictures" and self._bank.pictures is not None:
            return _seen_through(*_stood(self._bank.pictures, shape, dice), shape, dice)
        return _scene_batch(self._bank, shape, dice)


def _scene_batch(bank: Bank, shape: ClipShape, dice: Dice) -> ClipBatch:
    scenes = Scenes(bank, dice, shape.clips, shape.objects + 1)
    scenes.disguise()
    scenes.bare()
    stride = torch.tensor([1, 1, 2, 2, 3, 4], device=dice.device)[dice.pick(6, (shape.clips, 1))]
    steps = torch.arange(shape.frames, device=dice.device)
    drawn = scenes.draw(dice.pick(6, (shape.clips, 1)) + stride * steps, shape.size)
    masks = _followed(drawn, scenes.things, shape.objects, dice)
    images, masks = _seen_only(degrade_clips(drawn.images_bt3hw, dice), masks)
    return ClipBatch(images.permute(0, 1, 3, 4, 2), masks)


def _followed(drawn: Drawn, things: int, objects: int, dice: Dice) -> Tensor:
    """Masks (b, k, t, h, w) of random things that are in view on the first frame."""
    parts = [drawn.layers_bthw == number + 1 for number in range(things)]
    masks = torch.stack([*parts, drawn.portrait_bthw], 1)
    return masks[_rows(masks), _in_view(masks, objects, dice, prefer_last=True)]


def _in_view(masks_bcthw: Tensor, objects: int, dice: Dice, *, prefer_last: bool = False) -> Tensor:
    """Numbers (b, k) of random masks in view on the first frame, repeated when too few."""
    seen = masks_bcthw[:, :, 0].flatten(2).sum(2) >= SMALLEST_PX
    keys = dice.uniform(tuple(seen.shape)) + 2 * seen
    keys[:, -1] += _PREFERRED * prefer_last
    count = seen.sum(1, keepdim=True).clamp(min=1)
    turns = torch.arange(objects, device=dice.device) % count
    return keys.argsort(1, descending=True).gather(1, turns)


def _rows(tensor: Tensor) -> Tensor:
    return torch.arange(len(tensor), device=tensor.device)[:, None]


def _seen_only(images: Tensor, masks_bkthw: Tensor) -> tuple[Tensor, Tensor]:
    """The batch with clips in which nothing can be followed replaced by another one."""
    good = masks_bkthw[:, :, 0].flatten(2).sum(2).ge(SMALLEST_PX).all(1)
    own = torch.arange(len(good), device=good.device)
    chosen = torch.where(good, own, good.float().argmax())
    return images[chosen], masks_bkthw[chosen]


def _seen_through(
    images_bt3hw: Tensor, masks_btrhw: Tensor, shape: ClipShape, dice: Dice
) -> ClipBatch:
    """Random parts of these clips, mirrored and shaken, with some of what is in view."""
    grid = _views(dice, shape)
    shown, moved = (
        F.grid_sample(part.flatten(0, 1).float(), grid, "bilinear", beyond, align_corners=False)
        for part, beyond in ((images_bt3hw, "reflection"), (masks_btrhw, "zeros"))
    )
    both = (shape.clips, shape.frames)
    regions = (moved > 0.5).unflatten(0, both).transpose(1, 2)
    chosen = regions[_rows(regions), _in_view(regions, shape.objects, dice)]
    images, masks = _seen_only(degrade_clips(shown.unflatten(0, both), dice), chosen)
    return ClipBatch(images.permute(0, 1, 3, 4, 2), masks)


def _played(bank: Bank, windows: Windows, shape: ClipShape, dice: Dice) -> tuple[Tensor, Tensor]:
    """Frames (b, t, 3, h, w) and masks (b, t, r, h, w) of random windows, some of them reversed.

    A window has `WINDOW_FRAMES`; no more are played.
    """
    numbers = dice.pick(len(windows.clip_w), (shape.clips,))
    order = torch.arange(WINDOW_FRAMES, device=dice.device)[: shape.frames].expand(shape.clips, -1)
    order_bt = torch.where(dice.chance((shape.clips, 1), 0.5), order.flip(1), order)
    frames_bt = windows.frames_wt[numbers].gather(1, order_bt)
    clips = windows.clip_w[numbers.cpu()].tolist()
    images = [bank.clips[c][frames] for c, frames in zip(clips, frames_bt, strict=True)]
    masks_btrhw = windows.masks_wrthw[numbers].transpose(1, 2)[_rows(numbers), order_bt]
    return torch.stack(images), masks_btrhw


def _stood(pictures: Pictures, shape: ClipShape, dice: Dice) -> tuple[Tensor, Tensor]:
    """Random pictures (b, t, 3, h, w) and their things (b, t, k, h, w), the same at all times."""
    numbers = dice.pick(len(pictures.images_n3hw), (shape.clips,))
    images, masks = pictures.images_n3hw[numbers], pictures.masks_nkhw[numbers]
    times = (-1, shape.frames, -1, -1, -1)
    return images[:, None].expand(times), masks[:, None].expand(times)


def _views(dice: Dice, shape: ClipShape) -> Tensor:
    """Sampling grids (b x t, h, w, 2) of slightly shaken parts of the picture."""
    one, step = (shape.clips, 1), torch.arange(shape.frames, device=dice.device)
    reach = dice.uniform(one, 0.55, 1.0)
    zoom = reach * (1 + dice.normal(one, 0.006)) ** step
    angle = dice.normal(one, 0.05) + dice.normal(one, 0.006) * step
    mirror = dice.sign(one)
    x, y = (dice.uniform(one, -1, 1) * (1 - reach) + dice.normal(one, 0.01) * step for _ in "xy")
    rows = (
        torch.stack([zoom * angle.cos() * mirror, -zoom * angle.sin(), x], -1),
        torch.stack([zoom * angle.sin() * mirror, zoom * angle.cos(), y], -1),
    )
    size = [shape.clips * shape.frames, 1, shape.size, shape.size]
    return F.affine_grid(torch.stack(rows, 2).flatten(0, 1), size, align_corners=False)


class AnnotatedClips:
    """Random windows of annotated clips.

    Raises (from `batch`):
        ValueError: when no object of a clip is large enough at that size.
    """

    def __init__(self, clips: Sequence[AnnotatedClip], seed: int, device: str) -> None:
        self._clips, self._seed, self._device = clips, seed, torch.device(device)

    def batch(self, shape: ClipShape, number: int) -> ClipBatch:
        rng = np.random.default_rng((self._seed, number))
        clips = [self._clip(rng, shape) for _ in range(shape.clips)]
        images, masks = (
            torch.from_numpy(np.stack(part)).to(self._device) for part in zip(*clips, strict=True)
        )
        dice = Dice.of(self._device, self._seed, number)
        degraded = degrade_clips(images.permute(0, 1, 4, 2, 3).float(), dice)
        return ClipBatch(degraded.permute(0, 1, 3, 4, 2), masks)

    def _clip(self, rng: Rng, shape: ClipShape) -> tuple[np.ndarray, np.ndarray]:
        """Images (t, h, w, 3) uint8 and masks (k, t, h, w) bool."""
        for _ in range(_TRIES):
            clip = self._clips[int(rng.integers(len(self._clips)))]
            found = random_window(rng, clip, shape.frames, shape.objects, shape.size)
            if found is not None and (found[1][:, 0].sum((1, 2)) >= SMALLEST_PX).all():
                images, masks = found
                return images, masks[np.resize(np.arange(len(masks)), shape.objects)]
        raise ValueError(f"no annotated object of {SMALLEST_PX} pixels at {shape.size} px")
