"""Pairs of views whose patches are known to show the same things, drawn for the feature model.

Two scenes of a pair show the same things in other places, sizes and light, half of the time before
the same still under another camera; what a layer's place on its sprite says is an exact
correspondence. Other pairs are two frames of a real clip with regions that optical flow has
carried from one to the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from training.bank import CLIP_HW, REGIONS, STILL, WINDOW_FRAMES, Bank
from training.degrading import degrade_clips
from training.drawing import Drawn, Scenes
from training.paths import Dice

PATCH = 14
THINGS = 3  # that both scenes of a pair may show
SLOTS = THINGS + 5  # the ground, the layers of a scene, a photograph's own object
_MIXED = 0.5  # a patch shows something when that covers at least this share of it
_STEP = 12  # frames of a clip from one still to the next
_FOLLOWED = 0.2  # of the pairs
_SAME_GROUND = 0.4  # of the drawn pairs
_SHOWN = 0.8
_LIGHT = 0.6  # less change than a tracker sees: colour is a part of what an object is


@dataclass(frozen=True, eq=False)
class Views:
    """V views of N patches; views v and v + V / 2 are a pair.

    Each view shows up to `SLOTS` things, and a thing that both views of a pair show has the same
    slot in both.

    Attributes:
        pixels_v3hw: RGB uint8.
        slot_vn: int64, which of the view's things covers a patch; -1 where none covers half of it.
        surface_vn2: float32, the place on that thing at the patch's centre.
        owner_vs: int64, which thing is in each slot; two slots of a view may show the same.
        family_vs: int64, the picture or clip that the thing is part of: what else is there may
            look the same. Sprites are alone.
        placed_v: bool, whether `surface_vn2` says anything.
    """

    pixels_v3hw: Tensor
    slot_vn: Tensor
    surface_vn2: Tensor
    owner_vs: Tensor
    family_vs: Tensor
    placed_v: Tensor

    def partners(self, tensor_v: Tensor) -> Tensor:
        """What belongs to the other view of each pair."""
        return tensor_v.roll(len(tensor_v) // 2, 0)

    @property
    def shared_vs(self) -> Tensor:
        """Whether a slot shows the same thing in both views of the pair."""
        return self.owner_vs == self.partners(self.owner_vs)


class DrawnViews:
    """An endless stream of views drawn from a bank, on its device.

    Frames of the bank's clips serve as stills, for a place seen twice must hold still.
    """

    def __init__(self, bank: Bank, seed: int) -> None:
        self.dice = Dice(torch.Generator(bank.device).manual_seed(seed))
        self._windows = bank.windows
        self._numbers = _Numbers(bank)
        self._lengths = [len(clip) for clip in bank.clips]
        self._frames = torch.cat(bank.clips) if bank.clips else None
        self.bank = _with_clips_as_stills(bank)

    @torch.no_grad()
    def batch(self, pairs: int, grid_hw: tuple[int, int]) -> Views:
        """Views of so many patches down and across."""
        followed = 0 if self._windows is None else round(_FOLLOWED * pairs)
        kinds = [self._drawn(pairs - followed, grid_hw)]
        if followed:
            kinds.append(self._followed(followed, grid_hw))
        fields = zip(*(vars(kind).values() for kind in kinds), strict=True)
        return Views(*(_pairwise(parts) for parts in fields))

    def _drawn(self, pairs: int, grid_hw: tuple[int, int]) -> Views:
        scenes = paired_scenes(self.bank, self.dice, pairs, grid_hw)
        same_ground = round(_SAME_GROUND * pairs)
        scenes.stills_b[pairs : pairs + same_ground] = scenes.stills_b[:same_ground]
        times = self.dice.uniform((2 * pairs, 1), 0, 16)
        drawn = scenes.draw(times, (grid_hw[0] * PATCH, grid_hw[1] * PATCH))
        owner_vs, family_vs = self._numbers.of_scenes(scenes)
        return Views(
            degrade_clips(drawn.images_bt3hw, self.dice, _LIGHT)[:, 0],
            *_patches(_slots(drawn), drawn.surface_bthw2[:, 0]),
            owner_vs,
            family_vs,
            torch.ones_like(owner_vs[:, 0], dtype=torch.bool),
        )

    def _followed(self, pairs: int, grid_hw: tuple[int, int]) -> Views:
        """Two frames of each of some windows, each under a camera of its own."""
        windows, dice = self._windows, self.dice
        assert windows is not None and self._frames is not None
        chosen = dice.pick(len(windows.clip_w), (pairs,)).repeat(2)
        first, gap = dice.pick(WINDOW_FRAMES, (pairs,)), 2 + dice.pick(WINDOW_FRAMES - 3, (pairs,))
        step_v = torch.cat([first, (first + gap) % WINDOW_FRAMES])
        clip_v = windows.clip_w.to(dice.device)[chosen]
        begins = torch.tensor([0, *self._lengths], device=dice.device).cumsum(0)
        frame_v = begins[clip_v] + windows.frames_wt[chosen, step_v]
        grid = _cameras(dice, 2 * pairs, grid_hw)
        images = F.grid_sample(
            self._frames[frame_v].float(), grid, "bilinear", "reflection", align_corners=False
        )
        masks = windows.masks_wrthw[chosen, :, step_v].float()
        moved = F.grid_sample(masks, grid, "nearest", "zeros", align_corners=False)
        slot_vhw = torch.cat([torch.full_like(moved[:, :1], 0.5), moved], 1).argmax(1)
        owner_vs, family_vs = self._numbers.of_windows(chosen, clip_v)
        return Views(
            degrade_clips(images[:, None], dice, _LIGHT)[:, 0],
            *_patches(slot_vhw, torch.zeros(*slot_vhw.shape, 2, device=dice.device)),
            owner_vs,
            family_vs,
            torch.zeros_like(clip_v, dtype=torch.bool),
        )


def paired_scenes(bank: Bank, dice: Dice, pairs: int, grid_hw: tuple[int, int]) -> Scenes:
    """Scenes b and b + pairs show the same things, before different stills."""
    scenes, (rows, columns) = Scenes(bank, dice, 2 * pairs, THINGS), grid_hw
    scenes.aspect_b = columns / rows * torch.exp(dice.normal((2 * pairs,), 0.08))
    scenes.sprites_bl[pairs:, :THINGS] = scenes.sprites_bl[:pairs, :THINGS]
    shown = dice.chance((pairs, THINGS), _SHOWN)
    scenes.shown_bl[:, :THINGS] = shown.repeat(2, 1)
    return scenes


class _Numbers:
    """Every thing's own number, from 1, and the number of the picture that it is part of.

    In this order: sprites, grounds of stills, their own objects, regions of windows, and what is
    left of each window.
    """

    def __init__(self, bank: Bank) -> None:
        self._grounds = len(bank.sprites_n4hw) + 1
        self._stills = len(bank.stills_m4hw) + sum(len(clip[::_STEP]) for clip in bank.clips)
        self._regions = self._grounds + 2 * self._stills
        source = [torch.arange(len(bank.stills_m4hw))]
        for number, clip in enumerate(bank.clips):
            source.append(torch.full((len(clip[::_STEP]),), self._stills + number))
        self._source_m = torch.cat(source).to(bank.device)

    def of_scenes(self, scenes: Scenes) -> tuple[Tensor, Tensor]:
        still = scenes.stills_b[:, None]
        layers, picture = scenes.sprites_bl + 1, self._grounds + self._source_m[still]
        ground, thing = self._grounds + still, self._grounds + self._stills + still
        return torch.cat([ground, layers, thing], 1), torch.cat([picture, layers, picture], 1)

    def of_windows(self, window_v: Tensor, clip_v: Tensor) -> tuple[Tensor, Tensor]:
        """The ground comes first; the last slots are empty."""
        parts = torch.arange(SLOTS, device=window_v.device)
        owner = self._regions + window_v[:, None] * SLOTS + parts
        picture = self._grounds + self._stills + clip_v[:, None]
        return owner, picture.expand_as(owner)


def _with_clips_as_stills(bank: Bank) -> Bank:
    if not bank.clips:
        return bank
    side = (STILL, STILL)
    frames = [
        F.interpolate(clip[::_STEP].float(), side, mode="bilinear", antialias=True)
        for clip in bank.clips
    ]
    rgb = torch.cat(frames).clamp(0, 255).to(torch.uint8)
    stills = torch.cat([rgb, torch.zeros_like(rgb[:, :1])], 1)
    aspect = torch.full((len(rgb),), CLIP_HW[0] / CLIP_HW[1], device=bank.device)
    return replace(
        bank,
        stills_m4hw=torch.cat([bank.stills_m4hw, stills]),
        still_aspect_m=torch.cat([bank.still_aspect_m, aspect]),
        clips=[],
    )


def _pairwise(parts: tuple[Tensor, ...]) -> Tensor:
    """First views of all kinds, then the second ones."""
    halves = [part.chunk(2) for part in parts]
    return torch.cat([first for first, _ in halves] + [second for _, second in halves])


def _slots(drawn: Drawn) -> Tensor:
    """(v, h, w): the ground, the layers, and last the photograph's own object."""
    layers = drawn.layers_bthw[:, 0].long()
    return torch.where(drawn.portrait_bthw[:, 0], SLOTS - 1, layers)


