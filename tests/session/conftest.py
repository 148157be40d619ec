"""Runs without a model, and models with random weights."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
import torch

from tests.made_models import random_predictor, small_random_predictor
from tracker.models.streaming import StreamingVideoPredictor
from tracker.session.identity import ModelIdentity, VideoIdentity
from tracker.session.run_info import RunInfo
from tracker.settings import TrackSettings
from tracker.types import Frame, FrameResult, ObjectMask, Prompt, VideoInfo

HEIGHT, WIDTH = 24, 32


@pytest.fixture
def run_info():
    """Makes the description of a run; keywords are settings."""

    def make(**settings) -> RunInfo:
        return RunInfo(
            video=VideoInfo("/v/a.mp4", WIDTH, HEIGHT, Fraction(25), Fraction(1, 12800), 200),
            identity=VideoIdentity("/v/a.mp4", 1234, "ab" * 32),
            settings=TrackSettings(**settings),
            models={"sam2": ModelIdentity("demo", "cd" * 32, 256)},
            labels={1: "cup", 2: None},
            versions={"track": "0.1.0"},
            started="2026-01-02T03:04:05+00:00",
        )

    return make


@pytest.fixture
def result():
    """Makes the result of a frame: a square per object, moved right by the frame's index."""

    def make(index: int, object_ids=(1, 2), size: int = 5) -> FrameResult:
        masks = []
        for object_id in object_ids:
            mask_hw = np.zeros((HEIGHT, WIDTH), bool)
            left = index % (WIDTH - size)
            mask_hw[object_id : object_id + size, left : left + size] = True
            masks.append(ObjectMask(object_id, mask_hw, 5.0 + index / 8, 0.5))
        image_hwc = np.full((HEIGHT, WIDTH, 3), index % 256, np.uint8)
        return FrameResult(Frame(index, index * 512, image_hwc), tuple(masks))

    return make


@pytest.fixture
def prompts():
    return (Prompt(0, 1, box_xyxy=(1, 2, 9, 9), label="cup"), Prompt(3, 2, box_xyxy=(1, 2, 9, 9)))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """The order of sums, and so the bits, must be the same in what a module's tests share."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def predictor() -> StreamingVideoPredictor:
    return random_predictor(0, 128)


@pytest.fixture(scope="session")
def small_predictor() -> StreamingVideoPredictor:
    """At 64 px, for tests that need many frames."""
    return small_random_predictor()
