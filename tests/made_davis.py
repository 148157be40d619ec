"""Annotated clips in DAVIS's layout, made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def davis_folder(folder: Path, clips: int = 1, frames: int = 5) -> Path:
    """Clips in DAVIS's layout: a red square that moves right, marked 3."""
    for clip in range(clips):
        images = folder / "JPEGImages" / "480p" / f"clip{clip}"
        masks = folder / "Annotations" / "480p" / f"clip{clip}"
        images.mkdir(parents=True)
        masks.mkdir(parents=True)
        for t in range(frames):
            ids = np.zeros((60, 80), np.uint8)
            ids[20:40, 10 + 4 * t : 40 + 4 * t] = 3
            picture = np.full((60, 80, 3), 90, np.uint8)
            picture[ids == 3] = (200, 30, 30)
            Image.fromarray(picture).save(images / f"{t:05d}.jpg", quality=95)
            indexed = Image.fromarray(ids, "P")
            indexed.putpalette([0, 0, 0, 10, 10, 10, 20, 20, 20, 200, 0, 0])
            indexed.save(masks / f"{t:05d}.png")
    return folder
