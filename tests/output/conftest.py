"""A small run as formats see it: two objects that move over frames which paint their index."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tests.made_runs import made_frames, made_info
from tests.made_videos import paint_index
from tracker.output.export import FORMATS, ExportInfo, ExportOptions, FrameMasks
from tracker.types import ObjectMask, VideoInfo

WIDTH, HEIGHT = 97, 54  # odd on purpose
TIME_BASE = Fraction(1, 30000)
FRAMES = tuple(range(3, 43, 4))


@pytest.fixture
def info():
    """Makes an ExportInfo; keywords replace fields of the video."""

    def make(**video) -> ExportInfo:
        values = {
            "path": "/v/clip.mp4",
            "width": WIDTH,
            "height": HEIGHT,
            "frame_rate": Fraction(30000, 1001),
            "time_base": TIME_BASE,
            "frame_count": 50,
            **video,
        }
        return ExportInfo(VideoInfo(**values), {1: "cup", 7: ""}, FRAMES, stride=4)

    return make


@pytest.fixture
def frames():
    """`(FrameMasks, image)` for every frame; object 7 is absent from the last two."""

    def make():
        for place, index in enumerate(FRAMES):
            masks = [ObjectMask(1, _square(5 + place, 10), 4.5, 0.9)]
            away = place >= len(FRAMES) - 2
            other = np.zeros((HEIGHT, WIDTH), bool) if away else _square(50 + place, 30)
            masks.append(ObjectMask(7, other, -2.0 if away else 3.0, 0.5))
            yield FrameMasks(index, index * 1001, tuple(masks)), paint_index(index, WIDTH, HEIGHT)

    return make


def _square(left: int, top: int, side: int = 16) -> np.ndarray:
    mask_hw = np.zeros((HEIGHT, WIDTH), bool)
    mask_hw[top : top + side, left : left + side] = True
    return mask_hw


@pytest.fixture(params=["special", "crowd"])
def kind(request) -> str:
    """Which of the made runs."""
    return request.param


@pytest.fixture
def written(tmp_path):
    """Writes a made run in a format; keywords are export options. Returns the output."""

    def write(name: str, kind: str = "special", video: dict | None = None, **options):
        info = made_info(kind, **(video or {}))
        with FORMATS[name](info, tmp_path, ExportOptions(**options)) as writer:
            for frame, image_hwc in made_frames(kind):
                writer.write(frame, image_hwc if writer.wants_image(frame.index) else None)
        return writer.target

    return write
