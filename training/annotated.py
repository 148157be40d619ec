"""Clips that somebody annotated: folders in DAVIS's layout, as `track export` writes them.

`JPEGImages/<resolution>/<clip>/*.jpg` and `Annotations/<resolution>/<clip>/*.png` of equal stems;
the folders of the resolution may be missing. Masks are index masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pictures

from training.held_out import refuse_held_out
from training.textures import Image, Rng


@dataclass(frozen=True, eq=False)
class AnnotatedClip:
    """Files of one clip, in the order of time: images, and their index masks."""

    images: tuple[Path, ...]
    masks: tuple[Path, ...]


def annotated_clips(folder: Path) -> list[AnnotatedClip]:
    """The clips below `folder` that have at least two annotated frames.

    Raises:
        ValueError: when there is none, or a file is measuring material by its content.
    """
    found = []
    for masks in sorted({p.parent for p in (folder / "Annotations").rglob("*.png")}):
        images = folder / "JPEGImages" / masks.relative_to(folder / "Annotations")
        pairs = [
            (image, mask)
            for mask in sorted(masks.glob("*.png"))
            if (image := images / f"{mask.stem}.jpg").exists()
        ]
        if len(pairs) > 1:
            refuse_held_out(pairs[0][0], by_name=False)
            found.append(AnnotatedClip(*zip(*pairs, strict=True)))
    if not found:
        raise ValueError(f"{folder}: no clip with JPEGImages and Annotations of equal names")
    return found


def random_window(
    rng: Rng, clip: AnnotatedClip, frames: int, objects: int, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]] | None:
    """A few frames of `clip`, a random part of the picture, and objects in view on the first.

    Returns:
        images (t, size, size, 3) uint8 RGB and masks (k, t, size, size) bool, or None when no
        object is in view. A clip with fewer frames than asked for is played back and forth.
    """
    stride = int(rng.choice([1, 1, 2, 3]))
    there_and_back = [*range(len(clip.images)), *range(len(clip.images) - 2, 0, -1)]
    start = int(rng.integers(len(there_and_back)))
    numbers = np.resize(np.roll(there_and_back, -start), stride * frames)[::stride]
    shown = [_read(clip.images[i], clip.masks[i]) for i in numbers]
    height, width = shown[0][1].shape
    h, w = (int(side * rng.uniform(0.7, 1.0)) for side in (height, width))
    y, x = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    step = int(rng.choice([1, -1]))
    crops = [
        tuple(np.ascontiguousarray(part[y : y + h, x : x + w][:, ::step]) for part in frame)
        for frame in shown
    ]
    images = [cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image, _ in crops]
    ids = np.stack(
        [cv2.resize(ids, (size, size), interpolation=cv2.INTER_NEAREST) for _, ids in crops]
    )
    seen = rng.permutation(np.setdiff1d(ids[0], [0]))[:objects]
    if not len(seen):
        return None
    return np.stack(images), np.stack([ids == number for number in seen])


def _read(image: Path, mask: Path) -> tuple[Image, NDArray[np.uint16]]:
    rgb = cv2.cvtColor(cv2.imread(str(image), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    # Pillow keeps the palette's indices; OpenCV would turn them into colours.
    return np.asarray(rgb, np.uint8), np.asarray(Pictures.open(mask)).astype(np.uint16)
