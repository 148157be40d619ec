"""Fixtures that every room's tests may use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import made_videos


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """`make_video(name="video.mp4", frames=30, **options)`, written into the test's own folder.

    Every frame paints its index; `tests.made_videos.painted_index` reads it.
    """

    def make(name: str = "video.mp4", frames: int = 30, **options: Any) -> Path:
        return made_videos.make_video(tmp_path / name, frames, **options)

    return make
