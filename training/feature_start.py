"""Weights to start the feature model from: a DINOv2 that knows the colours in each patch.

Random weights know nothing, and what a CPU can afford to learn from there is less than what can be
written down: how the colours of a patch are distributed. So the layers start as a histogram. The
patch embedding hands on the mean colour of 4 x 4 cells; the hidden units of each MLP are ridges
`gelu(direction . colour - threshold)`, the same for every cell, summed over the cells, which is a
kernel mean embedding of the patch's colours (Smola et al. 2007) with random ridge features; their
second differences along a direction are bumps, whitened by the statistics of the given patches. In
the last layer the class token takes the mean over all patches.

What the histogram does not use is free to learn: the attention of the other layers, which adds what
stands around a patch, and the last MLP. Both start silent, behind a layer scale of 0.

Width 192 is shared out as: 48 cell channels, 140 results, two constants that keep layer norms
linear, a marker that tells the class token from patches, and one channel that keeps the mean at 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import gelu
from transformers import Dinov2Model

PATCH = 14
CELLS = 4  # along each side of a patch
_CELL_CHANNELS = 3 * CELLS**2
_THRESHOLDS = 12
_STEEPNESS = 30.0  # of a ridge, per unit of colour; colours run from about -1 to 1
_WHITENING = 1.0  # 0 leaves the spectrum of the bumps as it is, 1 makes it flat
_CONSTANT, _MARK, _INHIBITION, _FOCUS = 32.0, 4.0, 40.0, 20.0
_OPPONENT = np.array([[0.6, 0.6, 0.6], [1.0, 0.0, -1.0], [-0.5, 1.0, -0.5]])
_IMAGENET_MEAN, _IMAGENET_STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@dataclass(frozen=True, eq=False)
class Ridges:
    """Directions (k, 3) in opponent colour and thresholds (k,), neighbours along a direction."""

    directions_k3: NDArray[np.float64]
    thresholds_k: NDArray[np.float64]

    def mean_over_cells(self, cells_nc3: NDArray[np.float64]) -> NDArray[np.float64]:
        """The summed answers of a patch: (n, k) for patches of c cells."""
        before = cells_nc3 @ self.directions_k3.T - self.thresholds_k
        return gelu(torch.from_numpy(_STEEPNESS * before)).numpy().mean(1) / _STEEPNESS


def start_from_colours(
    model: Dinov2Model, patches_nhwc: NDArray[np.uint8], rng: np.random.Generator
) -> None:
    """Set the weights of `model` (192 wide, at least two layers).

    Args:
        patches_nhwc: RGB uint8 patches of the kind that will be described, a few thousand.
        rng: for the directions in colour.
    """
    width, layers = model.config.hidden_size, len(model.encoder.layer)
    units = model.config.hidden_size * model.config.mlp_ratio // CELLS**2
    cells_nc3 = _cells(patches_nhwc)
    ridges = _ridges(cells_nc3, (layers - 1) * units, rng)
    results = width - _CELL_CHANNELS - 4
    mixing_rk, centre_r = _mixing(ridges.mean_over_cells(cells_nc3), results, rng)
    with torch.no_grad():
        _start_embeddings(model, centre_r)
        scale = _layer_norm_scale(width)
        for number, layer in enumerate(model.encoder.layer):
            layer.layer_scale1.lambda1.zero_()
            layer.layer_scale2.lambda1.zero_()
            if number < layers - 1:
                chosen = slice(number * units, (number + 1) * units)
                own = Ridges(ridges.directions_k3[chosen], ridges.thresholds_k[chosen])
                _start_mlp(layer, own, mixing_rk[:, chosen], scale)
        _start_pooling(model.encoder.layer[-1], results, scale)
        model.layernorm.weight.zero_()
        model.layernorm.weight[_results(results)] = 1


def free_parameters(model: Dinov2Model) -> list[torch.nn.Parameter]:
    """Freeze what `start_from_colours` wrote, and return what is left to train.

    The histogram has steep ridges, which steps of the size that the rest needs would scramble.
    """
    *early, last = model.encoder.layer
    model.requires_grad_(False)
    results = torch.zeros(model.config.hidden_size, device=model.device)
    results[_results(model.config.hidden_size - _CELL_CHANNELS - 4)] = 1
    parts = [last.mlp, *(m for layer in early for m in (layer.norm1, layer.attention))]
    scales = [last.layer_scale2.lambda1, *(layer.layer_scale1.lambda1 for layer in early)]
    for scale in scales:  # only results may change: the cells are read by every layer
        scale.requires_grad_(True).register_hook(lambda gradient: gradient * results)
    learned = [p.requires_grad_(True) for part in parts for p in part.parameters()]
    return [*scales, *learned]


def _results(count: int) -> slice:
    return slice(_CELL_CHANNELS, _CELL_CHANNELS + count)


def _layer_norm_scale(width: int) -> float:
    """What every layer norm divides by: the constants outweigh everything else."""
    return float(np.sqrt((2 * _CONSTANT**2 + 2 * _MARK**2) / width))


def _signs() -> NDArray[np.float64]:
    """+1 or -1 per cell, like a chessboard: an even patch then has the mean 0 over its channels."""
    row, column = np.indices((CELLS, CELLS))
    return (1.0 - 2.0 * ((row + column) % 2)).ravel()


def _cells(patches_nhwc: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean opponent colours of each cell: (n, cells, 3)."""
    spread = _area_weights()
    means = np.einsum("ay,bx,nyxc->nabc", spread, spread, patches_nhwc / 255.0 - 0.5)
    return means.reshape(len(means), CELLS**2, 3) @ _OPPONENT.T


