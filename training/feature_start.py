"""Where the feature model starts: its patch embedding as the principal components of patches.

Pixels of a patch are so much alike that a random embedding hands on little but their mean colour,
and a short training has better things to do than to find the rest.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import Dinov2Model

_WHITENING = 0.6  # 0 leaves the spectrum as it is, 1 makes it flat and the noise loud
_LENGTH = 0.5  # root mean square of what the embedding hands on


@torch.no_grad()
def start_from_components(model: Dinov2Model, pixels_v3hw: Tensor) -> None:
    """Set the patch embedding of `model` from normalised images, a few hundred of them."""
    projection = model.embeddings.patch_embeddings.projection
    width, _, patch, _ = projection.weight.shape
    tiles = pixels_v3hw.unfold(2, patch, patch).unfold(3, patch, patch)
    patches_nx = tiles.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(0, 2).double().cpu()
    power, axes = torch.linalg.eigh(patches_nx.T.cov())
    power, axes = power.flip(0)[:width], axes.flip(1)[:, :width]
    components = (axes / (power + 1e-4 * power[0]) ** (_WHITENING / 2)).T
    # Turned at random, so that no channel is louder than another.
    mixed = torch.linalg.qr(torch.randn(width, len(components), dtype=torch.double))[0] @ components
    answers = (patches_nx - patches_nx.mean(0)) @ mixed.T
    mixed = mixed * (_LENGTH / answers.square().mean().sqrt())
    projection.weight.copy_(mixed.view_as(projection.weight))
    projection.bias.copy_(-mixed @ patches_nx.mean(0))
