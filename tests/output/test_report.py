"""Contact sheets."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.output.report import clock, contact_sheet


def cell(value: int):
    return np.full((30, 60, 3), value, np.uint8), f"frame {value}", "0:00.00"


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (4, 4, 1), (5, 4, 2), (8, 4, 2)])
def test_pictures_stand_in_a_grid_in_reading_order(count, columns, rows):
    sheet = contact_sheet([cell(40 + 20 * n) for n in range(count)])
    gap, strip = 6, 22
    assert sheet.shape == (gap + rows * (30 + strip + gap), gap + columns * (60 + gap), 3)
    for number in range(count):
        x = gap + number % 4 * (60 + gap)
        y = gap + number // 4 * (30 + strip + gap)
        assert (sheet[y : y + 30, x : x + 60] == 40 + 20 * number).all()


def test_a_title_stands_on_top():
    plain, titled = contact_sheet([cell(80)]), contact_sheet([cell(80)], title="clip")
    assert titled.shape[0] > plain.shape[0]
    assert titled[: titled.shape[0] - plain.shape[0]].max() > 200


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00.00"), (61.256, "1:01.26"), (3723.5, "1:02:03.50"), (-1, "0:00.00")],
)
def test_clock(seconds, text):
    assert clock(seconds) == text