def _area_weights() -> NDArray[np.float64]:
    """How much each of 14 pixels counts for each of 4 cells, (4, 14); rows sum to 1."""
    edges = np.linspace(0, PATCH, CELLS + 1)
    pixel = np.arange(PATCH)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.clip(overlap, 0, None) * CELLS / PATCH


def _ridges(cells_nc3: NDArray[np.float64], count: int, rng: np.random.Generator) -> Ridges:
    """Random directions, each with thresholds spread evenly over the colours that occur."""
    ways = -(-count // _THRESHOLDS)
    directions = rng.normal(size=(ways, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    along = cells_nc3.reshape(-1, 3) @ directions.T
    low, high = np.quantile(along, [0.01, 0.99], axis=0)
    steps = np.linspace(0, 1, _THRESHOLDS)[:, None]
    thresholds = (low + (high - low) * steps).T
    return Ridges(
        np.repeat(directions, _THRESHOLDS, axis=0)[:count], thresholds.reshape(-1)[:count]
    )


def _mixing(
    answers_nk: NDArray[np.float64], results: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The map from ridges to results (r, k), and the mean result (r,)."""
    count = answers_nk.shape[1]
    bumps = -2 * np.eye(count)
    for k in range(count):
        if k % _THRESHOLDS:
            bumps[k, k - 1] = 1
        if (k + 1) % _THRESHOLDS and k + 1 < count:
            bumps[k, k + 1] = 1
    heights = answers_nk @ bumps.T
    power, axes = np.linalg.eigh(np.cov(heights.T))
    power, axes = power[::-1][:results], axes[:, ::-1][:, :results]
    whitened = axes.T / (power[:, None] + 1e-4 * power[0]) ** (_WHITENING / 2)
    turn = np.linalg.qr(rng.normal(size=(results, results)))[0][:, : len(whitened)]
    turned = turn @ whitened @ bumps
    centred_nk = answers_nk - answers_nk.mean(0)
    mixing = turned / np.sqrt(np.square(centred_nk @ turned.T).sum(1).mean())
    return mixing, mixing @ answers_nk.mean(0)


def _start_embeddings(model: Dinov2Model, centre_r: NDArray[np.float64]) -> None:
    """Cells into the first channels, everything else constant; the class token carries its mark."""
    projection = model.embeddings.patch_embeddings.projection
    width, spread, signs = projection.weight.shape[0], _area_weights(), _signs()
    weight, bias = np.zeros((width, 3, PATCH, PATCH)), np.zeros(width)
    filters = np.einsum("ay,bx->abyx", spread, spread).reshape(CELLS**2, PATCH, PATCH)
    by_channel = _OPPONENT * _IMAGENET_STD
    weight[:_CELL_CHANNELS] = np.einsum("s,kc,syx->skcyx", signs, by_channel, filters).reshape(
        _CELL_CHANNELS, 3, PATCH, PATCH
    )
    bias[:_CELL_CHANNELS] = np.outer(signs, _OPPONENT @ (_IMAGENET_MEAN - 0.5)).ravel()
    bias[_results(len(centre_r))] = -centre_r
    bias[-4:-1] = _CONSTANT, -_CONSTANT, -_MARK
    weight[-1], bias[-1] = -weight[:-1].sum(0), -bias[:-1].sum()
    projection.weight.copy_(torch.from_numpy(weight))
    projection.bias.copy_(torch.from_numpy(bias))
    token = torch.zeros(width)
    token[-4:] = torch.tensor([_CONSTANT, -_CONSTANT, _MARK, -_MARK])
    model.embeddings.cls_token.copy_(token.view(1, 1, -1))
    model.embeddings.position_embeddings.zero_()


def _start_mlp(
    layer: torch.nn.Module, ridges: Ridges, mixing_rk: NDArray[np.float64], scale: float
) -> None:
    """Ridges of each cell into results; silent for the class token."""
    fc1, fc2 = layer.mlp.fc1, layer.mlp.fc2
    first, last = np.zeros(tuple(fc1.weight.shape)), np.zeros(tuple(fc2.weight.shape))
    results, units = mixing_rk.shape
    for cell, sign in enumerate(_signs()):
        rows = slice(cell * units, (cell + 1) * units)
        first[rows, 3 * cell : 3 * cell + 3] = _STEEPNESS * scale * sign * ridges.directions_k3
        last[_results(results), rows] = mixing_rk / (CELLS**2 * _STEEPNESS)
    first[:, -2] = -_INHIBITION * scale / (2 * _MARK)
    last[-1] = -last[:-1].sum(0)
    bias = np.tile(-_STEEPNESS * ridges.thresholds_k, CELLS**2) - _INHIBITION / 2
    fc1.weight.copy_(torch.from_numpy(first))
    fc1.bias.copy_(torch.from_numpy(bias))
    fc2.weight.copy_(torch.from_numpy(last))
    fc2.bias.zero_()
    layer.layer_scale2.lambda1.fill_(1)


def _start_pooling(layer: torch.nn.Module, results: int, scale: float) -> None:
    """The class token attends to every patch alike, patches to the (empty) class token alone."""
    attention = layer.attention
    for projection in (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj):
        projection.weight.zero_()
        projection.bias.zero_()
    width = len(attention.q_proj.weight)
    heads = attention.q_proj.weight.view(attention.num_attention_heads, -1, width)
    strength = (_FOCUS * heads.shape[1] ** 0.5) ** 0.5 * scale / _MARK
    heads[:, 0, -2] = -strength
    attention.k_proj.weight.view_as(heads)[:, 0, -2] = strength
    kept = torch.zeros(width)
    kept[_results(results)] = 1
    attention.v_proj.weight.copy_(torch.diag(kept * scale))
    attention.o_proj.weight.copy_(torch.diag(kept))
    attention.o_proj.weight[-1] = -kept
    layer.layer_scale1.lambda1[_results(results)] = 1
    layer.layer_scale1.lambda1[-1] = 1
