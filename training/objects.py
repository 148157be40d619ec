"""Things to follow: RGBA sprites painted from random numbers.

A painter is a function `(rng, texture) -> RGBA uint8 (256, 256, 4)`: the body takes the texture,
the details (eyes, wheels, wings, windows) are drawn on it. Shapes are drawn twice as large and
reduced, which smooths their edges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from training.textures import Image, Rng, random_colour

SIZE = 256
_DRAWN = 2 * SIZE
Sprite = NDArray[np.uint8]
Points = Sequence[tuple[float, float]]


class Canvas:
    """A sprite being painted. Coordinates run from -1 to 1, y downward."""

    def __init__(self, rng: Rng, texture: Image) -> None:
        self.rng = rng
        self.texture = cv2.resize(texture, (_DRAWN, _DRAWN), interpolation=cv2.INTER_LINEAR)
        self.colour = self.texture.copy()
        self.alpha = np.zeros((_DRAWN, _DRAWN), np.uint8)

    def body(self, points: Points) -> None:
        """Add a filled polygon that shows the texture and covers what was painted before."""
        inside = cv2.fillPoly(np.zeros_like(self.alpha), [_pixels(points)], 255)
        cv2.copyTo(self.texture, inside, self.colour)
        cv2.fillPoly(self.alpha, [_pixels(points)], 255, cv2.LINE_AA)

    def patch(self, points: Points, colour: NDArray | None = None) -> None:
        """Add a filled polygon of one colour."""
        pixels = _pixels(points)
        cv2.fillPoly(self.alpha, [pixels], 255, cv2.LINE_AA)
        cv2.fillPoly(self.colour, [pixels], self._rgb(colour), cv2.LINE_AA)

    def line(self, points: Points, width: float, colour: NDArray | None = None) -> None:
        """Add a polyline; `width` in the canvas' units."""
        thickness = max(1, round(width * _DRAWN / 2))
        pixels = _pixels(points)
        cv2.polylines(self.alpha, [pixels], False, 255, thickness, cv2.LINE_AA)
        cv2.polylines(self.colour, [pixels], False, self._rgb(colour), thickness, cv2.LINE_AA)

    def eye(self, x: float, y: float, r: float) -> None:
        self.patch(ellipse(x, y, r, r), np.array([250, 250, 250]))
        self.patch(ellipse(x + 0.25 * r, y, 0.5 * r, 0.5 * r), np.array([15, 15, 20]))

    def finish(self) -> Sprite:
        """Shade the sprite as if lit from one side, sometimes outline it, and reduce it."""
        inside = (self.alpha > 127).astype(np.uint8)
        height = np.minimum(cv2.distanceTransform(inside, cv2.DIST_L2, 3), 60) / 60
        height = cv2.GaussianBlur(np.sqrt(height), (0, 0), 5)
        angle = self.rng.uniform(0, 2 * np.pi)
        slope_x, slope_y = cv2.Sobel(height, cv2.CV_32F, 1, 0), cv2.Sobel(height, cv2.CV_32F, 0, 1)
        light = 1 + self.rng.uniform(0, 2.5) * (slope_x * np.cos(angle) + slope_y * np.sin(angle))
        lit = np.clip(self.colour * np.clip(light, 0.5, 1.5)[..., None], 0, 255).astype(np.uint8)
        if self.rng.random() < 0.3:
            edges, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            lit = np.ascontiguousarray(lit)
            cv2.drawContours(lit, edges, -1, self._rgb(random_colour(self.rng) * 0.4), 8)
        rgba = np.dstack([lit, self.alpha])
        return cv2.resize(rgba, (SIZE, SIZE), interpolation=cv2.INTER_AREA)

    def _rgb(self, colour: NDArray | None) -> tuple[int, int, int]:
        r, g, b = random_colour(self.rng) if colour is None else colour
        return int(r), int(g), int(b)


def _pixels(points: Points) -> NDArray[np.int32]:
    return np.round((np.asarray(points, np.float32) * 0.98 + 1) * _DRAWN / 2).astype(np.int32)


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> Points:
    """48 points around an ellipse; `turn` in radians."""
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    u, v = rx * np.cos(t), ry * np.sin(t)
    c, s = np.cos(turn), np.sin(turn)
    return list(zip(x + u * c - v * s, y + u * s + v * c, strict=True))


def blob(rng: Rng, texture: Image) -> Sprite:
    """A smooth closed curve of random harmonics, sometimes with markings."""
    canvas = Canvas(rng, texture)
    t = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    harmonics = int(rng.integers(2, 8))
    radius = np.ones_like(t)
    for k in range(1, harmonics + 1):
        radius += rng.normal(0, 0.35 / k) * np.cos(k * t + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.25, None)
    radius /= radius.max()
    squeeze = rng.uniform(0.45, 1)
    canvas.body(list(zip(radius * np.cos(t), radius * np.sin(t) * squeeze, strict=True)))
    for _ in range(int(rng.integers(0, 4))):
        x, y = rng.uniform(-0.3, 0.3, 2)
        canvas.patch(ellipse(x, y * squeeze, *rng.uniform(0.05, 0.2, 2)))
    return canvas.finish()


