"""Position tables are made once, are SAM2's own, and follow the weights."""

from __future__ import annotations

from typing import Any

import torch


def test_positions_are_sam2s_and_shared(reference: Any, predictor: Any) -> None:
    image = torch.zeros(1, 3, 64, 64)
    with torch.inference_mode():
        expected = reference.forward_image(image)["vision_pos_enc"]
        first = predictor.forward_image(image)["vision_pos_enc"]
        again = predictor.forward_image(image)["vision_pos_enc"]
    assert torch.equal(expected[-1], first[-1])
    assert torch.equal(expected[-1], again[-1])
    assert [each.shape for each in expected] == [each.shape for each in first]
    assert first[0].untyped_storage().nbytes() <= 16  # the fine levels are read for their shape


def test_a_table_that_depends_on_weights_follows_them(small_streaming: Any) -> None:
    model = small_streaming()
    before = model.sam_prompt_encoder.get_dense_pe()
    assert model.sam_prompt_encoder.get_dense_pe() is before
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    weights["sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"] += 1
    model.load_state_dict(weights)
    assert not torch.equal(model.sam_prompt_encoder.get_dense_pe(), before)
    with torch.autocast("cpu", torch.bfloat16):
        assert model.sam_prompt_encoder.get_dense_pe().dtype != before.dtype
