"""Feature grids painted by hand, and a segmenter that needs no weights."""

from __future__ import annotations

import cv2
import numpy as np

from tracker.models.sam2 import MaskCandidate
from tracker.types import ImageFeatures
from tracker.views import in_view

WIDTH = 16  # numbers per feature; axis i is the i-th kind of surface


def painted(kinds_hw, noise=0.05, seed=0):
    """Features of a grid of surface kinds: nearly equal for the same kind, apart for others."""
    kinds_hw = np.asarray(kinds_hw)
    patches = np.eye(WIDTH, dtype=np.float32)[kinds_hw]
    patches += np.random.default_rng(seed).normal(0, noise, patches.shape).astype(np.float32)
    patches /= np.linalg.norm(patches, axis=2, keepdims=True)
    mean = patches.mean(axis=(0, 1))
    return ImageFeatures(mean / np.linalg.norm(mean), patches)


def grid_with(rows, columns, *objects):
    """A grid of kind 0 with rectangles of other kinds: (kind, top, left, bottom, right)."""
    kinds = np.zeros((rows, columns), int)
    for kind, top, left, bottom, right in objects:
        kinds[top:bottom, left:right] = kind
    return kinds


def grown_mask(kinds_hw, kind, cell_px=10):
    """The mask of a kind at `cell_px` pixels per cell."""
    return np.kron(np.asarray(kinds_hw) == kind, np.ones((cell_px, cell_px), bool))


class ColourPrompter:
    """Answers a prompt with the connected area of the colour under it.

    Stands in for SAM2 where a test is about decisions: on pictures of plain shapes it segments
    exactly, without weights.
    """

    fits_edges = True

    def set_image(self, image_hwc, view=None):
        self.image, self.view = image_hwc.astype(int), view

    def predict(
        self, points_n2=None, point_labels_n=None, box_xyxy=None, *, tight_box=True, fitted=True
    ):
        if points_n2 is not None:
            seeds = [xy for xy, label in zip(points_n2, point_labels_n, strict=True) if label]
        else:
            seeds = [((box_xyxy[0] + box_xyxy[2]) / 2, (box_xyxy[1] + box_xyxy[3]) / 2)]
        mask = np.zeros(self.image.shape[:2], bool)
        for x, y in seeds:
            colour = self.image[int(y), int(x)]
            alike = np.zeros(mask.shape, np.uint8)
            seen = in_view(self.image, self.view)
            in_view(alike, self.view)[:] = np.abs(seen - colour).max(axis=2) < 30
            _, parts = cv2.connectedComponents(alike)
            mask |= parts == parts[int(y), int(x)]
        return [MaskCandidate(mask, 0.9)]
