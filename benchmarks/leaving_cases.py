"""Held-out generated clips in which the object leaves the frame and returns at another place.

In half of them a look-alike stays in view all the while: the same shape and pattern in another
hue. The seeds are those of no other benchmark and of no training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.generated_cases import HEIGHT, WIDTH, FrameList
from tracker.masks import BoolMask
from training.assets import Assets, Folders, load_assets, random_camera
from training.objects import Sprite
from training.scenes import Layer, Motion, Scene
from training.textures import Image, Rng

RATE = 12  # frames per second
LEAVES, AWAY = 20, 2 * RATE  # frames in view at first; frames out of it, at least
FRAMES = LEAVES + AWAY + 34
BACK_SHARE = 0.5  # of its usual visible area: from there on the object counts as returned

_SEED = 71_993
_HUE = 35  # of 180: how far a look-alike's colour is turned

Company = Literal["alone", "look-alike"]
COMPANIES: tuple[Company, ...] = ("alone", "look-alike")


@dataclass(frozen=True, eq=False)
class LeavingCase:
    """A clip, the truth of its one object, and where it is away.

    Attributes:
        frames: RGB uint8.
        truth_thw: bool.
        gone: first frame without a pixel of the object.
        back: first frame on which at least half of its usual area is in view again.
        reference: image and mask of the object in another clip.
    """

    company: Company
    frames: FrameList
    truth_thw: NDArray[np.bool_]
    gone: int
    back: int
    reference: tuple[Image, BoolMask]


@cache
def _assets() -> Assets:
    return load_assets(Folders(), sprites=160, seed=_SEED, split="val")


def leaving_cases(count: int, company: Company, *, seed: int = 0) -> Iterator[LeavingCase]:
    """`count` clips of one kind; different seeds share nothing but the painters."""
    rng = np.random.default_rng((_SEED, seed, company == "alone"))
    assets = _assets()
    while count:
        case = _render(rng, assets, company)
        if case is not None:
            count -= 1
            yield case


def _render(rng: Rng, assets: Assets, company: Company) -> LeavingCase | None:
    """One clip, or None where chance did not give it a clean leave and return."""
    numbers = rng.choice(len(assets.sprites), size=3, replace=False)
    target, *others = (assets.sprites[int(n)] for n in numbers)
    look = Motion(size=rng.uniform(0.3, 0.45), start=(0.5, 0.5), flip=bool(rng.random() < 0.5))
    layers = [Layer(sprite, _lingering(rng)) for sprite in others]
    if company == "look-alike":
        layers[0] = Layer(turned_hue(target, _HUE), _lingering(rng))
    layers += [Layer(target, path, 1) for path in _two_visits(rng, look)]
    scene = Scene(assets.background(rng), layers, random_camera(rng, speed=0.4), _any_seed(rng))
    rendered = [scene.render(float(t), WIDTH, HEIGHT) for t in range(FRAMES)]
    truth = np.stack([frame.ids_hw == 1 for frame in rendered])
    areas = truth.sum(axis=(1, 2))
    usual = float(np.median(areas[: LEAVES // 2]))
    gone = int(np.flatnonzero(areas == 0)[0]) if (areas == 0).any() else FRAMES
    later = np.flatnonzero(areas[gone + AWAY :] >= BACK_SHARE * usual) + gone + AWAY
    if usual < 0.01 * WIDTH * HEIGHT or areas[gone : gone + AWAY].any() or not len(later):
        return None
    if later[0] > FRAMES - 12 or areas[0] < 0.7 * usual:
        return None
    frames = FrameList([frame.image_hwc for frame in rendered])
    reference = _portrait(rng, assets, target)
    return LeavingCase(company, frames, truth, gone, int(later[0]), reference)


def _two_visits(rng: Rng, look: Motion) -> tuple[Motion, Motion]:
    """The way out of the frame over one side, and the way in over the top or the bottom."""
    sway = {"sway": tuple(rng.uniform(0.01, 0.03, 2)), "sway_rate": rng.uniform(0.02, 0.05)}
    side, top = rng.choice([-1.0, 1.0], 2)
    at, to = (0.5 - 0.15 * side, rng.uniform(0.3, 0.7)), (rng.uniform(0.25, 0.75), 0.5)
    look = replace(look, **sway)
    out = (0.5 + 0.85 * side, at[1])
    leaving = Journey(**{**vars(look), "start": at}, end=out, during=(LEAVES - 12, LEAVES))
    above, back = (to[0], 0.5 + 0.95 * top), LEAVES + AWAY + 3
    coming = {**vars(look), "start": above, "angle": rng.normal(0, 0.25)}
    return leaving, Journey(**coming, end=to, during=(back, back + 10))


@dataclass(frozen=True)
class Journey(Motion):
    """A motion whose middle goes from `start` to `end` between two times, and rests else."""

    end: tuple[float, float] = (0.5, 0.5)
    during: tuple[int, int] = (0, 1)

    def place(self, t: float) -> tuple[float, float, float, float]:
        first, last = self.during
        share = min(max((t - first) / (last - first), 0.0), 1.0)
        x, y, size, angle = super().place(t)
        dx, dy = (e - s for s, e in zip(self.start, self.end, strict=True))
        return x + share * dx, y + share * dy, size, angle


def _lingering(rng: Rng) -> Motion:
    """A path that stays in view."""
    return Motion(
        start=(rng.uniform(0.15, 0.85), rng.uniform(0.2, 0.8)),
        sway=(rng.uniform(0.02, 0.08), rng.uniform(0.02, 0.08)),
        sway_rate=rng.uniform(0.01, 0.03),
        sway_phase=rng.random(),
        size=rng.uniform(0.25, 0.45),
        angle=rng.normal(0, 0.3),
        flip=bool(rng.random() < 0.5),
    )


def turned_hue(sprite: Sprite, degrees: int) -> Sprite:
    """The same sprite in another hue; `degrees` of OpenCV's 180."""
    hsv = cv2.cvtColor(np.ascontiguousarray(sprite[..., :3]), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + degrees) % 180
    return np.dstack([cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), sprite[..., 3]])


def _portrait(rng: Rng, assets: Assets, sprite: Sprite) -> tuple[Image, BoolMask]:
    """The object alone, at another place."""
    motion = Motion(start=(rng.uniform(0.35, 0.65), 0.5), size=0.5, angle=rng.normal(0, 0.2))
    scene = Scene(assets.background(rng), [Layer(sprite, motion, 1)], random_camera(rng))
    rendered = scene.render(0.0, WIDTH, HEIGHT)
    return rendered.image_hwc, rendered.ids_hw == 1


def _any_seed(rng: Rng) -> int:
    return int(rng.integers(2**31))
