"""Maps that follow the edges of a picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tracker.guided_filter import guided

SMALL_HW, LARGE_HW = (40, 60), (80, 120)


def grainy(size_hw: tuple[int, int], seed: int = 0) -> NDArray[np.float32]:
    """A picture of slow waves in three channels, each another way."""
    rows, columns = (np.linspace(0, 6, n) for n in size_hw)
    waves = [np.sin(rows)[:, None] + np.cos(k * columns) for k in (1.0, 1.3, 0.7)]
    grain = np.random.default_rng(seed).normal(0, 3, (*size_hw, 3))
    return (60 * np.dstack(waves) + 120 + grain).astype(np.float32)


def test_what_is_linear_in_colour_stays_so() -> None:
    small, large = grainy(SMALL_HW), grainy(LARGE_HW, seed=1)
    slopes = np.array([0.01, -0.02, 0.005], np.float32)
    found = guided(small @ slopes + 2, small, large, radius=3, epsilon=1e-3)
    assert found.shape == LARGE_HW and found.dtype == np.float32
    np.testing.assert_allclose(found, large @ slopes + 2, atol=0.02)


def test_a_soft_edge_goes_to_that_of_the_picture() -> None:
    large = np.full((*LARGE_HW, 3), 80, np.float32)
    large[:, 63:] = 160
    large += np.random.default_rng(0).normal(0, 4, large.shape).astype(np.float32)
    small = cv2.resize(large, SMALL_HW[::-1], interpolation=cv2.INTER_AREA)
    soft = np.tile(np.clip((np.arange(60, dtype=np.float32) - 25) / 10, 0, 1), (40, 1))
    found = guided(soft, small, large, radius=5, epsilon=10)
    assert (np.abs((found > 0.5).argmax(axis=1) - 63) <= 1).all()


@pytest.mark.parametrize("picture", [np.zeros((40, 60, 3), np.float32), grainy(SMALL_HW)])
def test_a_constant_stays(picture: NDArray[np.float32]) -> None:
    found = guided(np.full(SMALL_HW, 0.7, np.float32), picture, picture, radius=4, epsilon=10)
    np.testing.assert_allclose(found, 0.7, atol=1e-4)


def test_where_the_picture_is_plain_values_are_averaged() -> None:
    values = np.random.default_rng(0).random(SMALL_HW).astype(np.float32)
    plain = np.full((*SMALL_HW, 3), 90, np.float32)
    found = guided(values, plain, plain, radius=2, epsilon=10)
    window = (5, 5)
    averaged = cv2.blur(values, window, borderType=cv2.BORDER_REFLECT)
    expected = cv2.blur(averaged, window, borderType=cv2.BORDER_REFLECT)
    np.testing.assert_allclose(found, expected, atol=1e-3)
