from __future__ import annotations

import numpy as np

from tracker.types import Frame
from tracker.video.ring import FrameRing, ring_capacity


def frame(index: int) -> Frame:
    return Frame(index, index, np.zeros((2, 2, 3), np.uint8))


def test_the_newest_frames_stay():
    ring = FrameRing(3)
    for index in range(10):
        ring.put(frame(index))
    assert len(ring) == 3
    assert [index for index in range(10) if ring.get(index)] == [7, 8, 9]


def test_a_frame_that_is_put_again_is_new_again():
    ring = FrameRing(2)
    for index in (1, 2, 1, 3):
        ring.put(frame(index))
    assert [index for index in range(5) if ring.get(index)] == [1, 3]


def test_a_smaller_capacity_takes_effect_with_the_next_frame():
    ring = FrameRing(8)
    for index in range(8):
        ring.put(frame(index))
    ring.capacity = 2
    ring.put(frame(8))
    assert [index for index in range(9) if ring.get(index)] == [7, 8]


def test_capacity_is_bounded_by_count_and_by_bytes():
    assert ring_capacity(854, 480) == 64
    assert ring_capacity(1920, 1080) == 43  # 256 MiB of 6.2 MB each
    assert ring_capacity(3840, 2160) == 10
    assert ring_capacity(20_000, 20_000) == 1
