"""Clips with exact truth: sprites that move, deform and hide each other over a moving background.

Everything is drawn by inverse mapping: for each pixel of a frame the place on the sprite (or on the
background) that it shows. So a frame comes with the visible object per pixel and with surface
coordinates, which are exact correspondences between any two frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from training.textures import Image

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Rendered:
    """One frame and its truth.

    Attributes:
        image_hwc: RGB uint8.
        ids_hw: uint8, the visible layer's object id, 0 for background and occluders.
        layer_hw: uint8, 0 for the background, 1 + the layer's index elsewhere.
        surface_hw2: float32, place on that layer's surface, in its own pixels (x, y).
    """

    image_hwc: Image
    ids_hw: NDArray[np.uint8]
    layer_hw: NDArray[np.uint8]
    surface_hw2: Float


@dataclass(frozen=True)
class Motion:
    """Where a sprite is at time t (in frames). Lengths are in units of the frame's shorter side.

    Attributes:
        start, velocity: place of the centre at t = 0 (0 to 1 across the frame), and per frame.
        sway: amplitude x, y, and `sway_rate` cycles per frame with `sway_phase` in cycles.
        size: the sprite's width; `growth` per frame as a factor; `squash` stretches x over y.
        angle, spin: radians, and radians per frame; `rock` swings the angle with the sway.
        wobble: amplitude of the bending wave, in sprite widths, `wobble_rate` cycles per frame.
        flip: mirror the sprite.
    """

    start: tuple[float, float]
    velocity: tuple[float, float] = (0.0, 0.0)
    sway: tuple[float, float] = (0.0, 0.0)
    sway_rate: float = 0.02
    sway_phase: float = 0.0
    size: float = 0.3
    growth: float = 1.0
    squash: float = 1.0
    angle: float = 0.0
    spin: float = 0.0
    rock: float = 0.0
    wobble: float = 0.0
    wobble_rate: float = 0.05
    wobble_waves: float = 1.0
    flip: bool = False

    def place(self, t: float) -> tuple[float, float, float, float]:
        """Centre x, y (0 to 1), size and angle at time t."""
        swing = np.sin(2 * np.pi * (self.sway_rate * t + self.sway_phase))
        swing_y = np.sin(2 * np.pi * (1.3 * self.sway_rate * t + 2 * self.sway_phase))
        x = self.start[0] + self.velocity[0] * t + self.sway[0] * swing
        y = self.start[1] + self.velocity[1] * t + self.sway[1] * swing_y
        size = self.size * self.growth**t
        return x, y, size, self.angle + self.spin * t + self.rock * swing


@dataclass(frozen=True, eq=False)
class Layer:
    """A sprite in motion. `object_id` 0 makes it an occluder that nobody follows.

    Attributes:
        sprite: RGBA uint8, alpha not multiplied in.
        pyramid: the sprite with premultiplied alpha at full, half, quarter … size.
    """

    sprite: NDArray[np.uint8]
    motion: Motion
    object_id: int = 0
    pyramid: tuple[Float, ...] = field(init=False)

    def __post_init__(self) -> None:
        level = self.sprite.astype(np.float32)
        level[..., :3] *= level[..., 3:] / 255
        levels = [level]
        while min(level.shape[:2]) > 32:
            level = cv2.resize(level, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            levels.append(level)
        object.__setattr__(self, "pyramid", tuple(levels))


@dataclass(frozen=True)
class Camera:
    """How the background moves: `zoom` of 1 shows all of the shorter side."""

    start: tuple[float, float] = (0.5, 0.5)
    velocity: tuple[float, float] = (0.0, 0.0)
    shake: float = 0.0
    zoom: float = 1.2
    zoom_rate: float = 1.0
    angle: float = 0.0
    spin: float = 0.0


@dataclass(frozen=True, eq=False)
class Scene:
    """Background frames (one still image, or a clip that plays), layers from back to front."""

    backgrounds: Sequence[Image]
    layers: Sequence[Layer]
    camera: Camera = Camera()
    seed: int = 0

    def render(self, t: float, width: int, height: int, pixel_aspect: float = 1.0) -> Rendered:
        """The frame at time t (in frames).

        `pixel_aspect` is a pixel's width over its height: with 16/9, a square frame shows what a
        wide video shows after SAM2 has squeezed it to its square input.
        """
        colour, surface = self._draw_background(t, width, height, pixel_aspect)
        ids, owner = np.zeros((2, height, width), np.uint8)
        for index, layer in enumerate(self.layers):
            _draw_layer(layer, t, index + 1, colour, ids, owner, surface, pixel_aspect)
        image = np.clip(colour + 0.5, 0, 255).astype(np.uint8)
        return Rendered(image, ids, owner, surface)

    def _draw_background(
        self, t: float, width: int, height: int, pixel_aspect: float
    ) -> tuple[Float, Float]:
        background = self.backgrounds[int(t) % len(self.backgrounds)]
        bh, bw = background.shape[:2]
        camera = self.camera
        jitter = np.random.default_rng((self.seed, int(t))).normal(0, camera.shake, 2)
        zoom = camera.zoom * camera.zoom_rate**t
        wide = width * pixel_aspect
        scale = max(wide / bw, height / bh) * max(zoom, 0.2)
        centre = np.array(camera.start) + np.array(camera.velocity) * t + jitter
        angle = camera.angle + camera.spin * t
        cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
        to_background = np.array(
            [
                [cos * pixel_aspect, -sin, centre[0] * bw - cos * wide / 2 + sin * height / 2],
                [sin * pixel_aspect, cos, centre[1] * bh - sin * wide / 2 - cos * height / 2],
            ],
            np.float32,
        )
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        surface = np.dstack(
            [
                to_background[0, 0] * x + to_background[0, 1] * y + to_background[0, 2],
                to_background[1, 0] * x + to_background[1, 1] * y + to_background[1, 2],
            ]
        ).astype(np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        colour = cv2.warpAffine(
            background, to_background, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT
        )
        return colour.astype(np.float32), surface


def _draw_layer(
    layer: Layer,
    t: float,
    number: int,
    colour: Float,
    ids: NDArray[np.uint8],
    owner: NDArray[np.uint8],
    surface: Float,
    pixel_aspect: float,
) -> None:
    """Composite one layer onto the frame, in place, inside the rectangle that it can reach."""
    height, width = ids.shape
    wide, motion = width * pixel_aspect, layer.motion
    fx, fy, size, angle = motion.place(t)
    cx, cy, size_px = fx * wide, fy * height, max(size * min(wide, height), 2.0)
    aspect = layer.sprite.shape[0] / layer.sprite.shape[1]
    half_w, half_h = size_px * motion.squash / 2, size_px * aspect / 2
    reach = np.hypot(half_w, half_h) * (1 + 2 * abs(motion.wobble)) + 2
    x1 = int(max((cx - reach) / pixel_aspect, 0))
    x2 = int(min((cx + reach) / pixel_aspect + 1, width))
    y1, y2 = int(max(cy - reach, 0)), int(min(cy + reach + 1, height))
    if x1 >= x2 or y1 >= y2:
        return
    y, x = np.mgrid[y1:y2, x1:x2].astype(np.float32)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    dx, dy = x * np.float32(pixel_aspect) - np.float32(cx), y - np.float32(cy)
    u = (dx * cos + dy * sin) / np.float32(2 * half_w)
    v = (dy * cos - dx * sin) / np.float32(2 * half_h)
    if motion.wobble:
        turn = np.float32(2 * np.pi)
        phase = np.float32(motion.wobble_rate * t)
        v = v + np.float32(motion.wobble) * np.sin(turn * (motion.wobble_waves * u + phase))
    if motion.flip:
        u = -u
    level = int(np.clip(np.log2(layer.sprite.shape[1] / (2 * half_w)), 0, len(layer.pyramid) - 1))
    source = layer.pyramid[level]
    sh, sw = source.shape[:2]
    patch = cv2.remap(
        source, (u + 0.5) * sw - 0.5, (v + 0.5) * sh - 0.5, cv2.INTER_LINEAR, borderValue=0
    )
    alpha = patch[..., 3:] / 255
    colour[y1:y2, x1:x2] = colour[y1:y2, x1:x2] * (1 - alpha) + patch[..., :3]
    covered = alpha[..., 0] > 0.5
    ids[y1:y2, x1:x2][covered] = layer.object_id
    owner[y1:y2, x1:x2][covered] = number
    full_h, full_w = layer.sprite.shape[:2]
    here = np.dstack([(u + 0.5) * full_w, (v + 0.5) * full_h])
    surface[y1:y2, x1:x2][covered] = here[covered]
