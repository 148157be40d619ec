"""How stored frames are turned and mirrored so that they stand upright."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways a rectangle can be laid on itself: transpose first, then flip."""

    transposed: bool = False
    rows_flipped: bool = False
    columns_flipped: bool = False

    @classmethod
    def from_display_matrix(cls, matrix: Sequence[int]) -> Orientation | None:
        """The orientation that a display matrix asks for; None unless it is a multiple of 90°.

        `matrix` holds (a, b, u, c, d, v, x, y, w); a stored point (p, q) is shown at
        (a·p + c·q + x, b·p + d·q + y), with 16.16 fixed-point numbers (FFmpeg's
        libavutil/display.h, ISO/IEC 14496-12 section 6.2.2).
        """
        a, b, _, c, d = (value / 65536 for value in matrix[:5])
        size = max(abs(value) for value in (a, b, c, d))
        if size and max(abs(b), abs(c)) < 0.01 * size:
            return cls(False, rows_flipped=d < 0, columns_flipped=a < 0)
        if size and max(abs(a), abs(d)) < 0.01 * size:
            return cls(True, rows_flipped=b < 0, columns_flipped=c < 0)
        return None

    def apply(self, stored_hwc: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The upright image, contiguous."""
        image_hwc = stored_hwc.transpose(1, 0, 2) if self.transposed else stored_hwc
        if self.rows_flipped:
            image_hwc = image_hwc[::-1]
        if self.columns_flipped:
            image_hwc = image_hwc[:, ::-1]
        return np.ascontiguousarray(image_hwc)