def polygon(rng: Rng, texture: Image) -> Sprite:
    """A polygon or star of 3 to 9 corners."""
    canvas = Canvas(rng, texture)
    n = int(rng.integers(3, 10))
    t = (
        np.sort(rng.uniform(0, 2 * np.pi, n))
        if rng.random() < 0.4
        else np.arange(n) * 2 * np.pi / n
    )
    radius = np.full(n, 0.95)
    if rng.random() < 0.5:
        radius[::2] *= rng.uniform(0.35, 0.7)
    canvas.body(list(zip(radius * np.cos(t), radius * np.sin(t), strict=True)))
    return canvas.finish()


def beetle(rng: Rng, texture: Image) -> Sprite:
    canvas = Canvas(rng, texture)
    dark = random_colour(rng) * 0.35
    width = rng.uniform(0.45, 0.62)
    for side in (-1, 1):
        for x in (-0.4, 0.0, 0.4):
            foot = (x + rng.uniform(-0.15, 0.15), side * (width + 0.28))
            canvas.line([(x, 0), (x, side * width * 0.9), foot], 0.07, dark)
        canvas.line([(0.75, 0), (0.95, side * 0.25)], 0.05, dark)
    canvas.patch(ellipse(0.68, 0, 0.24, 0.27), dark)
    canvas.body(ellipse(0, 0, 0.75, width))
    canvas.line([(-0.75, 0), (0.72, 0)], 0.035, dark)
    spots = rng.uniform(0.07, 0.14)
    for x in np.linspace(-0.45, 0.4, int(rng.integers(2, 5))):
        for side in (-1, 1):
            canvas.patch(ellipse(x, side * width * 0.5, spots, spots), dark)
    return canvas.finish()


def fish(rng: Rng, texture: Image) -> Sprite:
    canvas = Canvas(rng, texture)
    fin, height = random_colour(rng), rng.uniform(0.32, 0.55)
    canvas.patch([(-0.5, 0), (-0.97, -0.45), (-0.85, 0), (-0.97, 0.45)], fin)
    canvas.patch([(-0.3, -0.2), (0.05, -height - 0.35), (0.35, -0.25)], fin)
    canvas.patch([(-0.2, 0.2), (0, height + 0.25), (0.2, 0.25)], fin)
    canvas.body(ellipse(0.1, 0, 0.8, height))
    canvas.eye(0.6, -0.1 * height, 0.1)
    canvas.line([(0.35, -0.6 * height), (0.27, 0), (0.35, 0.6 * height)], 0.03, fin * 0.6)
    return canvas.finish()


def car(rng: Rng, texture: Image) -> Sprite:
    canvas = Canvas(rng, texture)
    roof, back = rng.uniform(-0.62, -0.42), rng.uniform(-0.75, -0.5)
    cabin = [(back, -0.05), (back + 0.2, roof), (0.2, roof), (0.5, -0.05)]
    canvas.body(cabin)
    canvas.body([(-0.96, 0.32), (-0.92, -0.05), (0.6, -0.1), (0.93, 0.05), (0.96, 0.32)])
    glass = np.array([170, 205, 230]) * rng.uniform(0.5, 1)
    canvas.patch(
        [(back + 0.12, -0.07), (back + 0.25, roof + 0.09), (-0.2, roof + 0.09), (-0.2, -0.07)],
        glass,
    )
    canvas.patch([(-0.12, -0.07), (-0.12, roof + 0.09), (0.16, roof + 0.09), (0.38, -0.07)], glass)
    for x in (-0.55, 0.55):
        canvas.patch(ellipse(x, 0.33, 0.22, 0.22), np.array([25, 25, 28]))
        canvas.patch(ellipse(x, 0.33, 0.1, 0.1), np.array([190, 190, 195]))
    canvas.patch(ellipse(0.9, 0.1, 0.05, 0.07), np.array([250, 240, 170]))
    return canvas.finish()


def balloon(rng: Rng, texture: Image) -> Sprite:
    canvas = Canvas(rng, texture)
    canvas.body(ellipse(0, -0.3, 0.6, 0.66))
    canvas.body([(-0.35, 0.2), (0.35, 0.2), (0.12, 0.5), (-0.12, 0.5)])
    rope = np.array([90, 70, 50])
    canvas.line([(-0.14, 0.45), (-0.14, 0.7)], 0.03, rope)
    canvas.line([(0.14, 0.45), (0.14, 0.7)], 0.03, rope)
    canvas.patch([(-0.2, 0.68), (0.2, 0.68), (0.16, 0.95), (-0.16, 0.95)], np.array([150, 105, 60]))
    return canvas.finish()


