"""Pictures that show a whole run at one glance."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_PAPER, _INK, _FAINT = (18, 20, 24), (236, 238, 240), (140, 146, 154)


def contact_sheet(
    cells: Sequence[tuple[NDArray[np.uint8], str, str]], columns: int = 4, title: str = ""
) -> NDArray[np.uint8]:
    """Pictures in a grid, each with a caption below it.

    Args:
        cells: at least one `(image_hwc, caption, note)`: RGB uint8, all of one size; the caption
            stands on the left, the note on the right.
        columns: at most so many in a row.
        title: one line on top; none when empty.

    Returns:
        RGB uint8.
    """
    columns = min(columns, len(cells))
    height, width = cells[0][0].shape[:2]
    gap, text = max(6, width // 32), max(11, width // 22)
    strip, head = text * 2, text * 3 if title else 0
    size = (
        gap + columns * (width + gap),
        gap + head + ceil(len(cells) / columns) * (height + strip + gap),
    )
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((gap, gap + head / 2), title, _INK, _font(round(text * 1.4)), anchor="lm")
    for number, (image_hwc, caption, note) in enumerate(cells):
        x = gap + number % columns * (width + gap)
        y = gap + head + number // columns * (height + strip + gap)
        sheet.paste(Image.fromarray(image_hwc), (x, y))
        middle = y + height + strip / 2
        draw.text((x, middle), caption, _INK, _font(text), anchor="lm")
        draw.text((x + width, middle), note, _FAINT, _font(text), anchor="rm")
    return np.asarray(sheet)


def clock(seconds: float) -> str:
    """`0:01.25`, or `1:02:03.25` from an hour on."""
    minutes, rest = divmod(max(0.0, seconds), 60)
    hours, minutes = divmod(int(minutes), 60)
    front = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{front}:{rest:05.2f}"


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
