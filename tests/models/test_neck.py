"""One projection of the finest maps gives what SAM2's two give, but for rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tracker.models.neck import project_at_once
from tracker.models.streaming import StreamingVideoPredictor

Build = Callable[..., StreamingVideoPredictor]


def maps(predictor: Any, images: torch.Tensor) -> list[torch.Tensor]:
    found: list[torch.Tensor] = predictor.forward_image(images)["backbone_fpn"]
    return found


def projections(predictor: Any) -> list[Any]:
    """The neck's and the decoder's for the finest map, then those for the next."""
    convs, decoder = predictor.image_encoder.neck.convs, predictor.sam_mask_decoder
    return [convs[-1].conv, decoder.conv_s0, convs[-2].conv, decoder.conv_s1]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@torch.inference_mode()
def test_same_maps(small_streaming: Build, precision: str) -> None:
    predictor = small_streaming(precision=precision)
    images = torch.randn(2, 3, 64, 64)
    found = maps(predictor, images)
    project_at_once(predictor, wanted=False)
    expected = maps(predictor, images)
    digits = {"atol": 1e-5, "rtol": 1e-5} if precision == "fp32" else {"atol": 0.02, "rtol": 0.02}
    assert not torch.equal(found[0], expected[0])
    assert torch.equal(found[2], expected[2])
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, **digits)


@torch.inference_mode()
def test_other_weights(small_streaming: Build) -> None:
    predictor, images = small_streaming(), torch.randn(1, 3, 64, 64)
    maps(predictor, images)
    other = {
        name: 2 * weight if "conv_s0" in name else weight
        for name, weight in predictor.state_dict().items()
    }
    predictor.load_state_dict(other)
    found = maps(predictor, images)
    project_at_once(predictor, wanted=False)
    torch.testing.assert_close(found[0], maps(predictor, images)[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("override", "together"),
    [
        ("++model.image_encoder.neck.fpn_top_down_levels=[2,3]", [True, True]),
        ("++model.image_encoder.neck.fpn_top_down_levels=[1,2,3]", [True, False]),
        ("++model.image_encoder.neck.fpn_top_down_levels=[0,2,3]", [False, False]),
        ("++model.image_encoder.neck.kernel_size=3", [False, False]),
    ],
)
def test_only_maps_that_nothing_else_reads(
    small_streaming: Build, override: str, together: list[bool]
) -> None:
    widen0, narrow0, widen1, narrow1 = projections(small_streaming(override))
    assert ["forward" in vars(each) for each in (widen0, widen1)] == together
    assert ["forward" in vars(each) for each in (narrow0, narrow1)] == together


def test_exact_keeps_both(small_streaming: Build) -> None:
    for each in projections(small_streaming(exact=True)):
        assert "forward" not in vars(each)


def test_a_decoder_that_reads_no_finer_maps(small_streaming: Build) -> None:
    predictor = small_streaming("++model.use_high_res_features_in_sam=false")
    assert "forward" not in vars(predictor.image_encoder.neck.convs[-1].conv)
