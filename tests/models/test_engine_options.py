"""The switches: what is refused, and in which float type they compute."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tracker.errors import SettingsError
from tracker.models import precision
from tracker.models.engine_options import EngineOptions
from tracker.models.precision import resolve_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"precision": "int8"}, "one of auto, fp32, bf16, fp16"),
        ({"memory_policy": "best"}, "one of sam2, presence, distractor"),
        ({"batch_frames": 0}, "1 or more"),
        ({"max_cond_frames": 2}, "3 or more"),
        ({"exact": True, "compile": True}, "which compile changes"),
        ({"exact": True, "batch_frames": 2}, "which batch_frames=2 changes"),
        ({"exact": True, "precision": "fp16"}, "cannot do fp16"),
        ({"exact": True, "memory_policy": "presence"}, "which memory_policy=presence changes"),
        ({"edges": "sharp"}, "one of auto, model, picture"),
        ({"exact": True, "edges": "picture"}, "which edges=picture changes"),
        ({"candidates": "best"}, "candidates 'best': one of auto, model, picture"),
        ({"exact": True, "candidates": "picture"}, "which candidates=picture changes"),
    ],
)
def test_refused(switches: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        EngineOptions(**switches)


@pytest.mark.parametrize(
    ("value", "exact", "image_size", "has_a_say"),
    [
        ("model", False, 64, False),
        ("picture", False, 1024, True),
        ("auto", False, 288, True),
        ("auto", False, 512, False),
        ("auto", True, 288, False),
    ],
)
def test_where_the_picture_has_a_say(
    value: str, exact: bool, image_size: int, has_a_say: bool
) -> None:
    assert EngineOptions(exact, edges=value).fits_edges(image_size) == has_a_say
    assert EngineOptions(exact, candidates=value).asks_picture(image_size) == has_a_say


@pytest.mark.parametrize(
    ("native", "image_size", "expected"),
    [
        (True, 1024, torch.bfloat16),
        (True, 512, torch.bfloat16),
        (True, 256, torch.float32),
        (False, 1024, torch.float32),
    ],
)
def test_auto_on_a_cpu(
    native: bool, image_size: int, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "cpu_multiplies_bf16", lambda: native)
    assert resolve_precision("auto", CPU, image_size) == expected


def test_named_precisions() -> None:
    assert resolve_precision("fp16", CPU, 64) == torch.float16
    assert resolve_precision("bf16", CPU, 64) == torch.bfloat16
    assert resolve_precision("auto", torch.device("mps"), 1024) == torch.float32
    with pytest.raises(SettingsError, match="one of auto, fp32"):
        resolve_precision("fp8", CPU, 64)


def test_weights_are_cast_once(small_streaming: Any) -> None:
    lowered = small_streaming(precision="bf16")
    weights = {name: each.dtype for name, each in lowered.named_parameters()}
    assert weights["memory_attention.layers.0.linear1.weight"] == torch.bfloat16
    assert weights["image_encoder.neck.convs.0.conv.weight"] == torch.bfloat16
    assert weights["memory_attention.norm.weight"] == torch.float32
    assert {each.dtype for each in small_streaming().parameters()} == {torch.float32}
