"""Paint the sample for `track segment --measure`: a plate of vegetables, and a card beside it.

    python -m samples.make_meal

Writes samples/meal/: the picture, what a detector would say of it (boxes.json), the true masks
(truth.png: 1 card, 2 beetroot, 3 peas, 4 carrots), and what a square centimetre holds (meal.yaml is
written by hand). 18 pixels are a centimetre.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tracker.masks import from_index_mask, mask_box
from tracker.video import write_index_mask

WIDTH, HEIGHT, PX_PER_CM = 720, 540, 18
PLATE_CM, CARD_CM = 25.0, (8.56, 5.4)
LABELS = ("card", "beetroot", "peas", "carrots")
PLATE_XY = (300, 270)
_HERE = Path(__file__).parent / "meal"

Picture = NDArray[np.float32]
Mask = NDArray[np.uint8]


def _noise(rng: np.random.Generator, cell: tuple[int, int]) -> Picture:
    """Smooth noise of mean 0 and deviation about 1; `cell` is its width and height in pixels."""
    coarse = rng.normal(size=(HEIGHT // cell[1] + 3, WIDTH // cell[0] + 3)).astype(np.float32)
    return cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def _table(rng: np.random.Generator) -> Picture:
    grain = 14 * _noise(rng, (160, 5)) + 6 * _noise(rng, (40, 2))
    return np.array((122, 84, 56), np.float32) + grain[..., None]


def _disc(centre: tuple[int, int], radius: int) -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(mask, centre, radius, 1, -1, cv2.LINE_AA)
    return mask


def _blob(rng: np.random.Generator, centre: tuple[int, int], size: tuple[int, int]) -> Mask:
    """A heap: an ellipse with a wavy outline."""
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    waves = sum(rng.normal(0, 0.05) * np.cos(k * angles + rng.uniform(0, 6)) for k in (2, 3, 5, 7))
    radii = 1 + waves
    x = centre[0] + size[0] * radii * np.cos(angles)
    y = centre[1] + size[1] * radii * np.sin(angles)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(mask, [np.stack([x, y], axis=1).round().astype(np.int32)], 1)
    return mask


def _card() -> Mask:
    size = tuple(side * PX_PER_CM for side in CARD_CM)
    corners = cv2.boxPoints(((616, 130), size, 62.0))
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(mask, [corners.round().astype(np.int32)], 1)
    return mask


def _lay(picture: Picture, mask: Mask, colour: Picture) -> None:
    """Put something on the picture, with its shadow to the lower right."""
    shadow = cv2.GaussianBlur(np.roll(mask, (5, 5), (0, 1)).astype(np.float32), (0, 0), 4)
    picture *= 1 - 0.35 * shadow[..., None]
    edge = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)[..., None]
    picture[:] = (1 - edge) * picture + edge * colour


def _plain(colour: tuple[int, int, int]) -> Picture:
    return np.full((HEIGHT, WIDTH, 3), colour, np.float32)


def _pieces(
    rng: np.random.Generator,
    colour: tuple[int, int, int],
    spacing: int,
    axes: tuple[int, int],
    contrast: float,
) -> Picture:
    """A heap of many ellipses, each of its own brightness and angle."""
    picture = _plain(tuple(int(0.6 * c) for c in colour))  # type: ignore[arg-type]
    places = [(x, y) for y in range(0, HEIGHT, spacing) for x in range(0, WIDTH, spacing)]
    for x, y in (places[i] for i in rng.permutation(len(places))):
        middle = (x + int(rng.integers(-3, 4)), y + int(rng.integers(-3, 4)))
        light = 1 + contrast * rng.uniform(-1, 1)
        shade = tuple(min(255.0, c * light) for c in colour)
        cv2.ellipse(picture, middle, axes, rng.uniform(0, 180), 0, 360, shade, -1, cv2.LINE_AA)
    return picture


def paint() -> tuple[NDArray[np.uint8], Mask]:
    """The picture (RGB uint8) and its true index mask."""
    rng = np.random.default_rng(7)
    picture = _table(rng)
    radius = round(PLATE_CM * PX_PER_CM / 2)
    _lay(picture, _disc(PLATE_XY, radius), _plain((206, 214, 224)))
    _lay(picture, _disc(PLATE_XY, round(0.72 * radius)), _plain((188, 197, 209)))
    card = _plain((28, 60, 140))
    card[:, :, 1] += 10 * _noise(rng, (60, 60))
    things = [
        (_card(), card),
        (_blob(rng, (232, 222), (88, 76)), _pieces(rng, (150, 60, 120), 10, (8, 4), 0.12)),
        (_blob(rng, (372, 218), (62, 58)), _pieces(rng, (88, 160, 52), 11, (7, 7), 0.18)),
        (_blob(rng, (312, 348), (92, 52)), _pieces(rng, (236, 122, 34), 15, (10, 9), 0.12)),
    ]
    truth = np.zeros((HEIGHT, WIDTH), np.uint8)
    for number, (mask, colour) in enumerate(things, start=1):
        _lay(picture, mask, colour)
        truth[mask > 0] = number
    picture += rng.normal(0, 3, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8), truth


def main() -> None:
    _HERE.mkdir(exist_ok=True)
    picture, truth = paint()
    Image.fromarray(picture).save(_HERE / "meal.jpg", quality=90)
    write_index_mask(_HERE / "truth.png", truth)
    boxes = []
    for number, mask_hw in from_index_mask(truth).items():
        x1, y1, x2, y2 = mask_box(mask_hw) or (0, 0, 0, 0)
        box = [x1 - 3, y1 - 3, x2 + 3, y2 + 3]  # a detector's boxes are never tight
        boxes.append({"image": "meal.jpg", "box": box, "label": LABELS[number - 1], "score": 0.9})
    text = ",\n".join(json.dumps(box) for box in boxes)
    (_HERE / "boxes.json").write_text(f"[\n{text}\n]\n", "utf-8")


if __name__ == "__main__":
    main()
