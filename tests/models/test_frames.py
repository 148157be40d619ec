"""Frames reach the model with the bits that SAM2 gives them, one at a time."""

from __future__ import annotations

import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from sam2.utils.misc import load_video_frames

from tracker.errors import VideoError
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


class Counted:
    """A clip that allows reading ahead, and notes which frames were read in which thread."""

    def __init__(self, clip: Any, read_ahead: int) -> None:
        self.clip, self.read_ahead = clip, read_ahead
        self.height, self.width = clip.height, clip.width
        self.read: list[int] = []
        self.beside: list[int] = []

    def __len__(self) -> int:
        return len(self.clip)

    def __getitem__(self, index: int) -> Any:
        self.read.append(index)
        if threading.current_thread() is not threading.main_thread():
            self.beside.append(index)
        return self.clip[index]


def test_frames_are_read_ahead_of_a_pass(small_streaming: Any, clip: Any) -> None:
    predictor = small_streaming(batch_frames=1)
    passes = []
    for read_ahead in (0, 2):
        source = Counted(replace(clip, length=9), read_ahead)
        state = predictor.init_state(source)
        predictor.add_new_points_or_box(state, 0, 1, box=[60, 70, 120, 120])
        passes.append([masks for _, _, masks in predictor.propagate_in_video(state)])
        assert source.read == list(range(9))
        assert source.beside == (list(range(2, 9)) if read_ahead else [])
        assert all(not thread.name.startswith("read-ahead") for thread in threading.enumerate())
    assert len(passes[0]) == 9 and all(map(torch.equal, *passes))


def test_a_pass_that_is_left_early_or_goes_backward(small_streaming: Any, clip: Any) -> None:
    predictor = small_streaming(batch_frames=1)
    source = Counted(clip, 2)
    state = predictor.init_state(source)
    predictor.add_new_points_or_box(state, 0, 1, box=[60, 70, 120, 120])
    for frame, _, _ in predictor.propagate_in_video(state):
        if frame == 4:
            break
    assert max(source.read) <= 6
    assert all(not thread.name.startswith("read-ahead") for thread in threading.enumerate())
    source.beside.clear()
    assert len(list(predictor.propagate_in_video(state, 4, reverse=True))) == 5
    assert source.beside == []


def test_a_source_that_fails_while_read_ahead(predictor: Any, clip: Any) -> None:
    class Torn(Counted):
        def __getitem__(self, index: int) -> Any:
            if index == 3:
                raise VideoError("frame 3 cannot be read")
            return super().__getitem__(index)

    state = predictor.init_state(Torn(clip, 2))
    predictor.add_new_points_or_box(state, 0, 1, box=[60, 70, 120, 120])
    seen: list[int] = []
    with pytest.raises(VideoError, match="frame 3 cannot be read"):
        seen.extend(frame for frame, _, _ in predictor.propagate_in_video(state))
    assert seen == [0, 1, 2]
