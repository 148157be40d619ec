"""Hiera's attention in windows, without the padding that SAM2 fills up the last ones with.

Where windows do not divide the map, SAM2 pads it: at 1024 px by a fifth of its tokens, at 256 px to
three times as many. A padded token is zero, so that its key and value are the projection's biases,
the same for all: one such key that counts for all of them leaves every real token what it was.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import product
from typing import Any

import torch
from sam2.modeling.backbones.hieradet import do_pool
from torch.nn import functional as F


def leave_out_padding(trunk: Any, wanted: bool) -> None:
    """Make the windowed blocks of a Hiera attend without padding, or as SAM2 does.

    Other trunks stay as they are.
    """
    for block in getattr(trunk, "blocks", ()):
        block.__dict__.pop("forward", None)
        if wanted and block.window_size > 0:
            block.forward = partial(_block, block)


def _block(block: Any, tokens_bhwc: torch.Tensor) -> torch.Tensor:
    """As sam2/modeling/backbones/hieradet.py:135-176.

    That method itself runs where windows fit, and where pooling would pair a token with padding.
    """
    size, stride = block.window_size, block.q_stride[0] if block.q_stride else 1
    rests = [side % size for side in tokens_bhwc.shape[1:3]]
    if not any(rests) or any(rest % stride for rest in rests):
        out: torch.Tensor = type(block).forward(block, tokens_bhwc)
        return out
    hidden = block.norm1(tokens_bhwc)
    widens = block.dim != block.dim_out
    shortcut = do_pool(block.proj(hidden), block.pool) if widens else tokens_bhwc
    tokens_bhwc = shortcut + _windowed(block.attn, hidden, size, stride)
    return tokens_bhwc + block.mlp(block.norm2(tokens_bhwc))


def _windowed(module: Any, hidden_bhwc: torch.Tensor, size: int, stride: int) -> torch.Tensor:
    """As hieradet.py:58-84 in every window: (b, h / stride, w / stride, c)."""
    qkv_bhwc = module.qkv(hidden_bhwc)
    batch, height, width, _ = qkv_bhwc.shape
    bias = module.qkv.bias.to(qkv_bhwc.dtype)
    out = qkv_bhwc.new_empty(batch, height // stride, width // stride, module.proj.in_features)
    for (top, bottom, h), (left, right, w) in product(_runs(height, size), _runs(width, size)):
        part = qkv_bhwc[:, top:bottom, left:right]
        down, across = (bottom - top) // h, (right - left) // w
        windows = part.unflatten(1, (down, h)).unflatten(3, (across, w)).transpose(2, 3)
        done = _attended(module, windows.flatten(0, 2), bias, size * size - h * w)
        grid = done.unflatten(0, (batch, down, across)).transpose(2, 3).flatten(3, 4).flatten(1, 2)
        out[:, top // stride : bottom // stride, left // stride : right // stride] = grid
    return module.proj(out)


def _runs(side: int, size: int) -> list[tuple[int, int, int]]:
    """First and end of the whole windows along a side, and of what remains; how long each is."""
    whole = side // size * size
    runs = [(0, whole, size), (whole, side, side - whole)]
    return [run for run in runs if run[0] < run[1]]


def _attended(
    module: Any, qkv_nhwc: torch.Tensor, bias: torch.Tensor, missing: int
) -> torch.Tensor:
    """Attention within windows that lack some tokens; of pooled queries where the block pools."""
    count, height, width, _ = qkv_nhwc.shape
    q, k, v = qkv_nhwc.chunk(3, dim=-1)
    if module.q_pool:
        q = do_pool(q, module.q_pool)
    shape_hw = q.shape[1:3]
    q, k, v = (each.flatten(1, 2) for each in (q, k, v))
    weight = None
    if missing:
        _, k1, v1 = bias.chunk(3)
        k, v = (torch.cat([x, one.expand(count, 1, -1)], 1) for x, one in ((k, k1), (v, v1)))
        weight = q.new_zeros(1, height * width + 1)
        weight[:, -1] = math.log(missing)
    q, k, v = (each.unflatten(2, (module.num_heads, -1)).transpose(1, 2) for each in (q, k, v))
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=weight)
    return out.transpose(1, 2).flatten(2).unflatten(1, shape_hw)
