"""The material that random scenes are made of: sprites, still backgrounds, clips, cut-outs.

Without any folder everything is painted. Folders of photographs, clips and cut-outs (images with
masks) that the caller names add real surfaces. A part of each kind is held out for validation.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.held_out import refuse_held_out
from training.objects import PAINTERS, SIZE, Sprite
from training.scenes import Camera, Motion
from training.textures import Image, Rng, random_texture

_SHORT_SIDE = 288
IMAGE_ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}

Portrait = tuple[Image, NDArray[np.uint8]]
Picture = tuple[Image, list[NDArray[np.uint8]]]


@dataclass(frozen=True)
class Folders:
    """Where real material lies.

    A folder of `cutouts` holds `images/` and `masks/` with equal stems, or PNG files whose alpha is
    the mask. A folder of `pictures` holds `images/`, and `masks/STEM/*.png` for each of them, one
    for every thing in it; what is before the first underscore of a stem says which are of one
    source.
    """

    images: tuple[Path, ...] = ()
    clips: tuple[Path, ...] = ()
    cutouts: tuple[Path, ...] = ()
    pictures: tuple[Path, ...] = ()


@dataclass(frozen=True, eq=False)
class Assets:
    """Lists to draw from; each scene takes what it needs.

    `cutouts` has one list per folder, and a folder counts as much as another, however many cut-outs
    it holds. `portraits` are whole photographs with the mask (0 or 1) of the one object in them, a
    list per folder that has such; what is cut out of them comes first in `cutouts`. `pictures` are
    photographs with the masks of several things in them, which may overlap.
    """

    sprites: list[Sprite]
    photos: list[Image]
    clips: list[list[Image]]
    cutouts: list[list[Sprite]]
    portraits: list[list[Portrait]]
    pictures: list[Picture] = field(default_factory=list)

    def skin(self, rng: Rng) -> Image:
        """A texture for a painted sprite: procedural, or cut from a photograph."""
        if self.photos and rng.random() < 0.3:
            photo = self.photos[int(rng.integers(len(self.photos)))]
            side = int(min(photo.shape[:2]) * rng.uniform(0.2, 0.7))
            y = int(rng.integers(photo.shape[0] - side))
            x = int(rng.integers(photo.shape[1] - side))
            return cv2.resize(photo[y : y + side, x : x + side], (SIZE, SIZE))
        return random_texture(rng, SIZE)

    def sprite(self, rng: Rng) -> Sprite:
        if self.cutouts and rng.random() < 0.45:
            folder = self.cutouts[int(rng.integers(len(self.cutouts)))]
            return folder[int(rng.integers(len(folder)))]
        return self.sprites[int(rng.integers(len(self.sprites)))]

    def background(self, rng: Rng) -> list[Image]:
        """One still image, or the frames of a playing clip."""
        draw = rng.random()
        if self.clips and draw < 0.2:
            clip = self.clips[int(rng.integers(len(self.clips)))]
            start = int(rng.integers(len(clip)))
            return clip[start:] + clip[:start]
        if self.photos and draw < 0.45:
            return [self.photos[int(rng.integers(len(self.photos)))]]
        return [random_texture(rng, _SHORT_SIDE)]


def load_assets(
    folders: Folders, *, sprites: int, seed: int, split: str, frame_step: int = 2
) -> Assets:
    """Read and paint the material of one split, `train` or `val`.

    Every tenth photograph and cut-out, one in ten sources of pictures and every ninth clip are
    validation material; painted sprites of the two splits come from different seeds.
    """
    rng = np.random.default_rng((seed, split == "val"))
    held = {"train": False, "val": True}[split]
    photo_paths = _listed(folders.images)
    photos = [_photo(p) for i, p in enumerate(photo_paths) if (i % 10 == 5) == held]
    clip_paths = [p for folder in folders.clips for p in sorted(folder.glob("*.mp4"))]
    clips = [_clip(p, frame_step) for i, p in enumerate(clip_paths) if (i % 9 == 4) == held]
    portraits = [found for folder in folders.cutouts if (found := _portraits(folder, held))]
    cutouts = [[_cutout(image, mask_hw) for image, mask_hw in kind] for kind in portraits]
    drawn = [kind for folder in folders.cutouts if (kind := _drawn_cutouts(folder, held))]
    stills = photos + [image for kind in portraits for image, _ in kind]
    stills += [clip[0] for clip in clips]
    kinds = [*cutouts, *drawn]
    pictures = [found for folder in folders.pictures for found in _pictures(folder, held)]
    assets = Assets([], stills, clips, kinds, portraits, pictures)
    assets.sprites.extend(_paint(rng, assets) for _ in range(sprites))
    return assets


def _paint(rng: Rng, assets: Assets) -> Sprite:
    painter = list(PAINTERS.values())[int(rng.integers(len(PAINTERS)))]
    return painter(rng, assets.skin(rng))


def _listed(folders: Iterable[Path]) -> list[Path]:
    paths = (p for folder in folders for p in sorted(folder.rglob("*")))
    return [p for p in paths if p.suffix.lower() in IMAGE_ENDINGS]


def _photo(path: Path) -> Image:
    refuse_held_out(path)
    return _shrink(np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]))


def _shrink(image: NDArray[np.uint8]) -> Image:
    factor = _SHORT_SIDE / min(image.shape[:2])
    shrunk = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, np.uint8)


def _clip(path: Path, frame_step: int) -> list[Image]:
    import av  # here, for a machine that draws from a packed bank has no need of it

    refuse_held_out(path)
    with av.open(str(path)) as container:
        frames = container.decode(video=0)
        return [
            _shrink(f.to_ndarray(format="rgb24"))
            for i, f in enumerate(frames)
            if i % frame_step == 0
        ]


def _mask(path: Path, image: Image) -> NDArray[np.uint8]:
    """The mask of `image`, 0 or 1, at the image's size."""
    refuse_held_out(path)
    stored = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    inside = (stored > (127 if stored.max() > 1 else 0)).astype(np.float32)
    return (cv2.resize(inside, image.shape[1::-1]) > 0.5).astype(np.uint8)