def _patches(slot_vhw: Tensor, surface_vhw2: Tensor) -> tuple[Tensor, Tensor]:
    """Slot (v, n) and surface (v, n, 2) of the patches."""
    centre = slice(PATCH // 2, None, PATCH)
    tiles = slot_vhw.unflatten(2, (-1, PATCH)).unflatten(1, (-1, PATCH))
    middle = slot_vhw[:, centre, centre]
    covered = (tiles == middle[:, :, None, :, None]).float().mean((2, 4))
    slot = torch.where(covered >= _MIXED, middle, -1)
    return slot.flatten(1), surface_vhw2[:, centre, centre].flatten(1, 2)


def _cameras(dice: Dice, count: int, grid_hw: tuple[int, int]) -> Tensor:
    """Sampling grids of upright or mirrored parts of a clip's frame."""
    one, wide = (count,), CLIP_HW[1] / CLIP_HW[0]
    aspect = grid_hw[1] / grid_hw[0] * torch.exp(dice.normal(one, 0.08))
    high = dice.uniform(one, 0.5, 1.0) * (wide / aspect).clamp(max=1)
    across = high * aspect
    angle, mirror = dice.normal(one, 0.12), dice.sign(one)
    x = dice.uniform(one, -1, 1) * (wide - across).clamp(min=0)
    y = dice.uniform(one, -1, 1) * (1 - high).clamp(min=0)
    to_x = torch.stack([across * angle.cos() * mirror, -high * angle.sin(), x], -1) / wide
    to_y = torch.stack([across * angle.sin() * mirror, high * angle.cos(), y], -1)
    size = [count, 1, grid_hw[0] * PATCH, grid_hw[1] * PATCH]
    return F.affine_grid(torch.stack([to_x, to_y], 1), size, align_corners=False)


assert SLOTS > REGIONS
