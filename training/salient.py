"""Photographs with a mask of the one thing that stands out in each: material for `training.bank`.

    python -m training.salient PHOTOS CLIPS --network u2net.onnx --output FOLDER

Masks are those of a saliency network in ONNX: it takes images of 320 px, normalised as ImageNet's,
and gives a map from 0 to 1, as U2-Net does (Qin et al. 2020, https://arxiv.org/abs/2005.09007). A
picture is kept only where the network is sure, and sees one thing of a fair size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from training.assets import IMAGE_ENDINGS
from training.held_out import content_hash, refuse_held_out

SIDE = 320  # pixels, of the network's input
SHORT_SIDE = 360  # of what is written, at most
FRAME_STEP = 6  # of clips
SMALLEST, TALLEST = 150, 2.2  # short side in pixels, and long over short
COLOURS = 500  # of 96 x 96 pixels in steps of 8: fewer are a drawing
AREA = (0.02, 0.75)
DOUBT = 0.14  # mean distance from 0 or 1 wherever the map is above 0.05
ONE_THING = 0.85  # of the mask, in its largest part
ALIKE = 0.97  # correlation of 16 x 16 thumbnails

Image = NDArray[np.uint8]
Saliency = Callable[[Image], NDArray[np.float32]]


def saliency_of(network: Path) -> Saliency:
    """A function from a BGR uint8 image to its saliency (`SIDE`, `SIDE`), 0 to 1."""
    net = cv2.dnn.readNetFromONNX(str(network))
    first = net.getUnconnectedOutLayersNames()[0]

    def saliency(image_hw3: Image) -> NDArray[np.float32]:
        rgb = cv2.resize(image_hw3[..., ::-1], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        scaled = rgb.astype(np.float32) / max(float(rgb.max()), 1e-6)
        normal = (scaled - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        net.setInput(normal.transpose(2, 0, 1)[None].astype(np.float32))
        found = net.forward(first)[0, 0]
        return np.asarray((found - found.min()) / (np.ptp(found) + 1e-6), np.float32)

    return saliency


def salient_mask(image_hw3: Image, saliency: Saliency) -> NDArray[np.uint8] | None:
    """0 or 1 (h, w): the one thing that stands out, or None where that is in doubt."""
    map_hw = saliency(image_hw3)
    seen = map_hw > 0.05
    doubt = np.minimum(map_hw, 1 - map_hw)[seen].mean() if seen.any() else 1.0
    if not AREA[0] < (map_hw > 0.5).mean() < AREA[1] or doubt > DOUBT:
        return None
    height, width = image_hw3.shape[:2]
    enlarged = cv2.resize(map_hw, (width, height), interpolation=cv2.INTER_CUBIC)
    mask = (enlarged > 0.5).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if count < 2 or areas.max() < ONE_THING * areas.sum():
        return None
    parts = 1 + np.flatnonzero(areas > 0.05 * areas.max())
    return np.isin(labels, parts).astype(np.uint8)


def files_in(folders: Iterable[Path]) -> list[Path]:
    """The images and clips anywhere below the folders."""
    endings = IMAGE_ENDINGS | {".mp4"}
    return [p for f in folders for p in sorted(f.rglob("*")) if p.suffix.lower() in endings]


def pictures(path: Path, frames: int | None = None) -> Iterator[tuple[str, Image]]:
    """BGR pictures of a file that may be photographs, named after its content.

    Of a clip every `FRAME_STEP`-th frame, or about so many `frames`, evenly spread.
    """
    refuse_held_out(path)
    name = f"{content_hash(path)[:6]}_{path.stem[:24]}"
    if path.suffix.lower() == ".mp4":
        reader, index = cv2.VideoCapture(str(path)), 0
        count = int(reader.get(cv2.CAP_PROP_FRAME_COUNT))
        step = (count // frames if frames else 0) or FRAME_STEP
        while (read := reader.read())[0]:
            if index % step == 0:
                yield f"{name}_{index:04d}", np.asarray(read[1], np.uint8)
            index += 1
        return
    stored: Any = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.ndim < 3 or stored.dtype != np.uint8:
        return
    if stored.shape[2] == 4 and (stored[..., 3] < 128).mean() > 0.02:
        return  # a cut-out, not a photograph
    yield name, stored[..., :3]


def usable(image_hw3: Image) -> Image | None:
    """The picture as it is kept, or None for one that is small, long or drawn."""
    short, long = sorted(image_hw3.shape[:2])
    if short < SMALLEST or long / short > TALLEST:
        return None
    factor = min(1.0, SHORT_SIDE / short)
    shrunk = cv2.resize(image_hw3, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    few = cv2.resize(shrunk, (96, 96), interpolation=cv2.INTER_NEAREST) // 8
    drawn = len(np.unique(few.reshape(-1, 3), axis=0)) < COLOURS
    return None if drawn else np.asarray(shrunk, np.uint8)


def thumbnail(image_hw3: Image) -> NDArray[np.float32]:
    """256 grey values of mean 0 and deviation 1."""
    grey = cv2.cvtColor(image_hw3, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (16, 16), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    return np.asarray((small - small.mean()) / (small.std() + 1e-3), np.float32)


def label(files: list[Path], output: Path, saliency: Saliency) -> int:
    """Write `output/images` and `output/masks`; returns how many pictures were kept."""
    for name in ("images", "masks"):
        (output / name).mkdir(parents=True, exist_ok=True)
    known: list[NDArray[np.float32]] = []
    for path in files:
        for name, picture in pictures(path):
            image = usable(picture)
            if image is None:
                continue
            thumb = thumbnail(image)
            if any((thumb * other).mean() > ALIKE for other in known):
                continue
            mask = salient_mask(image, saliency)
            if mask is not None:
                known.append(thumb)
                quality = [cv2.IMWRITE_JPEG_QUALITY, 92]
                cv2.imwrite(str(output / "images" / f"{name}.jpg"), image, quality)
                cv2.imwrite(str(output / "masks" / f"{name}.png"), mask * 255)
    return len(known)


_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("folders", nargs=-1, required=True, type=_FOLDER)
@click.option("--network", required=True, type=_FILE, help="In ONNX.")
@click.option("--output", type=click.Path(path_type=Path), required=True)
def main(folders: tuple[Path, ...], network: Path, output: Path) -> None:
    """Find the photographs in FOLDERS in which one thing stands out, and its mask."""
    files = files_in(folders)
    kept = label(files, output, saliency_of(network))
    click.echo(f"{output}: {kept} pictures of {len(files)} files")


if __name__ == "__main__":
    main()
