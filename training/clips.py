"""Batches of clips for training SAM2: frames, and the masks of a few objects in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import IterableDataset

from training.annotated import random_window
from training.assets import Assets, random_scene, repaint
from training.masklets import random_masklets
from training.scenes import degrade
from training.textures import Rng

_SMALLEST_PX = 40
_TRIES = 20  # at a real clip, before a generated one stands in


@dataclass(frozen=True)
class ClipShape:
    """How many clips, frames and objects a batch holds, and the frames' side in pixels.

    `real` clips show regions of real clips, unless there are none; the others are generated.
    """

    clips: int
    frames: int
    objects: int
    size: int = 256
    real: bool = False


@dataclass(frozen=True, eq=False)
class ClipBatch:
    """images_bthwc: uint8; masks_bkthw: bool, objects that are visible on the first frame."""

    images_bthwc: torch.Tensor
    masks_bkthw: torch.Tensor


def make_clip(rng: Rng, assets: Assets, shape: ClipShape) -> tuple[np.ndarray, np.ndarray]:
    """One clip: images (t, h, w, 3) uint8 and masks (k, t, h, w) bool."""
    sizes = (shape.frames, shape.objects, shape.size)
    for _ in range(_TRIES):
        if assets.annotated:
            clip = assets.annotated[int(rng.integers(len(assets.annotated)))]
            found = random_window(rng, clip, *sizes)
        elif shape.real and assets.clips:
            frames = assets.clips[int(rng.integers(len(assets.clips)))]
            found = random_masklets(rng, frames, *sizes)
        else:
            break
        if found is not None and (found[1][:, 0].sum((1, 2)) >= _SMALLEST_PX).all():
            images, masks = found
            repeated = np.resize(np.arange(len(masks)), shape.objects)
            return np.stack(degrade(rng, list(images))), masks[repeated]
    if assets.annotated:
        raise ValueError(f"no annotated object of {_SMALLEST_PX} pixels at {shape.size} px")
    return _generated_clip(rng, assets, shape)


def _generated_clip(rng: Rng, assets: Assets, shape: ClipShape) -> tuple[np.ndarray, np.ndarray]:
    while True:
        scene = random_scene(rng, assets, objects=shape.objects + 1, speed=rng.uniform(0.5, 1.8))
        times = rng.integers(0, 6) + rng.choice([1, 1, 2, 2, 3, 4]) * np.arange(shape.frames)
        aspect = float(rng.choice([1.0, 4 / 3, 16 / 9, 16 / 9, 9 / 16]))
        rendered = [scene.render(float(t), shape.size, shape.size, aspect) for t in times]
        ids = np.stack([frame.ids_hw for frame in rendered])
        areas = np.bincount(ids[0].ravel(), minlength=256)
        seen = [i for i in range(1, shape.objects + 3) if areas[i] >= _SMALLEST_PX]
        if seen:
            break
    chosen = rng.permutation(seen)[: shape.objects]
    chosen = np.resize(chosen, shape.objects)  # repeat when fewer are in view
    images = np.stack(degrade(rng, [frame.image_hwc for frame in rendered]))
    return images, np.stack([ids == i for i in chosen])


class ClipStream(IterableDataset[ClipBatch]):
    """An endless stream of batches; each worker draws from its own seed."""

    def __init__(self, assets: Assets, shape: ClipShape, seed: int) -> None:
        self.assets, self.shape, self.seed = assets, shape, seed

    def __iter__(self) -> Iterator[ClipBatch]:
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng((self.seed, 0 if worker is None else worker.id + 1))
        while True:
            clips = [make_clip(rng, self.assets, self.shape) for _ in range(self.shape.clips)]
            images, masks = (torch.from_numpy(np.stack(part)) for part in zip(*clips, strict=True))
            yield ClipBatch(images, masks)
            if self.assets.sprites:
                repaint(rng, self.assets, 1)
