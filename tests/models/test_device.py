"""Devices by name."""

from __future__ import annotations

import pytest
import torch

from tracker.errors import SettingsError
from tracker.models.device import pick_device


def test_auto_is_here() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert pick_device("auto") == pick_device() == torch.device(expected)


def test_a_device_is_taken_as_it_is() -> None:
    assert pick_device("cpu") == pick_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cuda:-1"])
def test_an_unknown_name(name: str) -> None:
    with pytest.raises(SettingsError, match="known: auto, cpu, cuda, cuda:N, mps"):
        pick_device(name)


def test_a_device_that_is_elsewhere() -> None:
    with pytest.raises(SettingsError, match=r"cuda:97 is not available; here: auto, cpu"):
        pick_device("cuda:97")


def test_a_device_that_no_model_runs_on() -> None:
    with pytest.raises(SettingsError, match="meta is not available"):
        pick_device("meta")
