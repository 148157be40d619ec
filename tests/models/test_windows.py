"""Hiera's windows without padding give what SAM2's padded ones give, but for rounding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sam2.modeling.backbones import hieradet
from sam2.modeling.backbones.hieradet import Hiera

from tracker.models.streaming import build_streaming_video_predictor
from tracker.models.windows import leave_out_padding


def hiera() -> Hiera:
    torch.manual_seed(5)
    trunk = Hiera(
        embed_dim=16,
        num_heads=1,
        stages=(2, 2, 3, 2),
        global_att_blocks=(5,),
        window_pos_embed_bkg_spatial_size=(7, 7),
    ).eval()
    for parameter in trunk.parameters():  # biases are small otherwise, and padding is made of them
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    return trunk


def tokens_partitioned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens each call of SAM2's own, padding partition makes."""
    made: list[int] = []

    def partition(tokens: torch.Tensor, size: int, own: Any = hieradet.window_partition) -> Any:
        result = own(tokens, size)
        made.append(result[0].shape[:3].numel())
        return result

    monkeypatch.setattr(hieradet, "window_partition", partition)
    return made


@pytest.mark.parametrize("image_size", [64, 192, 256, 320])
@torch.inference_mode()
def test_same_maps(image_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    trunk, images = hiera().double(), torch.randn(2, 3, image_size, image_size).double()
    made = tokens_partitioned(monkeypatch)
    expected = trunk(images)
    padded = sum(made)
    made.clear()
    leave_out_padding(trunk, wanted=True)
    found = trunk(images)
    assert sum(made) < padded
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(b, a)


@torch.inference_mode()
def test_a_pair_that_padding_completes_is_left_to_sam2() -> None:
    """224 px are 7 tokens a side where windows of 4 are pooled in pairs: one pairs with padding."""
    trunk = hiera()
    tokens = torch.randn(1, 7, 7, 32)
    block = next(each for each in trunk.blocks if each.q_stride and each.window_size == 4)
    expected = block(tokens)
    leave_out_padding(trunk, wanted=True)
    assert torch.equal(block(tokens), expected)


@torch.inference_mode()
def test_windows_that_fit_keep_their_bits_and_all_do_when_undone() -> None:
    trunk, images = hiera(), torch.randn(1, 3, 64, 64)
    fitting = torch.randn(1, 16, 16, 16)
    expected, block_expected = trunk(images), trunk.blocks[0](fitting)
    leave_out_padding(trunk, wanted=True)
    assert torch.equal(trunk.blocks[0](fitting), block_expected)
    assert not torch.equal(trunk(images)[-1], expected[-1])
    leave_out_padding(trunk, wanted=False)
    for a, b in zip(expected, trunk(images), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("exact", [True, False])
def test_the_engine_leaves_padding_out_unless_it_is_exact(exact: bool) -> None:
    predictor = build_streaming_video_predictor(
        "configs/sam2.1/sam2.1_hiera_t.yaml",
        device="cpu",
        hydra_overrides_extra=["++model.image_size=64"],
        exact=exact,
    )
    windowed = [each for each in predictor.image_encoder.trunk.blocks if each.window_size]
    assert {"forward" in vars(each) for each in windowed} == {not exact}


@torch.inference_mode()
def test_bfloat16_is_no_farther_from_the_truth() -> None:
    trunk, images = hiera(), torch.randn(2, 3, 192, 192)
    exact = trunk(images)
    with torch.autocast("cpu", torch.bfloat16):
        usual = trunk(images)
        leave_out_padding(trunk, wanted=True)
        found = trunk(images)
    for a, b, c in zip(exact, usual, found, strict=True):
        assert (c.float() - a).abs().mean() < 1.2 * (b.float() - a).abs().mean()
