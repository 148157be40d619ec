from __future__ import annotations

import tracker.video


def test_public_names_are_these():
    assert sorted(tracker.video.__all__) == [
        "DecodeProblem",
        "ReaderName",
        "VideoReader",
        "VideoWriter",
        "image_format",
        "index_palette",
        "open_video",
        "read_image",
        "read_index_mask",
        "write_index_mask",
    ]
    assert all(hasattr(tracker.video, name) for name in tracker.video.__all__)
