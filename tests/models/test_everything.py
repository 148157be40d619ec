"""Everything at once, on a small model with random weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tracker.models.everything import EverythingGenerator

LOOSE: dict[str, Any] = {"points_per_side": 4, "min_iou": 0.0, "min_stability": 0.0}


def test_masks_come_with_their_scores_the_largest_first(predictor: Any, clip: Any) -> None:
    found = EverythingGenerator(predictor, **LOOSE).generate(clip[0])
    assert found
    areas = [int(np.count_nonzero(mask.mask_hw)) for mask in found]
    assert areas == sorted(areas, reverse=True) and areas[-1] > 0
    for mask in found:
        assert mask.mask_hw.shape == (clip.height, clip.width) and mask.mask_hw.dtype == np.bool_
        assert 0 <= mask.predicted_iou <= 1
        assert 0 <= mask.stability <= 1


@pytest.mark.parametrize("stricter", [{"min_iou": 1.0}, {"min_area_px": 144 * 176 + 1}])
def test_no_mask_reaches_a_threshold_that_none_can(
    predictor: Any, clip: Any, stricter: dict[str, Any]
) -> None:
    assert EverythingGenerator(predictor, **{**LOOSE, **stricter}).generate(clip[0]) == []


def test_suppression_and_crops_change_what_stays(predictor: Any, clip: Any) -> None:
    def count(**options: Any) -> int:
        return len(EverythingGenerator(predictor, **{**LOOSE, **options}).generate(clip[0]))

    assert count(box_nms=0.3) < count(box_nms=1.0) == 4 * 4 * 3
    assert count(points_per_side=2, box_nms=1.0) == 2 * 2 * 3


def test_crop_layers_search_the_parts_too(predictor: Any, clip: Any) -> None:
    encoded = []
    hook = predictor.image_encoder.register_forward_pre_hook(lambda *_: encoded.append(1))
    try:
        assert EverythingGenerator(predictor, **LOOSE, crop_layers=1).generate(clip[0])
    finally:
        hook.remove()
    assert len(encoded) == 1 + 4


def test_the_same_image_gives_the_same_masks(predictor: Any, clip: Any) -> None:
    generator = EverythingGenerator(predictor, **LOOSE)
    first, again = generator.generate(clip[0]), generator.generate(clip[0])
    assert [m.mask_hw.tobytes() for m in first] == [m.mask_hw.tobytes() for m in again]
