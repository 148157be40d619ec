"""Frames reach the model with the bits that SAM2 gives them, one at a time."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from sam2.utils.misc import load_video_frames

from tracker.models.frames import (
    UNKNOWN_LENGTH,
    EndOfVideo,
    FrameSource,
    FrameTensors,
    VideoFileFrames,
    open_frames,
)

CPU = torch.device("cpu")


def test_the_bits_are_those_of_sam2(clip: Any) -> None:
    expected, height, width = load_video_frames(str(clip.folder), 96, True, compute_device=CPU)
    tensors = FrameTensors(clip, 96, CPU)
    assert (height, width, len(expected)) == (clip.height, clip.width, len(tensors))
    for index in (0, 7, 63):
        assert torch.equal(tensors[index], expected[index])
        assert tensors[index].stride() == expected[index].stride()
        assert tensors[index].dtype == torch.float32


def test_every_value_of_every_channel() -> None:
    """SAM2 divides in float64 and rounds, FrameTensors divides in float32: the bits agree."""
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)

    class Ramp:
        height = width = 16

        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> Any:
            return np.stack([values] * 3, axis=2)

    mean, std = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
    scaled = torch.from_numpy(values / 255.0).to(torch.float32)
    found = FrameTensors(Ramp(), 16, CPU)[0]
    for channel in range(3):
        assert torch.equal(found[channel], (scaled - mean[channel]) / std[channel])


def test_past_the_end_and_before_the_start(clip: Any) -> None:
    tensors = FrameTensors(clip, 32, CPU)
    with pytest.raises(EndOfVideo, match="no frame 64"):
        tensors[64]
    with pytest.raises(IndexError, match="from 0"):
        tensors[-1]


def test_a_file_has_no_known_length(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for grey in range(0, 200, 40):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), grey, np.uint8), "rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    frames = open_frames(path)
    assert isinstance(frames, VideoFileFrames) and isinstance(frames, FrameSource)
    assert (frames.height, frames.width, len(frames)) == (48, 64, UNKNOWN_LENGTH)
    assert [round(float(frames[i].mean()), -1) for i in (4, 0, 2)] == [160, 0, 80]
    with pytest.raises(IndexError):
        frames[5]


def test_a_folder_knows_its_length(clip: Any) -> None:
    frames = open_frames(str(clip.folder))
    assert (frames.height, frames.width, len(frames)) == (144, 176, 64)
    np.testing.assert_array_equal(frames[5], clip[5])


def test_a_frame_source_is_taken_as_it_is(clip: Any) -> None:
    assert open_frames(clip) is clip
