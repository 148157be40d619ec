"""Turned queries and keys have the products that SAM2's own have."""

from __future__ import annotations

import pytest
import torch
from sam2.modeling.position_encoding import apply_rotary_enc
from sam2.modeling.sam.transformer import RoPEAttention

from tracker.models.derived import forget_derived
from tracker.models.rotary import placed

SIDE, CHANNELS, POINTERS = 4, 24, 5


def attention(heads: int) -> RoPEAttention:
    torch.manual_seed(6)
    return RoPEAttention(
        embedding_dim=CHANNELS, num_heads=heads, feat_sizes=(SIDE, SIDE), kv_in_dim=10
    ).eval()


def scores(q_bnc: torch.Tensor, k_bmc: torch.Tensor, heads: int) -> torch.Tensor:
    q, k = (each.unflatten(2, (heads, -1)).transpose(1, 2) for each in (q_bnc, k_bmc))
    return q @ k.transpose(2, 3)


def sam2s_scores(
    module: RoPEAttention, queries: torch.Tensor, keys: torch.Tensor, grids: int
) -> torch.Tensor:
    heads = module.num_heads
    q, k = module.q_proj(queries), module.k_proj(keys)
    q, k = (each.unflatten(2, (heads, -1)).transpose(1, 2) for each in (q, k))
    on_grid = grids * SIDE * SIDE
    q, turned = apply_rotary_enc(
        q, k[:, :, :on_grid], freqs_cis=module.freqs_cis, repeat_freqs_k=True
    )
    return q @ torch.cat([turned, k[:, :, on_grid:]], dim=2).transpose(2, 3)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("heads", [1, 3])
@torch.inference_mode()
def test_same_products(heads: int, batch: int) -> None:
    module, grids = attention(heads), 3
    queries = torch.randn(batch, SIDE * SIDE, CHANNELS)
    keys = torch.randn(batch, grids * SIDE * SIDE + POINTERS, 10)
    q = placed(module, "q_proj", queries, SIDE * SIDE)
    k = placed(module, "k_proj", keys, SIDE * SIDE, grids * SIDE * SIDE)
    expected = sam2s_scores(module, queries, keys, grids)
    torch.testing.assert_close(scores(q, k, heads), expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_a_grid_of_another_size() -> None:
    """SAM2's table follows the tokens, as when the image size is not the one of the config."""
    module, side = attention(1), 3
    queries = torch.randn(1, side * side, CHANNELS)
    found = placed(module, "q_proj", queries, side * side)
    module.freqs_cis = module.compute_cis(end_x=side, end_y=side)
    q = module.q_proj(queries)[:, None]
    expected, _ = apply_rotary_enc(q, q, freqs_cis=module.freqs_cis)
    torch.testing.assert_close(scores(found, found, 1), expected @ expected.transpose(2, 3))


@torch.inference_mode()
def test_other_weights() -> None:
    module, queries = attention(1), torch.randn(1, SIDE * SIDE, CHANNELS)
    before = placed(module, "q_proj", queries, SIDE * SIDE)
    module.q_proj.weight.mul_(2)
    module.q_proj.bias.mul_(2)
    forget_derived(module)
    torch.testing.assert_close(placed(module, "q_proj", queries, SIDE * SIDE), 2 * before)
