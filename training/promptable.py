"""Photographs and frames with the masks of the things in them: pictures for `training.bank`.

    python -m training.promptable PHOTOS CLIPS --encoder encoder.onnx --decoder decoder.onnx
        --saliency u2net.onnx --output PICTURES

Masks are those of a promptable network in the ONNX form of Segment Anything (Kirillov et al. 2023,
https://arxiv.org/abs/2304.02643), such as MobileSAM (Zhang et al. 2023,
https://arxiv.org/abs/2306.14289). What stands out is asked for by its box, which gives whole
things; what lies under a grid of points gives things and parts. A mask is kept only where the
network is sure. The command needs the package onnxruntime, and goes on where it was interrupted.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask, iou
from training.salient import Saliency, files_in, pictures, saliency_of, usable
from training.textures import Rng

SIDE = 1024  # pixels, longer side of what the encoder sees
MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of RGB
FRAMES = 8  # of a clip
GRID = (4, 3)  # points along the longer and the shorter side
STANDING_OUT = 4  # boxes at most
SURE_OF_BOX, SURE_OF_POINT = 0.8, 0.87  # least predicted IoU
STABLE = 0.85  # IoU of the masks of logits above 1 and above -1
AREA = (0.004, 0.6)
ONE_THING = 0.85  # of the mask, in its largest part
SPECK = 0.002  # of the picture: smaller holes are filled
SAME = 0.8  # IoU of masks of one thing
_PLACE = 0.35  # how far a point moves from the middle of its cell

Image = NDArray[np.uint8]
PIXEL, CORNER = (1.0, -1.0), (2.0, 3.0)  # labels of a point and its padding, and of a box


class Promptable(Protocol):
    """A network that gives masks for prompts in one picture."""

    def look(self, image_hw3: Image) -> None:
        """Take a BGR picture."""

    def answer(
        self, points_n2: Sequence[tuple[float, float]], labels_n: Sequence[float]
    ) -> tuple[NDArray[np.float32], float]:
        """Mask logits (h, w) of the whole picture, at a size of its own, and the predicted IoU."""


class SegmentAnything:
    """The two networks that Segment Anything is exported as."""

    def __init__(self, encoder: Path, decoder: Path) -> None:
        try:
            import onnxruntime  # here, for nothing else of the project has need of it
        except ImportError as error:
            raise click.ClickException("run `pip install onnxruntime` first") from error
        self._encoder, self._decoder = (
            onnxruntime.InferenceSession(str(path)) for path in (encoder, decoder)
        )
        self._input = self._encoder.get_inputs()[0].name
        self._scale, self._size_hw = 1.0, (0, 0)
        self._embedding: Any = None

    def look(self, image_hw3: Image) -> None:
        height, width = image_hw3.shape[:2]
        self._scale = SIDE / max(height, width)
        self._size_hw = round(height * self._scale), round(width * self._scale)
        enlarged = cv2.resize(image_hw3[..., ::-1], self._size_hw[::-1]).astype(np.float32)
        padded = np.zeros((SIDE, SIDE, 3), np.float32)
        padded[: enlarged.shape[0], : enlarged.shape[1]] = (enlarged - MEAN) / DEVIATION
        seen = np.ascontiguousarray(padded.transpose(2, 0, 1)[None])
        (self._embedding,) = self._encoder.run(None, {self._input: seen})

    def answer(
        self, points_n2: Sequence[tuple[float, float]], labels_n: Sequence[float]
    ) -> tuple[NDArray[np.float32], float]:
        quarter = SIDE // 4
        prompt = {
            "image_embeddings": self._embedding,
            "point_coords": np.array([points_n2], np.float32) * self._scale,
            "point_labels": np.array([labels_n], np.float32),
            "mask_input": np.zeros((1, 1, quarter, quarter), np.float32),
            "has_mask_input": np.zeros(1, np.float32),
            "orig_im_size": np.array([quarter, quarter], np.float32),
        }
        ious, logits = self._decoder.run(["iou_predictions", "low_res_masks"], prompt)
        height, width = (round(side / 4) for side in self._size_hw)
        return logits[0, 0, :height, :width], float(ious[0, 0])


def things_in(
    image_hw3: Image, network: Promptable, maps: Sequence[NDArray[np.float32]], rng: Rng
) -> list[NDArray[np.uint8]]:
    """Masks (0 or 1, h, w) of what stands out in a BGR picture, then of what lies under points.

    What stands out is above 0.5 on one of the `maps`, which may be of any size.
    """
    size_hw = image_hw3.shape[0], image_hw3.shape[1]
    network.look(image_hw3)
    found: list[BoolMask] = []

    def ask(points: Sequence[tuple[float, float]], labels: Sequence[float], sure: float) -> None:
        logits, predicted = network.answer(points, labels)
        mask_hw = sound_mask(logits, size_hw) if predicted >= sure else None
        if mask_hw is not None and all(iou(mask_hw, other) <= SAME for other in found):
            found.append(mask_hw)

    for x1, y1, x2, y2 in (box for map_hw in maps for box in standing_out(map_hw, size_hw)):
        ask([(x1, y1), (x2, y2)], CORNER, SURE_OF_BOX)
    for x, y in _grid(size_hw, rng):
        over = sum(bool(mask_hw[int(y), int(x)]) for mask_hw in found)
        # A part of what was found is asked for now and then, and a part of a part never.
        if over == 0 or (over == 1 and rng.random() < 0.5):
            ask([(x, y), (0, 0)], PIXEL, SURE_OF_POINT)
    return [mask_hw.astype(np.uint8) for mask_hw in found]


def sound_mask(logits: NDArray[np.float32], size_hw: tuple[int, int]) -> BoolMask | None:
    """The mask at that size, without specks; None where it is unstable, torn, tiny or scenery."""
    enlarged = cv2.resize(logits, size_hw[::-1])
    inner, outer = np.count_nonzero(enlarged > 1), np.count_nonzero(enlarged > -1)
    count, labels, stats, _ = cv2.connectedComponentsWithStats((enlarged > 0).astype(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]
    if count < 2 or inner < STABLE * outer or areas.max() < ONE_THING * areas.sum():
        return None
    mask_hw = np.isin(labels, 1 + np.flatnonzero(areas > 0.05 * areas.max()))
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~mask_hw).astype(np.uint8))
    holes = np.flatnonzero(stats[:, cv2.CC_STAT_AREA] < SPECK * mask_hw.size)
    mask_hw |= np.isin(labels, holes[holes > 0])
    edges = (mask_hw[0], mask_hw[-1], mask_hw[:, 0], mask_hw[:, -1])
    cut_off = sum(edge.mean() > 0.3 for edge in edges)
    area = mask_hw.mean()
    scenery = cut_off > 2 or (cut_off == 2 and area > 0.3)
    return mask_hw if AREA[0] < area < AREA[1] and not scenery else None


def standing_out(
    map_hw: NDArray[np.float32], size_hw: tuple[int, int]
) -> list[tuple[int, int, int, int]]:
    """Boxes (x1, y1, x2, y2 in pixels of the picture) of the largest parts of a saliency map."""
    enlarged = cv2.resize(map_hw, size_hw[::-1])
    _, _, stats, _ = cv2.connectedComponentsWithStats((enlarged > 0.5).astype(np.uint8))
    parts = sorted(stats[1:].tolist(), key=lambda part: -part[cv2.CC_STAT_AREA])
    large = [part for part in parts if part[cv2.CC_STAT_AREA] > AREA[0] * enlarged.size]
    return [(x, y, x + w, y + h) for x, y, w, h, _ in large[:STANDING_OUT]]


def _grid(size_hw: tuple[int, int], rng: Rng) -> list[tuple[float, float]]:
    """A point near the middle of every cell, in random order."""
    height, width = size_hw
    columns, rows = GRID if width >= height else GRID[::-1]
    cells = [(column, row) for row in range(rows) for column in range(columns)]
    places = np.array(cells) + 0.5 + rng.uniform(-_PLACE, _PLACE, (len(cells), 2))
    pixels = places / (columns, rows) * (width, height)
    return [(x, y) for x, y in rng.permutation(pixels).tolist()]


def label(files: list[Path], output: Path, network: Promptable, saliency: Saliency) -> int:
    """Write `images/STEM.jpg` and `masks/STEM/NN.png`; returns how many pictures there are now."""
    for path in files:
        for stem, picture in pictures(path, frames=FRAMES):
            written = output / "images" / f"{stem}.jpg"
            image = None if written.exists() else usable(picture)
            if image is None:
                continue
            rng = np.random.default_rng(zlib.crc32(stem.encode()))
            masks = things_in(image, network, [saliency(image)], rng)
            for number, mask_hw in enumerate(masks):
                drawn = output / "masks" / stem / f"{number:02}.png"
                drawn.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(drawn), mask_hw * 255)
            if masks:  # last, so that a picture that is there has its masks
                written.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(written), image, [cv2.IMWRITE_JPEG_QUALITY, 92])
    return len(list((output / "images").glob("*.jpg")))


_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("folders", nargs=-1, required=True, type=_FOLDER)
@click.option("--encoder", required=True, type=_FILE, help="In ONNX.")
@click.option("--decoder", required=True, type=_FILE, help="In ONNX, with one mask.")
@click.option("--saliency", "salient", required=True, type=_FILE, help="In ONNX.")
@click.option("--output", type=click.Path(path_type=Path), required=True)
def main(
    folders: tuple[Path, ...], encoder: Path, decoder: Path, salient: Path, output: Path
) -> None:
    """Find the things in the photographs and clips in FOLDERS, and their masks."""
    files = files_in(folders)
    kept = label(files, output, SegmentAnything(encoder, decoder), saliency_of(salient))
    click.echo(f"{output}: {kept} pictures of {len(files)} files")


if __name__ == "__main__":
    main()