def butterfly(rng: Rng, texture: Image) -> Sprite:
    canvas = Canvas(rng, texture)
    spot, size = random_colour(rng), rng.uniform(0.35, 0.45)
    for side in (-1, 1):
        canvas.body(ellipse(side * 0.5, -0.35, size, 0.5, side * 0.5))
        canvas.body(ellipse(side * 0.4, 0.45, size * 0.8, 0.4, -side * 0.5))
        canvas.patch(ellipse(side * 0.55, -0.4, 0.16, 0.16), spot)
        canvas.patch(ellipse(side * 0.42, 0.5, 0.1, 0.1), spot)
        canvas.line([(0, -0.5), (side * 0.2, -0.9)], 0.04, np.array([30, 25, 20]))
    canvas.patch(ellipse(0, 0, 0.09, 0.6), np.array([40, 30, 25]))
    return canvas.finish()


def bird(rng: Rng, texture: Image) -> Sprite:
    canvas = Canvas(rng, texture)
    wing = random_colour(rng)
    canvas.patch([(-0.45, 0.05), (-0.97, -0.15), (-0.9, 0.2)], wing)
    canvas.patch([(0.75, -0.42), (0.98, -0.33), (0.75, -0.26)], np.array([240, 170, 40]))
    for x in (-0.05, 0.15):
        canvas.line([(x, 0.4), (x, 0.8), (x + 0.14, 0.85)], 0.05, np.array([200, 130, 40]))
    canvas.body(ellipse(0, 0.1, 0.6, rng.uniform(0.38, 0.5)))
    canvas.body(ellipse(0.52, -0.35, 0.3, 0.28))
    canvas.patch(ellipse(-0.1, 0.05, 0.38, 0.2, rng.uniform(-0.5, 0.3)), wing)
    canvas.eye(0.6, -0.4, 0.08)
    return canvas.finish()


def cat(rng: Rng, texture: Image) -> Sprite:
    """A sitting animal: body, legs, head with ears, tail."""
    canvas = Canvas(rng, texture)
    dark, sway = random_colour(rng) * 0.4, rng.uniform(-0.3, 0.3)
    canvas.line([(-0.6, 0.2), (-0.85, 0.1 + sway), (-0.9, -0.4 + sway)], 0.14, dark)
    canvas.body(ellipse(-0.1, 0.2, 0.6, 0.38))
    for x in (-0.5, -0.3, 0.15, 0.35):
        canvas.body([(x - 0.09, 0.3), (x + 0.09, 0.3), (x + 0.08, 0.95), (x - 0.08, 0.95)])
    canvas.body(ellipse(0.5, -0.2, 0.36, 0.32))
    for x in (0.28, 0.66):
        canvas.body([(x - 0.1, -0.4), (x + 0.04, -0.85), (x + 0.16, -0.38)])
    canvas.eye(0.45, -0.25, 0.07)
    canvas.eye(0.68, -0.25, 0.07)
    canvas.patch(ellipse(0.6, -0.1, 0.06, 0.04), dark)
    return canvas.finish()


def rocket(rng: Rng, texture: Image) -> Sprite:
    canvas = Canvas(rng, texture)
    fin, width = random_colour(rng), rng.uniform(0.25, 0.36)
    for side in (-1, 1):
        canvas.patch(
            [(side * width * 0.8, 0.3), (side * 0.7, 0.85), (side * width * 0.7, 0.75)], fin
        )
    canvas.body([(-width, 0.8), (-width, -0.3), (0, -0.97), (width, -0.3), (width, 0.8)])
    canvas.patch([(-width * 0.62, -0.55), (0, -0.97), (width * 0.62, -0.55)], fin)
    canvas.patch(ellipse(0, -0.15, 0.15, 0.15), np.array([190, 220, 240]))
    canvas.patch([(-0.14, 0.8), (0.14, 0.8), (0, 0.98)], np.array([250, 170, 40]))
    return canvas.finish()


def ball(rng: Rng, texture: Image) -> Sprite:
    canvas = Canvas(rng, texture)
    canvas.body(ellipse(0, 0, 0.95, 0.95))
    if rng.random() < 0.6:
        colour, turn = random_colour(rng), rng.uniform(0, np.pi)
        canvas.patch(ellipse(0, 0, 0.95, rng.uniform(0.15, 0.4), turn), colour)
    return canvas.finish()


def tool(rng: Rng, texture: Image) -> Sprite:
    """A handle with a head: a thin, long thing."""
    canvas = Canvas(rng, texture)
    canvas.line([(-0.95, 0), (0.6, 0)], rng.uniform(0.1, 0.2))
    w, h = rng.uniform(0.1, 0.3), rng.uniform(0.25, 0.6)
    canvas.body([(0.6 - w, -h), (0.6 + w, -h), (0.6 + w, h), (0.6 - w, h)])
    return canvas.finish()


PAINTERS: dict[str, Callable[[Rng, Image], Sprite]] = {
    painter.__name__: painter
    for painter in (
        *(blob, polygon, beetle, fish, car, balloon, butterfly, bird, cat, rocket, ball, tool),
    )
}
