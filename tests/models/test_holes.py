"""Holes are found by the same rule with OpenCV and with tensors alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tracker.masks import small_holes
from tracker.models.holes import fill_holes, holes_by_pooling


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.97, 1.0])
@pytest.mark.parametrize("max_area_px", [1, 8, 20])
def test_both_find_the_same(share: float, max_area_px: int) -> None:
    ground = torch.rand(4, 1, 48, 40, generator=torch.Generator().manual_seed(7)) < share
    found = holes_by_pooling(ground, max_area_px)
    for each, holes in zip(ground[:, 0].numpy(), found[:, 0].numpy(), strict=True):
        assert np.array_equal(holes, small_holes(~each, max_area_px))


def test_a_snake_and_a_block() -> None:
    """A region as long as it can be and one that is a pixel too large, at the border too."""
    ground = torch.zeros(1, 1, 12, 12, dtype=torch.bool)
    ground[0, 0, 0, :8] = True
    ground[0, 0, 3:6, 3:6] = True
    found = holes_by_pooling(ground, 8)
    assert found[0, 0, 0, :8].all() and found.sum() == 8


def test_filled() -> None:
    logits = torch.ones(1, 1, 8, 8)
    logits[0, 0, 2, 2] = -3
    logits[0, 0, 5:, 5:] = -3
    filled = fill_holes(logits, 8)
    assert filled[0, 0, 2, 2] == pytest.approx(0.1)
    assert torch.equal(filled[0, 0, 5:, 5:], logits[0, 0, 5:, 5:])
    assert fill_holes(logits, 0) is logits