def _portraits(folder: Path, held: bool) -> list[Portrait]:
    """The photographs of `folder/images` with their masks, of one split."""
    found = []
    for i, path in enumerate(_listed([folder / "images"])):
        if (i % 10 == 5) == held:
            image = _photo(path)
            mask_hw = _mask(folder / "masks" / f"{path.stem}.png", image)
            if mask_hw.any():
                found.append((image, mask_hw))
    return found


def _pictures(folder: Path, held: bool) -> list[Picture]:
    """The photographs of `folder/images` with the masks of their things, of one split."""
    found = []
    for path in _listed([folder / "images"]):
        source = path.stem.split("_")[0]
        if (zlib.crc32(source.encode()) % 10 == 5) == held:
            image = _photo(path)
            masks = [_mask(p, image) for p in _listed([folder / "masks" / path.stem])]
            found.append((image, masks))
    return found


def _drawn_cutouts(folder: Path, held: bool) -> list[Sprite]:
    """The PNG files below `folder` whose alpha is the mask of one solid object, of one split."""
    if (folder / "masks").is_dir():
        return []
    paths = [p for i, p in enumerate(sorted(folder.rglob("*.png"))) if (i % 10 == 5) == held]
    return [sprite for path in paths if (sprite := _drawn_cutout(path)) is not None]


def _drawn_cutout(path: Path) -> Sprite | None:
    """RGBA, its longer side at most `SIZE`; None when there is no solid object in it."""
    refuse_held_out(path)
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint8 or stored.ndim != 3 or stored.shape[2] != 4:
        return None
    solid_hw = (stored[..., 3] > 127).astype(np.uint8)
    x, y, w, h = cv2.boundingRect(solid_hw)
    if min(w, h) < 24 or not 0.2 < solid_hw.sum() / (w * h) < 0.95:
        return None  # thin, scattered, or a picture with a background of its own
    sprite = cv2.cvtColor(stored[y : y + h, x : x + w], cv2.COLOR_BGRA2RGBA)
    factor = min(1.0, SIZE / max(w, h))
    shrunk = cv2.resize(sprite, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, np.uint8)


def _cutout(image: Image, mask_hw: NDArray[np.uint8]) -> Sprite:
    x, y, w, h = cv2.boundingRect(mask_hw)
    rgba = np.dstack([image, cv2.GaussianBlur(mask_hw * 255, (0, 0), 0.7)])
    return rgba[y : y + h, x : x + w]


def random_motion(rng: Rng, *, speed: float = 1.0) -> Motion:
    """A path that starts in view and may leave it."""
    grow = rng.normal(0, 0.012) * speed
    return Motion(
        start=(rng.uniform(0.12, 0.88), rng.uniform(0.12, 0.88)),
        velocity=tuple(rng.normal(0, 0.016 * speed, 2)),
        sway=tuple(np.abs(rng.normal(0, 0.05, 2))),
        sway_rate=rng.uniform(0.01, 0.08) * speed,
        sway_phase=rng.random(),
        size=float(np.exp(rng.uniform(np.log(0.12), np.log(0.7)))),
        growth=float(1 + np.clip(grow, -0.03, 0.03)),
        squash=rng.uniform(0.7, 1.3),
        angle=rng.normal(0, 0.5) if rng.random() < 0.7 else rng.uniform(0, 2 * np.pi),
        spin=rng.normal(0, 0.03) * speed,
        rock=rng.normal(0, 0.1),
        wobble=abs(rng.normal(0, 0.05)) if rng.random() < 0.5 else 0.0,
        wobble_rate=rng.uniform(0.02, 0.12) * speed,
        wobble_waves=rng.uniform(0.4, 1.5),
        flip=bool(rng.random() < 0.5),
    )


def random_camera(rng: Rng, *, speed: float = 1.0) -> Camera:
    return Camera(
        start=tuple(rng.uniform(0.35, 0.65, 2)),
        velocity=tuple(rng.normal(0, 0.005 * speed, 2)),
        shake=abs(rng.normal(0, 0.004)) if rng.random() < 0.3 else 0.0,
        zoom=rng.uniform(1.0, 2.0),
        zoom_rate=float(1 + rng.normal(0, 0.004)),
        angle=rng.normal(0, 0.1),
        spin=rng.normal(0, 0.004),
    )
