"""Painted places for the sample videos: a street, a pond, a meadow, and a few others."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.objects import Sprite, ellipse
from training.textures import Image, Rng, blend, smooth_noise

Colour = tuple[int, int, int]


def _ramp(width: int, height: int, top: Colour, bottom: Colour) -> Image:
    t = np.linspace(0, 1, height, dtype=np.float32)[:, None].repeat(width, 1)
    return blend(np.array(top), np.array(bottom), t)


def _grain(rng: Rng, image: Image, strength: float, octaves: int = 6) -> Image:
    """Light and dark patches, as on grass, water or plaster."""
    height, width = image.shape[:2]
    noise = cv2.resize(smooth_noise(rng, 256, octaves, 6), (width, height)) - 0.5
    return np.clip(image * (1 + strength * noise[..., None]), 0, 255).astype(np.uint8)


def _hill(image: Image, rng: Rng, level: float, colour: Colour) -> None:
    height, width = image.shape[:2]
    x = np.arange(width)
    ridge = level * height
    for k in (1, 2, 3, 5):
        wave = np.sin(2 * np.pi * (k * x / width * 0.8 + rng.random()))
        ridge = ridge + height * 0.05 / k * wave
    outline = np.stack([x, ridge], 1).astype(np.int32)
    corners = np.array([[width, height], [0, height]], np.int32)
    cv2.fillPoly(image, [np.vstack([outline, corners])], colour, cv2.LINE_AA)


def street(rng: Rng, width: int, height: int) -> Image:
    """Sky, hills, a row of houses, a pavement and a road."""
    image = _ramp(width, height, (120, 175, 225), (225, 235, 240))
    _hill(image, rng, 0.38, (120, 150, 130))
    _hill(image, rng, 0.46, (95, 135, 95))
    x = -20
    while x < width:
        w, h = int(rng.integers(70, 120)), int(height * rng.uniform(0.25, 0.42))
        base, light = int(height * 0.62), int(rng.integers(165, 225))
        wall = (light - int(rng.integers(10, 45)), light - int(rng.integers(0, 15)), light)
        cv2.rectangle(image, (x, base - h), (x + w, base), wall, -1)
        roof = np.array([[x - 6, base - h], [x + w // 2, base - h - 34], [x + w + 6, base - h]])
        cv2.fillPoly(image, [roof.astype(np.int32)], (85, 95, 110), cv2.LINE_AA)
        for wx in range(x + 12, x + w - 16, 28):
            for wy in range(base - h + 14, base - 26, 34):
                cv2.rectangle(image, (wx, wy), (wx + 14, wy + 18), (95, 120, 145), -1)
        x += w + int(rng.integers(4, 30))
    cv2.rectangle(image, (0, int(height * 0.62)), (width, int(height * 0.7)), (185, 180, 170), -1)
    cv2.rectangle(image, (0, int(height * 0.7)), (width, height), (95, 95, 100), -1)
    for x in range(10, width, 90):
        y = int(height * 0.86)
        cv2.rectangle(image, (x, y), (x + 46, y + 6), (225, 225, 215), -1)
    return _grain(rng, image, 0.22)


def pond(rng: Rng, width: int, height: int) -> Image:
    """Water from above: light ripples, pebbles and lily pads."""
    ripples = cv2.resize(smooth_noise(rng, 256, 3, 7), (width, height))
    lines = np.clip(1 - np.abs(ripples - 0.5) * 14, 0, 1)
    image = blend(np.array([40, 105, 120]), np.array([150, 205, 205]), lines * 0.55)
    for _ in range(60):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        grey = int(rng.integers(70, 120))
        axes = (int(rng.integers(4, 12)), int(rng.integers(3, 9)))
        colour = (grey - 15, grey, grey - 5)
        cv2.ellipse(image, centre, axes, rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
    for _ in range(7):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        r, turn = int(rng.integers(20, 42)), int(rng.integers(360))
        green = (60, int(rng.integers(120, 165)), 70)
        cv2.ellipse(image, centre, (r, r), turn, 20, 340, green, -1, cv2.LINE_AA)
        cv2.ellipse(image, centre, (r // 2, r // 2), turn, 20, 340, (80, 165, 90), 2, cv2.LINE_AA)
    return _grain(rng, image, 0.25)


def meadow(rng: Rng, width: int, height: int) -> Image:
    """Evening sky over hills and a meadow with flowers."""
    image = _ramp(width, height, (110, 160, 220), (250, 215, 185))
    cv2.circle(image, (int(width * 0.8), int(height * 0.2)), 26, (255, 240, 200), -1, cv2.LINE_AA)
    _hill(image, rng, 0.6, (110, 135, 150))
    _hill(image, rng, 0.7, (100, 140, 95))
    _hill(image, rng, 0.8, (80, 130, 65))
    for _ in range(240):
        x, y = int(rng.integers(width)), int(rng.uniform(0.85, 1) * height)
        petal = ((235, 220, 90), (240, 240, 240), (220, 120, 150))[int(rng.integers(3))]
        cv2.circle(image, (x, y), int(rng.integers(1, 4)), petal, -1, cv2.LINE_AA)
    return _grain(rng, image, 0.2)


def desk(rng: Rng, width: int, height: int) -> Image:
    """A wooden table top with a sheet of paper."""
    stretched = cv2.resize(smooth_noise(rng, 256, 6, 4)[:48], (width, height))
    image = blend(np.array([150, 105, 65]), np.array([205, 160, 110]), stretched)
    corners = np.array([[0.1, 0.15], [0.55, 0.05], [0.66, 0.8], [0.18, 0.9]]) * (width, height)
    cv2.fillPoly(image, [corners.astype(np.int32)], (235, 232, 222), cv2.LINE_AA)
    return image


def wall(rng: Rng, width: int, height: int) -> Image:
    """Bricks."""
    image = np.full((height, width, 3), (190, 185, 175), np.uint8)
    for row, y in enumerate(range(0, height, 24)):
        for x in range(-30 * (row % 2), width, 60):
            colour = np.array([165, 85, 65]) + rng.normal(0, 14, 3)
            corner = (x + 56, y + 20)
            cv2.rectangle(image, (x, y), corner, tuple(int(v) for v in colour), -1)
    return _grain(rng, image, 0.25)


def tree(rng: Rng) -> Sprite:
    """A tree with a full crown: something to pass behind."""
    rgba = np.zeros((512, 320, 4), np.uint8)
    cv2.rectangle(rgba, (140, 300), (182, 511), (105, 75, 50, 255), -1)
    for _ in range(26):
        angle, r = rng.uniform(0, 2 * np.pi), rng.uniform(0, 105)
        centre = (int(160 + r * np.cos(angle)), int(180 + 1.25 * r * np.sin(angle)))
        green = (int(rng.integers(45, 80)), int(rng.integers(95, 150)), int(rng.integers(45, 70)))
        cv2.circle(rgba, centre, int(rng.integers(34, 56)), (*green, 255), -1, cv2.LINE_AA)
    return rgba


def pillar(rng: Rng) -> Sprite:
    """An advertising column, wide enough to hide a car."""
    rgba = np.zeros((512, 300, 4), np.uint8)
    shade = np.sin(np.linspace(0.35, np.pi - 0.35, 260))[None, :, None]
    body = np.full((440, 260, 3), (196, 178, 140), np.float32) * shade
    for _ in range(5):
        x, y = int(rng.integers(10, 170)), int(rng.integers(20, 330))
        colour = rng.integers(90, 240, 3)
        body[y : y + 90, x : x + 70] = colour * shade[:, x : x + 70]
    rgba[60:500, 20:280, :3], rgba[60:500, 20:280, 3] = body.astype(np.uint8), 255
    roof = np.array(ellipse(150, 62, 148, 26)).astype(np.int32)
    cv2.fillPoly(rgba, [roof], (85, 95, 90, 255), cv2.LINE_AA)
    return rgba


def lily(rng: Rng) -> Sprite:
    """A lily pad that floats above the fish."""
    rgba = np.zeros((256, 256, 4), np.uint8)
    turn = int(rng.integers(360))
    cv2.ellipse(rgba, (128, 128), (124, 124), turn, 14, 346, (62, 140, 72, 255), -1, cv2.LINE_AA)
    for ray in range(20, 346, 32):
        angle = np.deg2rad(turn + ray)
        tip = (int(128 + 112 * np.cos(angle)), int(128 + 112 * np.sin(angle)))
        cv2.line(rgba, (128, 128), tip, (96, 172, 100, 255), 3, cv2.LINE_AA)
    return rgba


def chime(notes_hz: list[float], seconds: float, rate: int) -> NDArray[np.int16]:
    """A slow melody of bell-like tones, mono."""
    t = np.arange(int(seconds * rate)) / rate
    sound = np.zeros_like(t)
    for number, hz in enumerate(notes_hz):
        since = t - number * seconds / len(notes_hz)
        ring = np.where(since >= 0, np.exp(-2.2 * np.maximum(since, 0)), 0)
        sound += ring * (np.sin(2 * np.pi * hz * t) + 0.4 * np.sin(4 * np.pi * hz * t))
    return (sound / np.abs(sound).max() * 0.5 * 32767).astype(np.int16)
