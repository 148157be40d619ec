"""Clips drawn from a bank, a batch at a time, on the device that trains.

The scenes are those of `training.scenes`: sprites that move, deform and hide each other over a
moving background, drawn by inverse mapping. Here every number is a tensor over the clips of a
batch, so that a GPU draws faster than it learns. A layer's place on its sprite is kept: it is an
exact correspondence between any two frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.bank import CLIP_HW, STILL, Bank
from training.disguises import Disguises, random_disguises
from training.paths import Dice, random_paths, random_waves

_HIDES, _LEAVES, _HAS_TWIN = 0.3, 0.12, 0.4
_PORTRAIT, _ALONE, _PLAYS = 0.4, 0.6, 0.25
_LESS_ZOOM = 0.4  # of the usual one, where an object stands as it was taken
_STRANGERS = 0.5
_ASPECTS = (1.0, 4 / 3, 16 / 9, 16 / 9, 9 / 16)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Frames and their truth.

    Attributes:
        images_bt3hw: float32, RGB, 0 to 255.
        layers_bthw: uint8, 0 for the background, 1 + the layer's number elsewhere.
        portrait_bthw: bool, what is seen of the background's own object, if it has one.
        surface_bthw2: float32, the place (x, y, -0.5 to 0.5) on the sprite or still that is seen.
    """

    images_bt3hw: Tensor
    layers_bthw: Tensor
    portrait_bthw: Tensor
    surface_bthw2: Tensor


