"""Procedural surfaces: colour fields that skin objects and fill backgrounds.

Every texture is a function `(rng, size) -> RGB uint8 hwc`; `random_texture` picks one.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Rng = np.random.Generator


def random_colour(rng: Rng) -> NDArray[np.float32]:
    """An RGB colour, 0 to 255, spread over hue, saturation and value."""
    hsv = np.array([[[rng.uniform(0, 180), rng.uniform(20, 255), rng.uniform(40, 255)]]], np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0].astype(np.float32)


def smooth_noise(rng: Rng, size: int, octaves: int, base: int = 3) -> NDArray[np.float32]:
    """Value noise of several octaves, 0 to 1, shape (size, size)."""
    total, weight = np.zeros((size, size), np.float32), 0.0
    for octave in range(octaves):
        cells = min(base * 2**octave, size)
        grid = rng.random((cells, cells), np.float32)
        amplitude = 0.6**octave
        total += amplitude * cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
        weight += amplitude
    return np.clip(total / weight, 0, 1)


def blend(a: NDArray, b: NDArray, t_hw: NDArray[np.float32]) -> Image:
    """Mix two colours or images by the field `t_hw` (0 gives a, 1 gives b)."""
    mixed = a * (1 - t_hw[..., None]) + b * t_hw[..., None]
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _contrasting(rng: Rng) -> tuple[NDArray, NDArray]:
    a, b = random_colour(rng), random_colour(rng)
    while np.abs(a - b).sum() < 120:
        b = random_colour(rng)
    return a, b


def marble(rng: Rng, size: int) -> Image:
    a, b = _contrasting(rng)
    return blend(a, b, smooth_noise(rng, size, int(rng.integers(2, 7)), int(rng.integers(2, 7))))


def clouds(rng: Rng, size: int) -> Image:
    """Three colours mixed by two noise fields: the least regular texture."""
    a, b = _contrasting(rng)
    first = blend(a, b, smooth_noise(rng, size, 5)).astype(np.float32)
    veil = smooth_noise(rng, size, 4, 5)
    return blend(first, random_colour(rng), np.clip(veil * 3 - 1, 0, 1))


def stripes(rng: Rng, size: int) -> Image:
    a, b = _contrasting(rng)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    angle, frequency = rng.uniform(0, np.pi), rng.uniform(3, 16)
    bend = (smooth_noise(rng, size, 2) - 0.5) * rng.uniform(0, 0.5)
    wave = np.sin(2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle) + bend))
    return blend(a, b, np.clip(wave * rng.uniform(1, 8) * 0.5 + 0.5, 0, 1))


def checks(rng: Rng, size: int) -> Image:
    a, b = _contrasting(rng)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    angle, n = rng.uniform(0, np.pi / 2), rng.uniform(3, 12)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return blend(a, b, ((np.floor(u * n) + np.floor(v * n)) % 2).astype(np.float32))


def dots(rng: Rng, size: int) -> Image:
    a, b = _contrasting(rng)
    field = np.zeros((size, size), np.float32)
    low = rng.uniform(0.01, 0.06)
    for _ in range(int(rng.integers(10, 70))):
        centre = tuple(int(v) for v in rng.integers(0, size, 2))
        radius = int(max(1, size * rng.uniform(low, 2 * low)))
        cv2.circle(field, centre, radius, 1.0, -1, cv2.LINE_AA)
    return blend(a, b, field)


def cells(rng: Rng, size: int) -> Image:
    """Voronoi cells, each with its own colour near a common one."""
    small = max(size // 2, 8)
    n = int(rng.integers(8, 50))
    sites = rng.random((n, 2)).astype(np.float32) * small
    y, x = np.mgrid[0:small, 0:small].astype(np.float32)
    distance = (x[..., None] - sites[:, 0]) ** 2 + (y[..., None] - sites[:, 1]) ** 2
    colours = random_colour(rng) + rng.normal(0, rng.uniform(15, 70), (n, 3))
    image = np.clip(colours, 0, 255).astype(np.uint8)[distance.argmin(-1)]
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)


def gradient(rng: Rng, size: int) -> Image:
    a, b = _contrasting(rng)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    angle = rng.uniform(0, 2 * np.pi)
    ramp = x * np.cos(angle) + y * np.sin(angle)
    ramp = (ramp - ramp.min()) / (np.ptp(ramp) + 1e-6)
    return blend(a, b, ramp)


def plain(rng: Rng, size: int) -> Image:
    grain = rng.normal(0, rng.uniform(0, 12), (size, size, 1))
    return np.clip(random_colour(rng) + grain, 0, 255).astype(np.uint8)


TEXTURES: tuple[Callable[[Rng, int], Image], ...] = (
    *(marble, clouds, stripes, checks, dots, cells, gradient, plain),
)


def random_texture(rng: Rng, size: int) -> Image:
    """One of `TEXTURES`, RGB uint8 of shape (size, size, 3)."""
    return TEXTURES[int(rng.integers(len(TEXTURES)))](rng, size)
