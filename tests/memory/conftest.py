"""A tiny feature model with fixed random weights, and pictures of coloured discs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from transformers import Dinov2Config, Dinov2Model

from tracker.models.dinov2 import FeatureExtractor


def make_extractor(folder, name="tiny", seed=0) -> FeatureExtractor:
    torch.manual_seed(seed)
    config = Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=112, patch_size=14
    )
    Dinov2Model(config).save_pretrained(folder)
    return FeatureExtractor(name, folder, f"{seed:064x}", long_side=224)


@pytest.fixture(scope="session")
def extractor(tmp_path_factory):
    return make_extractor(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def other_extractor(tmp_path_factory):
    return make_extractor(tmp_path_factory.mktemp("other"), "other", seed=1)


@pytest.fixture
def disc():
    """A function that paints a disc on a noisy ground: (RGB image, bool mask)."""

    def paint(x, y, radius=30, colour=(220, 40, 40), ground=90, size=(180, 240), seed=0):
        rng = np.random.default_rng(seed)
        image = np.full((*size, 3), ground, np.uint8)
        image += rng.integers(0, 12, image.shape, dtype=np.uint8)
        cv2.circle(image, (x, y), radius, colour, -1)
        mask = np.zeros(size, np.uint8)
        cv2.circle(mask, (x, y), radius, 1, -1)
        return image, mask.astype(bool)

    return paint
