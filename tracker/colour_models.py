"""What colours say: mixtures of Gaussians of an object's colours and of its surroundings'.

They are learned as GrabCut learns them (Rother, Kolmogorov and Blake, 2004), by OpenCV.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask

COMPONENTS = 5  # of a mixture
_NUMBERS = 13 * COMPONENTS  # weights, means, covariances, each for all components in turn
_NO_BOX = (0, 0, 0, 0)  # GrabCut reads none where it has labels


@dataclass(frozen=True, eq=False)
class Mixture:
    """weights_k, means_k3, precisions_k33: float64; components without weight are left out."""

    weights_k: NDArray[Any]
    means_k3: NDArray[Any]
    precisions_k33: NDArray[Any]

    def log_likelihood(self, colours_n3: NDArray[np.float32]) -> NDArray[np.float32]:
        """Up to a constant that all mixtures share; float32 (n,)."""
        _, log_determinants_k = np.linalg.slogdet(self.precisions_k33)
        constants_k = np.log(self.weights_k) + log_determinants_k / 2
        whitened = np.linalg.cholesky(self.precisions_k33)  # |Lᵀd|² is the Mahalanobis distance
        each = [
            np.float32(constant)
            - (((colours_n3 - mean.astype(np.float32)) @ white.astype(np.float32)) ** 2).sum(1) / 2
            for constant, mean, white in zip(constants_k, self.means_k3, whitened, strict=True)
        ]
        return np.asarray(np.logaddexp.reduce(each), np.float32)


def learn_colours(image_hwc: NDArray[np.uint8], mask_hw: BoolMask) -> tuple[Mixture, Mixture]:
    """The colours inside of a mask and outside of it.

    Args:
        image_hwc: uint8, three channels of any colour space. A function of this and the mask.
        mask_hw: bool; has pixels inside and outside.
    """
    labels_hw = np.where(mask_hw, cv2.GC_FGD, cv2.GC_BGD).astype(np.uint8)
    outside, inside = np.zeros((1, _NUMBERS)), np.zeros((1, _NUMBERS))
    cv2.setRNGSeed(0)  # colours are clustered from random starts
    cv2.grabCut(image_hwc, labels_hw, _NO_BOX, outside, inside, 1, cv2.GC_INIT_WITH_MASK)
    return _mixture(inside[0]), _mixture(outside[0])


def _mixture(numbers: NDArray[np.float64]) -> Mixture:
    """OpenCV's layout, as in modules/imgproc/src/grabcut.cpp."""
    weights_k, means, covariances = np.split(numbers, [COMPONENTS, 4 * COMPONENTS])
    used = weights_k > 0
    precisions_k33 = np.linalg.inv(covariances.reshape(-1, 3, 3)[used])
    return Mixture(weights_k[used], means.reshape(-1, 3)[used], precisions_k33)
