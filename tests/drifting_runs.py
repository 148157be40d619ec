"""A run whose first object goes astray, made without SAM2: which frames are wrong is known.

A red checked square and a blue striped disc move over a mottled ground. The mask of the square is
right on frames 0 to 7, lies beside it from 8 to 15 (and the scores fall), and is empty from 16 on.
The disc's is always right.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tracker.session.identity import ModelIdentity, identify_video
from tracker.session.run_folder import RunFolder
from tracker.session.run_info import RunInfo
from tracker.session.run_writer import RunWriter
from tracker.settings import TrackSettings
from tracker.types import FrameResult, ObjectMask, Prompt
from tracker.video import open_video

WIDTH, HEIGHT, FRAMES = 160, 120, 22
ASTRAY, EMPTY = 8, 16
SQUARE, DISC = 1, 2


def square(index: int) -> NDArray[np.bool_]:
    """The true mask of the square."""
    mask_hw = np.zeros((HEIGHT, WIDTH), bool)
    left = 12 + 3 * index
    mask_hw[30:66, left : left + 36] = True
    return mask_hw


def disc(index: int) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.hypot(rows - 92, columns - 120 + 2 * index) < 18


def picture(index: int) -> NDArray[np.uint8]:
    """Frame `index`, RGB."""
    rng = np.random.default_rng(5)
    ground = cv2.resize(rng.integers(60, 160, (15, 20, 3), dtype=np.uint8), (WIDTH, HEIGHT))
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    checks = ((rows // 6 + (columns - 3 * index) // 6) % 2)[..., None]
    stripes = ((columns + 2 * index) // 4 % 2)[..., None]
    red = np.where(checks, (220, 30, 30), (250, 220, 60))
    blue = np.where(stripes, (30, 60, 220), (240, 240, 250))
    image = np.where(square(index)[..., None], red, ground)
    return np.where(disc(index)[..., None], blue, image).astype(np.uint8)


def make_frames(folder: Path) -> Path:
    """The video, as a folder of images."""
    folder.mkdir(parents=True)
    for index in range(FRAMES):
        Image.fromarray(picture(index)).save(folder / f"{index:03d}.png")
    return folder


def tracked(index: int) -> tuple[ObjectMask, ObjectMask]:
    """Both objects as the run has them."""
    other = ObjectMask(DISC, disc(index), 6.0, 0.85)
    if index < ASTRAY:
        return ObjectMask(SQUARE, square(index), 6.0, 0.85), other
    if index < EMPTY:
        return ObjectMask(SQUARE, np.roll(square(ASTRAY), 50, axis=0), 4.0, 0.45), other
    return ObjectMask(SQUARE, np.zeros((HEIGHT, WIDTH), bool), -3.0, 0.3), other


def make_run(folder: Path, frames: Path) -> RunFolder:
    """The run over `make_frames`."""
    with open_video(frames) as video:
        info = RunInfo(
            video=video.info,
            identity=identify_video(frames),
            settings=TrackSettings(appearance_every=4),
            models={"sam2": ModelIdentity("demo", "cd" * 32, 256)},
            labels={SQUARE: "square", DISC: None},
            versions={"track": "0.1.0"},
            started="2026-01-02T03:04:05+00:00",
        )
        prompts = [
            Prompt(0, SQUARE, mask_hw=square(0), label="square"),
            Prompt(0, DISC, mask_hw=disc(0)),
        ]
        with RunWriter(folder, info, prompts) as writer:
            for index in range(FRAMES):
                writer.write(FrameResult(video.read(index), tracked(index)))
    return RunFolder(folder)
