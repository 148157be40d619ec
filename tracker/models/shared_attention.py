"""SAM2's memory attention for several objects on one image, and attention that suits a CPU.

What depends on the image alone is computed once: the first layer's self-attention and queries. The
sums are those of sam2/modeling/memory_attention.py and sam2/modeling/sam/transformer.py (TR), in an
order that costs less.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

from tracker.models.derived import one_after_the_other
from tracker.models.memory_reading import MemoryTokens
from tracker.models.rotary import placed

SCORES = 8 * 2**20
"""How many weights of an attention matrix are computed at a time on a CPU, in whole rows."""

BLOCK = (512, 1024)
"""Queries and keys whose weights are computed at a time in float32; they stay in a CPU's cache."""


def attend(
    attention: Any, image_1nc: torch.Tensor, positions_1nc: torch.Tensor, memory: MemoryTokens
) -> torch.Tensor:
    """The image's features, conditioned on the memory of every object: (b, n, c).

    Args:
        attention: a SAM2 `MemoryAttention`.
        image_1nc: features of the image, tokens row by row.
        positions_1nc: their position encodings.
    """
    out = image_1nc + 0.1 * positions_1nc if attention.pos_enc_at_input else image_1nc
    out = _self_attended(attention.layers[0], out, positions_1nc)
    if image_1nc.device.type == "cpu":
        # Products gain nothing from being done together here, and small temporaries stay in cache.
        each = [_after_first(attention, out, positions_1nc, one) for one in memory.one_by_one()]
        return torch.cat(each)
    return _after_first(attention, out, positions_1nc, memory)


def _after_first(
    attention: Any, out: torch.Tensor, positions_1nc: torch.Tensor, memory: MemoryTokens
) -> torch.Tensor:
    """What follows on the first layer's self-attention; `out` has a batch of 1."""
    placed = memory.tokens_bmc + memory.positions_1mc
    for number, layer in enumerate(attention.layers):
        if number > 0:
            out = _self_attended(layer, out, positions_1nc)
        hidden = layer.norm2(out)
        queries = hidden + positions_1nc if layer.pos_enc_at_cross_attn_queries else hidden
        keys = placed if layer.pos_enc_at_cross_attn_keys else memory.tokens_bmc
        out = out + _cross_attention(
            layer.cross_attn_image, queries, keys, memory.tokens_bmc, memory.pointer_count
        )
        out = out + layer.linear2(layer.activation(layer.linear1(layer.norm3(out))))
    return attention.norm(out)


def _self_attended(layer: Any, out: torch.Tensor, positions_1nc: torch.Tensor) -> torch.Tensor:
    """As sam2/modeling/memory_attention.py:59-65."""
    hidden = layer.norm1(out)
    queries = hidden + positions_1nc if layer.pos_enc_at_attn else hidden
    return out + _self_attention(layer.self_attn, queries, hidden)


