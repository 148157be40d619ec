"""How fast masks are scored: 480p, 100 frames, 3 objects, read from PNGs.

python -m benchmarks.evaluation
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.results import Row, write_table
from tracker.evaluation.evaluate import evaluate
from tracker.evaluation.sequences import find_comparisons
from tracker.video import write_index_mask

HEIGHT, WIDTH, FRAMES, OBJECTS = 480, 854, 100, 3


def _blobs(frame: int, shift: int) -> NDArray[np.uint8]:
    """Three large objects with rough outlines, moving."""
    rng = np.random.default_rng(0)
    index_hw = np.zeros((HEIGHT, WIDTH), np.uint8)
    for object_id in range(1, OBJECTS + 1):
        angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
        radii = 90 + rng.normal(0, 12, 60)
        centre = (object_id * WIDTH // 4 + frame + shift, HEIGHT // 2 + 40 * (object_id - 2))
        points = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1) + centre
        cv2.fillPoly(index_hw, [points.astype(np.int32)], object_id)
    return index_hw


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, shift in (("prediction", 3), ("truth", 0)):
            (Path(folder) / name).mkdir()
            for frame in range(FRAMES):
                path = Path(folder) / name / f"{frame:05d}.png"
                write_index_mask(path, _blobs(frame, shift))
        found = find_comparisons(Path(folder, "prediction"), Path(folder, "truth"))
        for what, tracking in (("J and F", False), ("J, F, MOTSA, IDF1 and HOTA", True)):
            wall, cpu = time.perf_counter(), time.process_time()
            scores = evaluate(found, scored="all", tracking=tracking)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            # What else the machine is doing shows in the one and not in the other.
            rows.append(Row(f"{what}, seconds", wall, f"J&F {scores.summary['J&F']:.3f}"))
            rows.append(Row(f"{what}, seconds of one core", cpu))
    title = f"Scoring {FRAMES} frames of {WIDTH}x{HEIGHT} with {OBJECTS} objects"
    write_table("evaluation", title, rows)
    for row in rows:
        print(f"{row.what}: {row.value:.2f} {row.note}")


if __name__ == "__main__":
    main()
