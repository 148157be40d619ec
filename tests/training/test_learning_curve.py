"""The learning curve: what is read from logs, and that it is drawn."""

from __future__ import annotations

import json
import math

import cv2
from click.testing import CliRunner

from training.learning_curve import main, read_logs


def log(path, minutes):
    lines = [{"step": 1, "minutes": m, "mask": 0.5, "iou": 0.1, "score": 0.2} for m in minutes]
    checks = [
        {"step": 1, "minutes": m, "mask": 0.3, "box": 0.2, "box first frame": 0.6} for m in minutes
    ]
    path.write_text("\n".join(json.dumps(e) for e in lines + checks) + "\n")
    return path


def test_runs_follow_one_another_with_a_gap(tmp_path):
    logs = (log(tmp_path / "a.jsonl", [1, 4]), log(tmp_path / "b.jsonl", [2]))
    losses, scores = read_logs(logs)
    assert [e["minutes"] for e in losses if not math.isnan(e["mask"])] == [1, 4, 6]
    assert [e["box"] for e in scores if not math.isnan(e["box"])] == [0.2, 0.2, 0.2]
    assert math.isnan(losses[2]["mask"])


def test_a_picture_comes_out(tmp_path):
    arguments = [str(log(tmp_path / "a.jsonl", [1, 2, 3])), "--output", str(tmp_path / "c.png")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert cv2.imread(str(tmp_path / "c.png")).std() > 5
