"""Prompts drawn from true masks, as SAM2 is trained: boxes, clicks, and corrections of errors.

Points and boxes use SAM2's input form: coordinates (n, p, 2) in model pixels and labels (n, p):
1 positive, 0 negative, 2 and 3 the corners of a box, -1 padding.
"""

from __future__ import annotations

from typing import Literal

import torch

PromptKind = Literal["mask", "box", "points", "box+points"]
Points = dict[str, torch.Tensor]


def sample_pixel(weights_nhw: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """One pixel centre `xy` per mask, drawn in proportion to the weights; shape (n, 1, 2)."""
    n, _, width = weights_nhw.shape
    flat = weights_nhw.reshape(n, -1).float() + 1e-9
    index = torch.multinomial(flat, 1, generator=generator)
    return torch.stack([index % width, index // width], dim=-1).float() + 0.5


def noisy_boxes(masks_nhw: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Boxes around the masks, shape (n, 2, 2), corners moved by about a tenth of the side."""
    n, height, width = masks_nhw.shape
    columns, rows = masks_nhw.any(1).float(), masks_nhw.any(2).float()
    x1, y1 = columns.argmax(1), rows.argmax(1)
    x2, y2 = width - columns.flip(1).argmax(1), height - rows.flip(1).argmax(1)
    corners = torch.stack([x1, y1, x2, y2], 1).float().view(n, 2, 2)
    sides = (corners[:, 1] - corners[:, 0]).unsqueeze(1)
    noise = torch.randn(corners.shape, generator=generator, device=generator.device)
    moved = corners + (noise * 0.08 * sides).clamp(-20, 20)
    return moved.clamp(min=0.0, max=float(max(width, height)))


def first_prompt(masks_nhw: torch.Tensor, kind: PromptKind, generator: torch.Generator) -> Points:
    """The points or box that start an object off."""
    parts, labels = [], []
    if kind.startswith("box"):
        parts.append(noisy_boxes(masks_nhw, generator))
        labels += [2, 3]
    if kind.endswith("points"):
        positives = _drawn(1, 4, generator)
        negatives = _drawn(0, 3, generator)
        for _ in range(positives):
            parts.append(sample_pixel(masks_nhw, generator))
            labels.append(1)
        for _ in range(negatives):
            parts.append(sample_pixel(~masks_nhw, generator))
            labels.append(0)
    coords = torch.cat(parts, dim=1)
    point_labels = torch.tensor(labels, dtype=torch.int32, device=coords.device)
    return {"point_coords": coords, "point_labels": point_labels.expand(len(coords), -1)}


def _drawn(low: int, high: int, generator: torch.Generator) -> int:
    """A whole number from `low` to `high - 1`."""
    return int(torch.randint(low, high, (1,), generator=generator, device=generator.device))


def corrected(
    points: Points | None,
    predicted_nhw: torch.Tensor,
    masks_nhw: torch.Tensor,
    generator: torch.Generator,
) -> Points:
    """`points` with one more click inside the error, positive where the object was missed."""
    missed, spilled = masks_nhw & ~predicted_nhw, predicted_nhw & ~masks_nhw
    positive = missed.flatten(1).sum(1) >= spilled.flatten(1).sum(1)
    error = torch.where(positive[:, None, None], missed, spilled)
    perfect = ~error.flatten(1).any(1)
    weights = torch.where(perfect[:, None, None], masks_nhw, error)
    positive = positive | perfect
    coords = sample_pixel(weights, generator)
    labels = positive.to(torch.int32).unsqueeze(1)
    if points is None:
        return {"point_coords": coords, "point_labels": labels}
    return {
        "point_coords": torch.cat([points["point_coords"], coords], 1),
        "point_labels": torch.cat([points["point_labels"], labels], 1),
    }
