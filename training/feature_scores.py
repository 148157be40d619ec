"""How well features find an object again: measured on pictures whose masks are known.

A case is a reference and a query that show the same object. The distances and the threshold are
those of the reference memory: L2-normalised patches, a Euclidean distance under 0.8 is a match.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Dinov2Model

from training.bank import Bank
from training.degrading import degrade_clips
from training.feature_views import PATCH, paired_scenes
from training.paths import Dice
from training.textures import Image

# Statistics of ImageNet in RGB, as in DINOv2's own training (dinov2/data/transforms.py).
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
LONG_SIDE = 448
MATCH_DISTANCE = 0.8
_BEST = 5  # patches that would become points
_GROUP = 10  # memories that compete in retrieval
_GRID_HW = (18, 32)
_SMALLEST_PX = 1200


@dataclass(frozen=True, eq=False)
class Picture:
    """An image and the mask of one object in it."""

    image_hwc: Image
    mask_hw: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Described:
    image_d: NDArray[np.float32]
    patches_nd: NDArray[np.float32]
    inside_n: NDArray[np.bool_]


def to_input(pixels_v3hw: torch.Tensor) -> torch.Tensor:
    """RGB uint8 to the model's normalised float32."""
    mean, std = (torch.tensor(v, device=pixels_v3hw.device)[:, None, None] for v in (MEAN, STD))
    return (pixels_v3hw.float() / 255 - mean) / std


@torch.inference_mode()
def describe(model: Dinov2Model, picture: Picture) -> _Described:
    """Image feature, patch features, and which patches lie on the object by at least half."""
    height, width = picture.mask_hw.shape
    scale = LONG_SIDE / max(height, width) / PATCH
    rows, columns = max(4, round(height * scale)), max(4, round(width * scale))
    size = (columns * PATCH, rows * PATCH)
    image = cv2.resize(picture.image_hwc, size, interpolation=cv2.INTER_AREA)
    pixels = to_input(torch.from_numpy(image).permute(2, 0, 1)[None].to(model.device))
    tokens = model(pixel_values=pixels).last_hidden_state[0].float()
    tokens_nd = torch.nn.functional.normalize(tokens, dim=-1).cpu().numpy()
    mask = picture.mask_hw.astype(np.float32)
    share = cv2.resize(mask, (columns, rows), interpolation=cv2.INTER_AREA).ravel()
    return _Described(tokens_nd[0], tokens_nd[1:], share >= min(0.5, float(share.max())))


def score(model: Dinov2Model, cases: Sequence[tuple[Picture, Picture]]) -> dict[str, float]:
    """Figures over all (reference, query) cases; every ten cases are each other's rivals.

    `best5_on_object`: share of the five query patches with the highest contrast that lie on the
    object; contrast = mean of the 3 best cosines to the reference's inside minus to its outside.
    `image_top1`, `sparse_top1`: the right reference comes first by the image feature, and by
    match ratio x (1 - mean distance) of its inside patches. `same_*` and `other_*`: cosine of an
    inside reference patch to its nearest in the right, and in a foreign, query; `any_cosine`: of
    random inside patches to random patches of foreign queries.
    """
    model.eval()
    described = [(describe(model, a), describe(model, b)) for a, b in cases]
    rows = []
    for start in range(0, len(described), _GROUP):
        rows += _score_group(described[start : start + _GROUP])
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def _score_group(group: list[tuple[_Described, _Described]]) -> list[dict[str, float]]:
    rows = []
    for index, (_, query) in enumerate(group):
        nearest = [(r.patches_nd[r.inside_n] @ query.patches_nd.T).max(1) for r, _ in group]
        foreign = np.concatenate([n for i, n in enumerate(nearest) if i != index] or [[0.0]])
        images = [float(r.image_d @ query.image_d) for r, _ in group]
        everything = query.patches_nd.mean(0)
        others = [r for i, (r, _) in enumerate(group) if i != index]
        random = [float((r.patches_nd[r.inside_n] @ everything).mean()) for r in others]
        rows.append(
            {
                "best5_on_object": _best_on_object(group[index][0], query),
                "image_top1": float(np.argmax(images) == index),
                "sparse_top1": float(np.argmax([_sparse(n) for n in nearest]) == index),
                "same_cosine": float(np.median(nearest[index])),
                "same_matched": float((_distance(nearest[index]) < MATCH_DISTANCE).mean()),
                "other_cosine": float(np.median(foreign)),
                "other_matched": float((_distance(foreign) < MATCH_DISTANCE).mean()),
                "any_cosine": float(np.mean(random or [0.0])),
            }
        )
    return rows


