"""The memory attention for several objects is SAM2's own, but for rounding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2.modeling.sam.transformer import RoPEAttention

from tracker.models import shared_attention
from tracker.models.memory_reading import MemoryTokens
from tracker.models.shared_attention import _by_rows as by_rows
from tracker.models.shared_attention import attend, attend_by_products

SIDE, CHANNELS, OBJECTS, MEMORIES, POINTERS = 4, 32, 3, 5, 6


def memory_attention(heads: int, positions_everywhere: bool) -> MemoryAttention:
    torch.manual_seed(1)
    shape: dict[str, Any] = {"embedding_dim": CHANNELS, "num_heads": heads, "feat_sizes": (2, 2)}
    layer = MemoryAttentionLayer(
        activation="relu",
        cross_attention=RoPEAttention(**shape, rope_k_repeat=True, kv_in_dim=16),
        d_model=CHANNELS,
        dim_feedforward=64,
        dropout=0.0,
        pos_enc_at_attn=positions_everywhere,
        pos_enc_at_cross_attn_keys=True,
        pos_enc_at_cross_attn_queries=positions_everywhere,
        self_attention=RoPEAttention(**shape),
    )
    return MemoryAttention(CHANNELS, True, layer, 2).eval()


@pytest.mark.parametrize(("scores", "block"), [(shared_attention.SCORES, (1, 1)), (1, (5, 7))])
@pytest.mark.parametrize(("heads", "everywhere"), [(1, False), (1, True), (2, True)])
@torch.inference_mode()
def test_sam2s_own_sums(
    heads: int,
    everywhere: bool,
    scores: int,
    block: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_attention, "SCORES", scores)
    monkeypatch.setattr(shared_attention, "BLOCK", block)
    attention, tokens = memory_attention(heads, everywhere), SIDE * SIDE
    image, positions = torch.randn(1, tokens, CHANNELS), torch.randn(1, tokens, CHANNELS)
    count = MEMORIES * tokens + POINTERS
    memory = MemoryTokens(torch.randn(OBJECTS, count, 16), torch.randn(1, count, 16), POINTERS)
    found = attend(attention, image, positions, memory)
    for number in range(OBJECTS):
        expected = attention(
            curr=[image.transpose(0, 1)],
            curr_pos=[positions.transpose(0, 1)],
            memory=memory.tokens_bmc[number : number + 1].transpose(0, 1),
            memory_pos=memory.positions_1mc.transpose(0, 1),
            num_obj_ptr_tokens=POINTERS,
        )
        torch.testing.assert_close(found[number], expected[:, 0], atol=2e-6, rtol=1e-5)


def test_many_rows_are_taken_in_parts() -> None:
    torch.manual_seed(2)
    q, k, v = torch.randn(1, 200, 8), torch.randn(2, 50, 8), torch.randn(2, 50, 4)
    whole = torch.softmax(q @ k.transpose(1, 2) / 8**0.5, dim=-1) @ v
    before = shared_attention.SCORES
    try:
        shared_attention.SCORES = 1
        parts = by_rows(q, k, v)
    finally:
        shared_attention.SCORES = before
    torch.testing.assert_close(parts, whole)
    assert parts.shape == (2, 200, 4)


def test_blocks_whose_scores_lie_far_apart() -> None:
    """Where a later block has the largest score, the sums before it fade, and nothing overflows."""
    torch.manual_seed(3)
    q, k, v = torch.randn(600, 8), torch.randn(2500, 8), torch.randn(2500, 4)
    k *= torch.linspace(1, 200, 2500)[:, None]
    whole = torch.softmax(q.double() @ k.double().T / 8**0.5, dim=-1) @ v.double()
    found = shared_attention._by_blocks(q, k, v)
    torch.testing.assert_close(found, whole.float(), atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("batch", [1, 2])
@torch.inference_mode()
def test_attention_over_the_whole_image(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16 the products are no farther from the truth than torch's own attention."""
    torch.manual_seed(4)
    trunk = Hiera(
        embed_dim=16,
        num_heads=1,
        stages=(1, 1, 3, 1),
        global_att_blocks=(3, 4),
        window_pos_embed_bkg_spatial_size=(7, 7),
    ).eval()
    images = torch.randn(batch, 3, 128, 128)
    exact = trunk(images)
    trunk.to(torch.bfloat16)
    usual = trunk(images.bfloat16())
    called: list[int] = []
    monkeypatch.setattr(
        shared_attention, "_by_rows", lambda q, k, v: called.append(len(q)) or by_rows(q, k, v)
    )
    attend_by_products(trunk)
    found = trunk(images.bfloat16())
    assert called == [4 * batch, 4 * batch]  # two global blocks of four heads
    for a, b, c in zip(exact, usual, found, strict=True):
        assert (c.float() - a).abs().mean() < 1.2 * (b.float() - a).abs().mean() + 1e-6
