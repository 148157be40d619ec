"""Memory does not grow with the length of a run."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tracker.output.export import FORMATS, ExportInfo, ExportOptions, FrameMasks
from tracker.types import ObjectMask, VideoInfo

HEIGHT, WIDTH = 36, 48
SHORT, LONG = 10, 70  # frames
PER_FRAME = 600  # bytes: less than what the run-length codes of the two masks take


def frames(count: int):
    """A ring and a bar; every mask is made when its frame comes, and is another one."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for index in range(count):
        distance = np.hypot(rows - 18, columns - 14 - index % 9)
        ring_hw, bar_hw = (distance < 11) & (distance > 5), np.zeros((HEIGHT, WIDTH), bool)
        bar_hw[2 + index % 20 :, 40:46] = True
        objects = (ObjectMask(1, ring_hw, 5.0, 0.9), ObjectMask(2, bar_hw, 5.0, 0.9))
        image_hwc = np.full((HEIGHT, WIDTH, 3), index % 256, np.uint8)
        yield FrameMasks(index, index, objects), image_hwc


def kept_bytes(name: str, count: int, video: VideoInfo, folder: Path) -> tuple[int, int]:
    """What is held once so many frames are written, and the most that finishing takes on top."""
    info = ExportInfo(video, {1: "ring", 2: "bar"}, tuple(range(count)))
    tracemalloc.start()
    try:
        with FORMATS[name](info, folder, ExportOptions()) as writer:
            for frame, image_hwc in frames(count):
                writer.write(frame, image_hwc if writer.wants_image(frame.index) else None)
            del frame, image_hwc
            gc.collect()
            held, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
        return held, tracemalloc.get_traced_memory()[1] - held
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", FORMATS)
def test_memory_does_not_grow_with_length(name, info, tmp_path, monkeypatch):
    monkeypatch.setattr("tracker.output.export.scores._ROWS_PER_GROUP", 16)  # else LONG is short
    video = info(width=WIDTH, height=HEIGHT, frame_count=LONG).video
    kept_bytes(name, 2, video, tmp_path)  # loads what is loaded once
    short, long = (kept_bytes(name, count, video, tmp_path) for count in (SHORT, LONG))
    for few, many in zip(short, long, strict=True):
        assert many - few < PER_FRAME * (LONG - SHORT)
