"""The average of two checkpoints."""

from __future__ import annotations

import torch
from click.testing import CliRunner

from training.average_weights import main


def saved(path, value: float, width: int = 3):
    torch.save({"model": {"w": torch.full((width,), value, dtype=torch.float16)}}, path)
    return str(path)


def test_the_share_is_that_of_the_second(tmp_path):
    before, after = saved(tmp_path / "a.pt", 1.0), saved(tmp_path / "b.pt", 3.0)
    arguments = [before, after, "--share", "0.25", "--output", str(tmp_path / "c.pt")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    weights = torch.load(tmp_path / "c.pt", weights_only=True)["model"]["w"]
    assert weights.dtype == torch.float16
    assert weights.tolist() == [1.5, 1.5, 1.5]


def test_another_architecture_is_refused_and_nothing_written(tmp_path):
    before, after = saved(tmp_path / "a.pt", 1.0), saved(tmp_path / "b.pt", 3.0, width=4)
    result = CliRunner().invoke(main, [before, after, "--output", str(tmp_path / "c.pt")])
    assert result.exit_code == 2
    assert "one architecture" in result.output
    assert not (tmp_path / "c.pt").exists()
