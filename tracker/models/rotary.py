"""Queries and keys turned by their place on a grid: SAM2's rotary position encoding, at less cost.

Comments name the lines they mirror of sam2 1.1.0: TR is sam2/modeling/sam/transformer.py, PE is
sam2/modeling/position_encoding.py.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional as F

from tracker.models.derived import Pair, derived


def placed(
    module: Any, name: str, tokens_bmc: torch.Tensor, grid_tokens: int, on_grid: int | None = None
) -> torch.Tensor:
    """The tokens' queries or keys, (b, m, c), the first `on_grid` (None for all) turned.

    On a CPU the channels come in another order, the same for queries and keys, which changes no
    product of the two. The two channels that are turned together lie in two halves there: complex
    numbers take five times as long.

    Args:
        module: a SAM2 `RoPEAttention`.
        name: `q_proj` or `k_proj`.
        grid_tokens: tokens of a grid, row by row; of those to turn, grid follows on grid.
    """
    table_nc = _rotations(module, grid_tokens)
    if tokens_bmc.device.type != "cpu":
        return _turned(getattr(module, name)(tokens_bmc), table_nc, on_grid)
    out_bmc = F.linear(tokens_bmc, *_in_halves(module, name))
    _turn(out_bmc[:, :on_grid], *_cosines_and_sines(module, table_nc, out_bmc.dtype))
    return out_bmc


def _rotations(module: Any, token_count: int) -> torch.Tensor:
    """The complex rotary table of a square grid, (n, c / 2), as TR:291-295."""
    table_nc = module.freqs_cis
    if table_nc.shape[0] != token_count:
        side = math.isqrt(token_count)
        table_nc = module.compute_cis(end_x=side, end_y=side)
    module.freqs_cis = table_nc = table_nc.to(module.q_proj.weight.device)
    return table_nc


def _turned(tokens_bmc: torch.Tensor, table_nc: torch.Tensor, on_grid: int | None) -> torch.Tensor:
    """As PE:185, for heads side by side, without copies of the table for every memory."""
    batch, count, channels = tokens_bmc.shape
    on_grid = count if on_grid is None else on_grid
    turned, rest = tokens_bmc[:, :on_grid], tokens_bmc[:, on_grid:]
    half = table_nc.shape[1]
    pairs = turned.float().reshape(batch, -1, len(table_nc), channels // (2 * half), half, 2)
    if torch.compiler.is_compiling():  # inductor leaves complex numbers to slow kernels
        cosines, sines = table_nc.real[:, None], table_nc.imag[:, None]
        x, y = pairs.unbind(-1)
        grid = torch.stack([x * cosines - y * sines, x * sines + y * cosines], dim=-1)
    else:
        grid = torch.view_as_real(torch.view_as_complex(pairs) * table_nc[:, None])
    grid = grid.reshape(batch, on_grid, channels).to(tokens_bmc.dtype)
    return torch.cat([grid, rest], dim=1) if rest.shape[1] else grid


def _turn(tokens_bmc: torch.Tensor, cosines_nd: torch.Tensor, sines_nd: torch.Tensor) -> None:
    """Turn tokens where they are, whose heads have the first channel of every pair in front."""
    count, half = cosines_nd.shape
    grids = tokens_bmc.unflatten(1, (-1, count)).unflatten(-1, (-1, 2, half))
    x, y = grids.unbind(-2)
    cosines, sines = cosines_nd[:, None], sines_nd[:, None]
    turned_x = (x * cosines).addcmul_(y, sines, value=-1)
    y.mul_(cosines).addcmul_(x, sines)
    x.copy_(turned_x)


def _in_halves(module: Any, name: str) -> Pair:
    """Weight and bias of a projection that gives the first channel of every pair in front."""
    projection = getattr(module, name)

    def rows() -> Pair:
        channels = torch.arange(projection.out_features).view(module.num_heads, -1, 2)
        order = channels.transpose(1, 2).flatten()
        return projection.weight.detach()[order], projection.bias.detach()[order]

    return derived(module, (name, projection.weight.dtype), rows)


def _cosines_and_sines(module: Any, table_nc: torch.Tensor, dtype: torch.dtype) -> Pair:
    def parts() -> Pair:
        return table_nc.real.to(dtype).contiguous(), table_nc.imag.to(dtype).contiguous()

    return derived(module, (len(table_nc), dtype), parts)
