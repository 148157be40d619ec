"""Held-out generated clips with a reference from another clip, for scoring the demo models.

Everything is painted from seeds that training never draws from, so that the figures can be
repeated anywhere without any data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask
from training.assets import Assets, Folders, load_assets, random_camera, random_motion
from training.scenes import Layer, Motion, Scene
from training.textures import Image, Rng

WIDTH, HEIGHT, FRAMES = 448, 252, 24
_SEED = 90_210


@dataclass(frozen=True, eq=False)
class FrameList:
    """Frames in memory, in the form that the predictor reads."""

    images: list[Image]

    @property
    def height(self) -> int:
        return self.images[0].shape[0]

    @property
    def width(self) -> int:
        return self.images[0].shape[1]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Image:
        return self.images[index]


@dataclass(frozen=True, eq=False)
class Case:
    """A clip, the truth of its one object, and two references from other clips.

    Attributes:
        frames: RGB uint8.
        truth_thw: bool.
        own, foreign: image and mask of the same object, and of one that the clip does not show.
    """

    frames: FrameList
    truth_thw: NDArray[np.bool_]
    own: tuple[Image, BoolMask]
    foreign: tuple[Image, BoolMask]


@cache
def _assets() -> Assets:
    return load_assets(Folders(), sprites=250, seed=_SEED, split="val")


def cases(count: int, *, seed: int = 0) -> Iterator[Case]:
    """`count` cases; different seeds share nothing but the painters."""
    rng = np.random.default_rng((_SEED, seed))
    assets = _assets()
    while count:
        numbers = rng.choice(len(assets.sprites), size=5, replace=False)
        target, alien, *others = (assets.sprites[int(n)] for n in numbers)
        layers = [Layer(sprite, random_motion(rng)) for sprite in others]
        layers.insert(int(rng.integers(4)), Layer(target, _steady(rng), 1))
        scene = Scene(assets.background(rng), layers, random_camera(rng), int(rng.integers(2**31)))
        rendered = [scene.render(float(t), WIDTH, HEIGHT) for t in range(FRAMES)]
        truth = np.stack([frame.ids_hw == 1 for frame in rendered])
        if truth[0].mean() < 0.01:
            continue
        count -= 1
        frames = FrameList([frame.image_hwc for frame in rendered])
        own, foreign = _portrait(rng, assets, target), _portrait(rng, assets, alien)
        yield Case(frames, truth, own, foreign)


def _steady(rng: Rng) -> Motion:
    """A path of an object large enough to be worth following."""
    while True:
        motion = random_motion(rng)
        if motion.size >= 0.2:
            return motion


def _portrait(rng: Rng, assets: Assets, sprite: NDArray[np.uint8]) -> tuple[Image, BoolMask]:
    """The object alone, elsewhere, in another pose: a reference's image and mask."""
    motion = Motion(
        start=(rng.uniform(0.35, 0.65), rng.uniform(0.35, 0.65)),
        size=rng.uniform(0.4, 0.8),
        angle=rng.normal(0, 0.4),
        flip=bool(rng.random() < 0.5),
    )
    scene = Scene(assets.background(rng), [Layer(sprite, motion, 1)], random_camera(rng))
    rendered = scene.render(0.0, WIDTH, HEIGHT)
    return rendered.image_hwc, rendered.ids_hw == 1