def _self_attention(module: Any, queries: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """As TR:279-320 for tokens that all lie on the grid."""
    grid_tokens = queries.shape[1]
    q, k = (placed(module, name, queries, grid_tokens) for name in ("q_proj", "k_proj"))
    return _attended(module, q, k, values)


def _cross_attention(
    module: Any, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, pointer_count: int
) -> torch.Tensor:
    """As TR:279-320; the first tokens of the memory are grids, the last ones pointers."""
    grid_tokens = queries.shape[1]
    q = placed(module, "q_proj", queries, grid_tokens)
    k = placed(module, "k_proj", keys, grid_tokens, keys.shape[1] - pointer_count)
    return _attended(module, q, k, values)


def _attended(
    module: Any, q_bnc: torch.Tensor, k_bmc: torch.Tensor, values_bmd: torch.Tensor
) -> torch.Tensor:
    """The projected average of the projected values.

    With a single head, the weights of a row sum to 1, so that projecting the values commutes with
    averaging them. The average is then taken of the memory's 64 channels instead of their
    256-channel projection, a third of the arithmetic less, and both projections are one.
    """
    if module.num_heads == 1 and q_bnc.device.type == "cpu":
        average = _weighted_sum(q_bnc, k_bmc, values_bmd.to(q_bnc.dtype), 1)
        return F.linear(average, *one_after_the_other(module.v_proj, module.out_proj))
    values_bmd = module.v_proj(values_bmd)
    return module.out_proj(_weighted_sum(q_bnc, k_bmc, values_bmd, module.num_heads))


def _weighted_sum(
    q_bnc: torch.Tensor, k_bmc: torch.Tensor, values_bmd: torch.Tensor, heads: int
) -> torch.Tensor:
    """softmax(q kᵀ / √c) values, (b, n, d); a batch of 1 stands for any."""
    batch = max(q_bnc.shape[0], k_bmc.shape[0])
    if heads == 1 and q_bnc.device.type == "cpu":
        # Torch's flash attention has one width for queries and values.
        narrow = values_bmd.shape[2] < q_bnc.shape[2]
        few = q_bnc.shape[1] * k_bmc.shape[1] <= SCORES
        if q_bnc.dtype != torch.float32 or (narrow and few):
            return _by_rows(q_bnc, k_bmc, values_bmd)
        if narrow:
            each = (x.expand(batch, -1, -1) for x in (q_bnc, k_bmc, values_bmd))
            return torch.stack([_by_blocks(*one) for one in zip(*each, strict=True)])
    q, k, v = (
        each.expand(batch, -1, -1).unflatten(2, (heads, -1)).transpose(1, 2)
        for each in (q_bnc, k_bmc, values_bmd)
    )
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def _by_blocks(q_nc: torch.Tensor, k_mc: torch.Tensor, values_md: torch.Tensor) -> torch.Tensor:
    """A block of the attention matrix at a time, by matrix products: flash attention, whose running
    sums are scaled anew where a later block has a row's largest score.

    Measured on a CPU with AVX2 at 4,096 queries, 28,736 keys, 256 channels and values of 64: 0.6 of
    the time of torch's flash attention, which needs values of 256, and 0.92 of `_by_rows`.
    """
    rows, columns = BLOCK
    q_nc = q_nc * (q_nc.shape[1] ** -0.5)
    out_nd = values_md.new_zeros(len(q_nc), values_md.shape[1])
    scores = q_nc.new_empty(rows * columns)
    for some_rc, sums_rd in zip(q_nc.split(rows), out_nd.split(rows), strict=True):
        largest_r1 = q_nc.new_full((len(some_rc), 1), -math.inf)
        total_r1 = q_nc.new_zeros(len(some_rc), 1)
        for keys_kc, values_kd in zip(k_mc.split(columns), values_md.split(columns), strict=True):
            weights_rk = scores[: len(some_rc) * len(keys_kc)].view(len(some_rc), -1)
            torch.mm(some_rc, keys_kc.T, out=weights_rk)
            larger_r1 = torch.maximum(largest_r1, weights_rk.amax(dim=1, keepdim=True))
            weights_rk.sub_(larger_r1).exp_()
            fade_r1 = (largest_r1 - larger_r1).exp_()
            total_r1.mul_(fade_r1).add_(weights_rk.sum(dim=1, keepdim=True))
            sums_rd.mul_(fade_r1).addmm_(weights_rk, values_kd)
            largest_r1 = larger_r1
        sums_rd.div_(total_r1)
    return out_nd


def _by_rows(q_bnc: torch.Tensor, k_bmc: torch.Tensor, values_bmd: torch.Tensor) -> torch.Tensor:
    """Some rows of the attention matrix at a time, in one place of memory, by matrix products.

    For bfloat16, where running sums would lose digits, and for matrices that are small enough to be
    made whole. Measured on a CPU with AVX-512: in bfloat16 0.4 of the time of torch's flash
    attention, at 4,096 queries, 28,736 keys and 256 channels; in float32 0.85 of `_by_blocks`, at
    324 queries, 2,304 keys and 128 channels.
    """
    batch = max(q_bnc.shape[0], k_bmc.shape[0])
    count, keys = q_bnc.shape[1], k_bmc.shape[1]
    q_bnc = q_bnc * (q_bnc.shape[2] ** -0.5)
    rows = min(count, max(64, SCORES // keys))
    scores = q_bnc.new_empty(rows, keys)
    out = values_bmd.new_empty(batch, count, values_bmd.shape[2])
    for b in range(batch):
        q_nc, values_md = q_bnc[b % len(q_bnc)], values_bmd[b % len(values_bmd)]
        k_cm = k_bmc[b % len(k_bmc)].T
        k_cm = k_cm.contiguous() if count > rows else k_cm
        for first in range(0, count, rows):
            some = q_nc[first : first + rows]
            weights = torch.mm(some, k_cm, out=scores[: len(some)])
            torch.softmax(weights, dim=-1, out=weights)
            torch.mm(weights, values_md, out=out[b, first : first + rows])
    return out


def attend_by_products(trunk: Any) -> None:
    """Make Hiera's attention over the whole image do as `_by_rows`; for bfloat16 on a CPU."""
    for block in getattr(trunk, "blocks", ()):
        if block.window_size == 0 and not block.attn.q_pool:
            block.attn.forward = partial(_over_the_image, block.attn)


def _over_the_image(module: Any, tokens_bhwc: torch.Tensor) -> torch.Tensor:
    """As sam2/modeling/backbones/hieradet.py:58-84."""
    batch, height, width, _ = tokens_bhwc.shape
    qkv = module.qkv(tokens_bhwc).reshape(batch, height * width, 3, module.num_heads, -1)
    q, k, v = (each.transpose(1, 2).flatten(0, 1) for each in qkv.unbind(2))
    out = _by_rows(q, k, v).unflatten(0, (batch, -1)).transpose(1, 2)
    return module.proj(out.reshape(batch, height, width, -1))
