"""What the measurements of the engine are about: cases, their names, and made-up frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Case:
    """What one run measures.

    Attributes:
        task: `frames` (time for each frame), `first` (time to the first mask), `whole` (from a
            video file to an annotated one), `memory` (peak memory over frames that are made up).
        engine: `reference`, `vos` (SAM2's compiled variant) or `ours`.
        model: `demo`, or the ending of a SAM2.1 config: `t`, `s`, `b+`, `l`.
        image_size: side in pixels.
        objects: how many, all prompted on frame 0.
        frames: how many are tracked.
        source: folder of JPEGs (`frames`, `first`) or video file (`whole`).
        precision: `fp32`, or `bf16`: the reference runs under autocast, as its authors run it.
        switches: of ours; of `vos`, the `mode` of torch.compile if not the one SAM2 asks for.
        profile: add torch's table of operators.
        decoded: ours gets frames that are decoded before, as the reference has them.
        lock: a file that is locked while frames are timed, so that runs are timed one by one.
    """

    task: str
    engine: str
    model: str
    image_size: int
    objects: int
    frames: int
    source: str = ""
    precision: str = "fp32"
    switches: dict[str, Any] = field(default_factory=dict)
    profile: bool = False
    device: str = "cpu"
    decoded: bool = False
    lock: str = ""


def name(case: Case) -> str:
    switches = " ".join(f"{k}={v}" for k, v in case.switches.items())
    parts = [case.task, case.model, f"{case.image_size} px", f"{case.objects} obj", case.engine]
    return " · ".join([*parts, case.precision, *([switches] if switches else [])])


def made_frames(count: int, width: int, height: int) -> Iterator[np.ndarray]:
    """RGB uint8: a square that wanders over coloured patches."""
    rng = np.random.default_rng(3)
    ground = np.asarray(
        Image.fromarray(rng.integers(0, 256, (height // 40, width // 40, 3), dtype=np.uint8))
        .resize((width, height))
    )  # fmt: skip
    for index in range(count):
        image = ground.copy()
        x, y = 3 * index % (width - 200), 2 * index % (height - 200)
        image[y : y + 200, x : x + 200] = (250, 40, 90)
        yield image


def save_frame(folder: Path, index: int, image_hwc: np.ndarray) -> None:
    """As SAM2 reads them: a folder of numbered JPEGs."""
    Image.fromarray(image_hwc).save(folder / f"{index:05d}.jpg", quality=90)
