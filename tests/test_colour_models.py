"""Mixtures of the colours of an object and of its surroundings."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tracker.colour_models import COMPONENTS, Mixture, learn_colours

MASK = np.zeros((60, 80), bool)
MASK[15:45, 20:60] = True


def picture(inside: list[int], outside: list[int], grain: float = 10.0) -> NDArray[np.uint8]:
    colours = np.where(MASK[..., None], inside, outside)
    noise = np.random.default_rng(0).normal(0, grain, colours.shape)
    return np.clip(colours + noise, 0, 255).astype(np.uint8)


def likelihood(mixture: Mixture, colour: NDArray[np.float32]) -> float:
    """As the textbook has it, without the constant (2 pi)^-3/2."""
    total = 0.0
    parts = zip(mixture.weights_k, mixture.means_k3, mixture.precisions_k33, strict=True)
    for weight, mean, precision in parts:
        away = colour - mean
        total += weight * np.sqrt(np.linalg.det(precision)) * np.exp(-away @ precision @ away / 2)
    return float(total)


def test_a_colour_is_likelier_where_it_was_seen() -> None:
    inside, outside = learn_colours(picture([200, 60, 50], [60, 90, 180]), MASK)
    colours = np.array([[200, 60, 50], [60, 90, 180]], np.float32)
    odds = inside.log_likelihood(colours) - outside.log_likelihood(colours)
    assert odds.dtype == np.float32
    assert odds[0] > 5 and odds[1] < -5


def test_the_likelihood_is_that_of_a_mixture_of_gaussians() -> None:
    for mixture in learn_colours(picture([200, 60, 50], [60, 90, 180]), MASK):
        assert 1 <= len(mixture.weights_k) <= COMPONENTS
        assert mixture.weights_k.sum() == pytest.approx(1)
        near = (mixture.means_k3[:1] + np.array([4, -6, 3])).astype(np.float32)
        expected = np.log(likelihood(mixture, near[0]))
        assert mixture.log_likelihood(near)[0] == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_plain_colours_have_likelihoods_too() -> None:
    """Mixtures of a single colour: no component has a spread."""
    plain = picture([200, 60, 50], [60, 90, 180], grain=0)
    for mixture in learn_colours(plain, MASK):
        assert np.isfinite(mixture.log_likelihood(plain.reshape(-1, 3).astype(np.float32))).all()


def test_what_is_learned_depends_on_the_arguments_alone() -> None:
    image_hwc = picture([130, 100, 90], [110, 100, 120], grain=40)
    first = learn_colours(image_hwc, MASK)
    cv2.setRNGSeed(99)
    for one, again in zip(first, learn_colours(image_hwc, MASK), strict=True):
        np.testing.assert_array_equal(one.means_k3, again.means_k3)
        np.testing.assert_array_equal(one.precisions_k33, again.precisions_k33)
