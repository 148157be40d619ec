"""The names of the ways in which masks are shown on frames; `annotate` draws them."""

from __future__ import annotations

from typing import Literal, get_args

Style = Literal[
    "blur",
    "pixelate",
    "blur-background",
    "pixelate-background",
    "halo",
    "mask",
    "contour",
    "box",
    "trace",
    "label",
    "side-by-side",
]

# In the order in which they are drawn, whatever the order they are asked for in: what hides the
# picture first, text last.
STYLES: tuple[Style, ...] = get_args(Style)
OVERLAY: tuple[Style, ...] = ("mask", "contour", "label")
