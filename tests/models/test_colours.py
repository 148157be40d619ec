import cv2
import numpy as np
import pytest

from tracker.models.colours import SAME_COLOUR, WAVES, embed_colours

PATCH = 14
STORED = [0.2020, 0.1402, 0.0434, 0.1606]


def plain(*lab_colours, noise=0.0):
    """Patches of these CIELAB colours side by side, as an RGB uint8 image."""
    lab = np.repeat(np.array(lab_colours, np.float32)[None], PATCH, 0).repeat(PATCH, 1)
    rgb = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB) * 255
    rgb += np.random.default_rng(0).normal(0, noise, rgb.shape)
    return np.clip(rgb, 0, 255).round().astype(np.uint8)


def test_shapes_and_lengths():
    image = np.random.default_rng(0).integers(0, 256, (3 * PATCH, 5 * PATCH, 3), dtype=np.uint8)
    whole, patches = embed_colours(image, PATCH)
    assert whole.shape == (2 * WAVES,) and patches.shape == (3, 5, 2 * WAVES)
    assert whole.dtype == patches.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(patches, axis=2), 1, atol=1e-5)
    assert np.linalg.norm(whole) == pytest.approx(1, abs=1e-5)


def test_the_cosine_of_two_colours_is_near_that_of_the_gaussian_kernel():
    near, far = (60, 10 + SAME_COLOUR, 10), (60, 10, 60)
    _, patches = embed_colours(plain((60, 10, 10), near, far), PATCH)
    cosines = patches[0] @ patches[0, 0]
    # The error of random features is about 1 / sqrt(WAVES).
    assert cosines[1] == pytest.approx(np.exp(-1 / 2), abs=0.2)
    assert abs(cosines[2]) < 0.3


def test_where_in_a_patch_a_colour_is_does_not_matter_but_how_much_of_it_does():
    red, green = plain((50, 60, 40)), plain((50, -50, 40))
    half, mirrored, quarter = (red.copy() for _ in range(3))
    half[:, :7], mirrored[:, 7:], quarter[:7, :7] = green[:, :7], green[:, 7:], green[:7, :7]
    _, patches = embed_colours(np.concatenate([half, mirrored, quarter], axis=1), PATCH)
    cosines = patches[0] @ patches[0, 0]
    assert cosines[1] == pytest.approx(1, abs=1e-5)
    assert 0.7 < cosines[2] < 0.97


def test_noise_changes_little():
    _, patches = embed_colours(
        np.concatenate([plain((50, 30, 0)), plain((50, 30, 0), noise=3)], 1), PATCH
    )
    assert patches[0, 0] @ patches[0, 1] > 0.9


def test_stored_colours_stay_comparable():
    """Features are kept in memories: these numbers must never change."""
    whole, _ = embed_colours(plain((60, 10, 10), (30, -20, 40)), PATCH)
    np.testing.assert_allclose(whole[:4], STORED, atol=2e-3)