def _best_on_object(reference: _Described, query: _Described) -> float:
    cosines = query.patches_nd @ reference.patches_nd.T
    inside, outside = cosines[:, reference.inside_n], cosines[:, ~reference.inside_n]
    contrast = _top3(inside) - _top3(outside)
    return float(query.inside_n[np.argsort(-contrast)[:_BEST]].mean())


def _top3(cosines: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.sort(cosines, axis=1)[:, -3:].mean(1) if cosines.size else np.zeros(len(cosines))


def _distance(cosine: NDArray) -> NDArray:
    return np.sqrt(np.maximum(2 - 2 * cosine, 0))


def _sparse(nearest: NDArray) -> float:
    distance = _distance(nearest)
    matched = distance < MATCH_DISTANCE
    return float(matched.mean() * (1 - distance[matched].mean())) if matched.any() else 0.0


def drawn_cases(bank: Bank, count: int, seed: int) -> list[tuple[Picture, Picture]]:
    """Pictures of one sprite each, among others, the query before another background."""
    dice = Dice(torch.Generator(bank.device).manual_seed(seed))
    cases: list[tuple[Picture, Picture]] = []
    while len(cases) < count:
        scenes = paired_scenes(bank, dice, _GROUP, _GRID_HW)
        scenes.shown_bl[:, 0] = True
        size = (_GRID_HW[0] * PATCH, _GRID_HW[1] * PATCH)
        drawn = scenes.draw(dice.uniform((2 * _GROUP, 1), 0, 8), size)
        masks = (drawn.layers_bthw[:, 0] == 1).cpu().numpy()
        images = _numpy(degrade_clips(drawn.images_bt3hw, dice)[:, 0])
        shown = [Picture(image, mask) for image, mask in zip(images, masks, strict=True)]
        pairs = zip(shown[:_GROUP], shown[_GROUP:], strict=True)
        cases += [pair for pair in pairs if all(p.mask_hw.sum() > _SMALLEST_PX for p in pair)]
    return cases[:count]


def followed_cases(bank: Bank, count: int) -> list[tuple[Picture, Picture]]:
    """The first and the last frame of windows of the bank's clips, and their largest region."""
    cases: list[tuple[Picture, Picture]] = []
    windows = bank.windows
    for number in range(0 if windows is None else min(count, len(windows.clip_w))):
        frames = bank.clips[int(windows.clip_w[number])][windows.frames_wt[number]]
        masks = windows.masks_wrthw[number]
        region = (
            masks[masks.sum((1, 2, 3)).argmax()].repeat_interleave(2, 1).repeat_interleave(2, 2)
        )
        ends = zip(_numpy(frames[[-1, 0]]), region[[-1, 0]].cpu().numpy() > 0, strict=True)
        last, first = (Picture(image, mask) for image, mask in ends)
        if min(last.mask_hw.sum(), first.mask_hw.sum()) > _SMALLEST_PX:
            cases.append((last, first))
    return cases


def _numpy(images_n3hw: torch.Tensor) -> NDArray[np.uint8]:
    return np.ascontiguousarray(images_n3hw.permute(0, 2, 3, 1).cpu().numpy())