class Scenes:
    """A batch of random scenes.

    Layers 0 to `things - 1` are there to be followed. Then come a twin of the first (or a
    stranger), another stranger, and a panel behind which one of the things may pass.

    Attributes:
        sprites_bl: which sprite of the bank each layer shows.
        stills_b: which still is behind them; -1 where a clip plays.
    """

    def __init__(self, bank: Bank, dice: Dice, clips: int, things: int) -> None:
        self.bank, self.dice, self.clips, self.things = bank, dice, clips, things
        self.layers = things + 3
        shape = (clips, self.layers)
        self.speed_b1 = torch.exp(dice.normal((clips, 1), 0.5))
        self.aspect_b = torch.tensor(_ASPECTS, device=dice.device)[dice.pick(5, (clips,))]
        self.sprites_bl = dice.weighted(bank.sprite_shares_n, shape)
        has_twin = dice.chance((clips,), _HAS_TWIN)
        twin_of = torch.where(has_twin, self.sprites_bl[:, 0], self.sprites_bl[:, things])
        self.sprites_bl[:, things] = twin_of
        self.shown_bl = dice.chance(shape, _STRANGERS)
        self.shown_bl[:, :things] = True
        self.shown_bl[:, things] |= has_twin
        self.paths = random_paths(dice, shape, self.speed_b1)
        self.waves = random_waves(dice, shape, self.speed_b1, share=0.6, amount=0.025)
        self.light_bl3 = 1 + dice.normal((*shape, 3), 0.15)  # mean, and slopes in x and y
        self.dimming_bl = dice.normal(shape, 0.012)  # per frame
        self.panel_tall_b = dice.uniform((clips,), 1.0, 2.5)
        keys = dice.uniform(shape)
        keys[:, -1] = 2  # the panel stands in front
        self.order_bl = keys.argsort(1)
        self.disguises: Disguises | None = None
        self._set_events()
        self._set_background()

    def disguise(self) -> None:
        """Let some layers take on the colours behind them, or another surface; twins, the same."""
        behind_b = self.stills_b.clamp(min=0)
        self.disguises = random_disguises(self.bank, self.dice, behind_b, self.layers)
        first, twin = torch.zeros_like(behind_b), torch.full_like(behind_b, self.things)
        alike = self.sprites_bl[:, self.things] == self.sprites_bl[:, 0]
        self.disguises.put(twin, alike, **vars(self.disguises.of(first)))

    def bare(self) -> None:
        """Let many a photograph's own object stand whole as it was taken, with one thing at most.

        Pasted things show where they were cut; nothing in real video does.
        """
        portrait_b = (self.stills_b >= 0) & (self.stills_b < len(self.bank.portrait_shares_p))
        alone_b = portrait_b & self.dice.chance((self.clips,), _ALONE)
        self.shown_bl[:, 0] &= ~(alone_b & self.dice.chance((self.clips,), 0.5))
        self.shown_bl[:, 1:] &= ~alone_b[:, None]
        shape_b = 1 / self.bank.still_aspect_m[self.stills_b.clamp(min=0)]
        self.aspect_b = torch.where(alone_b, shape_b, self.aspect_b)
        less = 1 + _LESS_ZOOM * (self.camera.size - 1)
        self.camera.size = torch.where(alone_b[:, None], less, self.camera.size)

    def _set_events(self) -> None:
        """One thing passes behind the panel, or swings out of the frame and back in."""
        dice, paths, clips = self.dice, self.paths, (self.clips,)
        draw, chosen = dice.uniform(clips), dice.pick(self.things, clips)
        hides, leaves = draw < _HIDES, draw > 1 - _LEAVES
        way, pace = dice.uniform(clips, 0, 2 * math.pi), dice.uniform(clips, 0.015, 0.05)
        hurry = torch.stack([pace * way.cos(), 0.5 * pace * way.sin()], -1)
        size = paths.of(chosen).size.clamp(max=0.4)
        paths.put(chosen, hides, velocity=hurry, size=size, growth=1.0)
        side = dice.sign(clips)
        start = torch.stack([0.5 + 0.3 * side, dice.uniform(clips, 0.2, 0.8)], -1)
        away = torch.stack([side * dice.uniform(clips, 0.4, 0.8), torch.full_like(side, 0.1)], -1)
        paths.put(chosen, leaves, start=start, velocity=0.0, sway=away)
        paths.put(chosen, leaves, sway_rate=1 / dice.uniform(clips, 14, 40), sway_phase=0.0)
        centre, sizes, _ = paths.of(chosen).place(dice.uniform((self.clips, 1), 3, 14))
        panel, always = torch.full_like(chosen, self.layers - 1), torch.ones_like(hides)
        width = sizes[:, 0] * dice.uniform(clips, 0.9, 1.6) * self.panel_tall_b
        paths.put(panel, always, start=centre[:, 0], size=width, velocity=0.0, sway=0.0)
        paths.put(panel, always, growth=1.0, squash=1.0, spin=0.0, rock=0.0)
        paths.put(panel, always, angle=dice.normal(clips, 0.1))
        self.waves.put(panel, always, shift=0.0)
        self.shown_bl[:, -1] = hides

    def _set_background(self) -> None:
        dice, clips = self.dice, (self.clips,)
        self.playing = round(_PLAYS * self.clips) if self.bank.clips else 0
        self.stills_b = dice.pick(len(self.bank.stills_m4hw), clips)
        if len(self.bank.portrait_shares_p):
            portraits = dice.weighted(self.bank.portrait_shares_p, clips)
            chosen = dice.chance(clips, _PORTRAIT)
            self.stills_b = torch.where(chosen, portraits, self.stills_b)
        self.stills_b[: self.playing] = -1
        self.camera = camera = random_paths(dice, (self.clips, 1), self.speed_b1)
        camera.start = dice.uniform((self.clips, 1, 2), -0.12, 0.12)
        camera.size = dice.uniform((self.clips, 1), 1.0, 1.9)
        camera.angle, camera.rock = (dice.normal((self.clips, 1), d) for d in (0.1, 0.01))
        camera.spin, camera.sway = 0.2 * camera.spin, 0.3 * camera.sway
        self.sheet = random_waves(dice, (self.clips, 1), self.speed_b1, share=0.5, amount=0.012)

    def draw(self, times_bt: Tensor, size: int | tuple[int, int]) -> Drawn:
        """The frames at these times, squeezed into squares of `size` pixels, or height x width."""
        sides = (size, size) if isinstance(size, int) else size
        y, x = ((torch.arange(n, device=self.dice.device) + 0.5) / n - 0.5 for n in sides)
        y_hw, x_hw = torch.meshgrid(y, x, indexing="ij")
        # Places in units of the shorter side, from the centre.
        wide_b = self.aspect_b.clamp(min=1.0)
        tall_b = (1 / self.aspect_b).clamp(min=1.0)
        extent_b2 = torch.stack([wide_b, tall_b], -1)
        place_bhw2 = torch.stack([x_hw, y_hw], -1) * extent_b2[:, None, None]
        colour, portrait, surface = self._background(place_bhw2, extent_b2, times_bt)
        layers = torch.zeros(portrait.shape, dtype=torch.uint8, device=portrait.device)
        rows = torch.arange(self.clips, device=portrait.device)
        for layer_b in self.order_bl.unbind(1):
            rgba, uv = self._layer(layer_b, place_bhw2, extent_b2, times_bt)
            rgba = rgba * self.shown_bl[rows, layer_b][:, None, None, None, None]
            lit = rgba[:, :, :3] * self._light(layer_b, uv, times_bt)[:, :, None]
            colour = colour * (1 - rgba[:, :, 3:] / 255) + lit
            covers = rgba[:, :, 3] > 127
            layers = torch.where(covers, (layer_b + 1).to(torch.uint8)[:, None, None, None], layers)
            surface = torch.where(covers[..., None], uv, surface)
            portrait = portrait & ~covers
        return Drawn(colour, layers, portrait, surface)

    def _background(
        self, place_bhw2: Tensor, extent_b2: Tensor, times_bt: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Colour (b, t, 3, h, w), own object (b, t, h, w), place on the still (b, t, h, w, 2)."""
        bank, frames, stills_b = self.bank, times_bt.shape[1], self.stills_b.clamp(min=0)
        source = bank.stills_m4hw[stills_b][:, None].expand(-1, frames, -1, -1, -1)
        tall_b = bank.still_aspect_m[stills_b]
        if self.playing:
            source = torch.cat([self._played(frames), source[self.playing :]])
            tall_b = torch.where(self.stills_b < 0, CLIP_HW[0] / CLIP_HW[1], tall_b)
        zero = torch.zeros_like(self.stills_b)
        centre, zoom, angle = self.camera.of(zero).place(times_bt)
        # At a zoom of 1 the still just covers the frame.
        width = torch.maximum(extent_b2[:, 0], extent_b2[:, 1] / tall_b)[:, None] * zoom
        turned = _turned(place_bhw2[:, None], angle)
        mirror = self.camera.of(zero).mirror[:, None, None, None]
        u = turned[..., 0] / width[..., None, None] * mirror - centre[..., 0, None, None]
        v = turned[..., 1] / (width * tall_b[:, None])[..., None, None] - centre[..., 1, None, None]
        surface = self.sheet.of(zero).bend(torch.stack([u, v], -1), times_bt)
        pixels = _sample(source.flatten(0, 1).float(), surface.flatten(0, 1), "reflection")
        pixels = pixels.unflatten(0, times_bt.shape)
        return pixels[:, :, :3], pixels[:, :, 3] > 127, surface

    def _played(self, frames: int) -> Tensor:
        """Consecutive frames of clips for the first scenes, (playing, t, 4, STILL, STILL)."""
        numbers = self.dice.pick(len(self.bank.clips), (self.playing,)).tolist()
        shown = []
        for number in numbers:
            clip = self.bank.clips[number]
            first = int(self.dice.pick(max(len(clip) - frames, 1), (1,)))
            part = clip[first : first + frames]
            part = torch.cat([part, part[-1:].expand(frames - len(part), -1, -1, -1)])
            shown.append(F.interpolate(part.float(), (STILL, STILL), mode="bilinear"))
        rgb = torch.stack(shown)
        return torch.cat([rgb, torch.zeros_like(rgb[:, :, :1])], 2).to(torch.uint8)

    def _layer(
        self, layer_b: Tensor, place_bhw2: Tensor, extent_b2: Tensor, times_bt: Tensor
    ) -> tuple[Tensor, Tensor]:
        """RGBA with alpha multiplied in (b, t, 4, h, w), and the place on the sprite."""
        paths, sprite_b = self.paths.of(layer_b), self.sprites_bl.gather(1, layer_b[:, None])[:, 0]
        is_panel = layer_b == self.layers - 1
        tall_b = torch.where(is_panel, self.panel_tall_b, self.bank.sprite_aspect_n[sprite_b])
        centre, size, angle = paths.place(times_bt)
        centre = (centre - 0.5) * extent_b2[:, None]
        # `size` is the longer side's, so that tall sprites are no larger than wide ones.
        width = size / tall_b.clamp(min=1.0)[:, None]
        spread = width[..., None] * torch.stack([paths.squash * paths.mirror, tall_b], -1)[:, None]
        turned = _turned(place_bhw2[:, None] - centre[:, :, None, None], angle)
        uv = self.waves.of(layer_b).bend(turned / spread[:, :, None, None], times_bt)
        sprite = self.bank.sprites_n4hw[sprite_b].float()
        if self.disguises is not None:
            sprite = self.disguises.of(layer_b).put_on(sprite, self.bank)
        sprite = torch.where(is_panel[:, None, None, None], _opaque(sprite), sprite)
        premultiplied = torch.cat([sprite[:, :3] * sprite[:, 3:] / 255, sprite[:, 3:]], 1)
        shrunk = _shrunk(premultiplied, width.mean(1) * place_bhw2.shape[2] / extent_b2[:, 0])
        b, t, h, w, _ = uv.shape
        tall_image = uv.reshape(b, t * h, w, 2)
        return _sample(shrunk, tall_image, "zeros").unflatten(2, (t, h)).transpose(1, 2), uv

    def _light(self, layer_b: Tensor, uv_bthw2: Tensor, times_bt: Tensor) -> Tensor:
        rows = torch.arange(self.clips, device=layer_b.device)
        light = self.light_bl3[rows, layer_b]
        slope = ((light[:, None, None, None, 1:] - 1) * uv_bthw2.clamp(-0.5, 0.5)).sum(-1)
        level = light[:, :1] + self.dimming_bl[rows, layer_b][:, None] * times_bt
        return (level[..., None, None] + 2 * slope).clamp(0.4, 1.6)


def _turned(place: Tensor, angle_bt: Tensor) -> Tensor:
    """Places (b, t, h, w, 2) in axes that are turned by the angle."""
    cos, sin = angle_bt.cos()[..., None, None], angle_bt.sin()[..., None, None]
    x, y = place[..., 0], place[..., 1]
    return torch.stack([x * cos + y * sin, y * cos - x * sin], -1)


def _sample(images_n4hw: Tensor, place_nhw2: Tensor, padding: str) -> Tensor:
    """Pixels at places from -0.5 to 0.5."""
    return F.grid_sample(
        images_n4hw, 2 * place_nhw2, mode="bilinear", padding_mode=padding, align_corners=False
    )


def _opaque(sprite_b4hw: Tensor) -> Tensor:
    """The sprite on a plain ground of its own mean colour."""
    rgb, alpha = sprite_b4hw[:, :3], sprite_b4hw[:, 3:] / 255
    mean = (rgb * alpha).sum((2, 3), True) / alpha.sum((2, 3), True).clamp(min=1)
    return torch.cat([torch.lerp(mean.expand_as(rgb), rgb, alpha), torch.full_like(alpha, 255)], 1)


def _shrunk(sprite_b4hw: Tensor, width_px_b: Tensor) -> Tensor:
    """Sprites without the detail that would alias at the width at which they are drawn."""
    side = sprite_b4hw.shape[-1]
    half, quarter = (
        F.interpolate(F.avg_pool2d(sprite_b4hw, n), scale_factor=n, mode="bilinear") for n in (2, 4)
    )
    reduction = (side / width_px_b.clamp(min=1))[:, None, None, None]
    return torch.where(reduction > 3, quarter, torch.where(reduction > 1.5, half, sprite_b4hw))
