"""Only tensors come out of a checkpoint; everything else is a typed error, and is never run."""

from __future__ import annotations

import os
import pickle

import pytest
import torch

from tracker.errors import ModelError
from tracker.models.weights import load_state_dict

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


@pytest.mark.parametrize("saved", [{"model": STATE}, STATE])
def test_both_forms_are_read(tmp_path, saved):
    torch.save(saved, tmp_path / "model.pt")
    state = load_state_dict(tmp_path / "model.pt")
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[name], STATE[name]) for name in STATE)


class Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (os.mkdir, (self.path,))


@pytest.mark.parametrize("raw", [False, True])
def test_code_is_refused_and_never_run(tmp_path, raw):
    goes_off, path = tmp_path / "went_off", tmp_path / "model.pt"
    value = {"model": STATE, "extra": Bomb(str(goes_off))}
    if raw:
        path.write_bytes(pickle.dumps(value["extra"], protocol=2))
    else:
        torch.save(value, path)
    with pytest.raises(ModelError, match=r"model\.pt .*nothing in it was run"):
        load_state_dict(path)
    assert not goes_off.exists()


@pytest.mark.parametrize("saved", [[1, 2], {"model": [1]}, {"model": {"a": 1}}, {"epoch": 3}])
def test_what_is_no_state_dict_is_refused(tmp_path, saved):
    torch.save(saved, tmp_path / "model.pt")
    with pytest.raises(ModelError, match="holds no state dict"):
        load_state_dict(tmp_path / "model.pt")


@pytest.mark.parametrize("keep", [0, 10, 400, -100])
def test_a_cut_file_is_a_model_error(tmp_path, keep):
    path = tmp_path / "model.pt"
    torch.save({"model": STATE}, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match=r"model\.pt"):
        load_state_dict(path)


def test_a_web_page_or_a_pointer_instead_of_weights_is_a_model_error(tmp_path):
    for text in ("<html>not found</html>", "version https://git-lfs.github.com/spec/v1\n"):
        (tmp_path / "model.pt").write_text(text)
        with pytest.raises(ModelError, match=r"model\.pt"):
            load_state_dict(tmp_path / "model.pt")


def test_a_missing_file_is_a_model_error(tmp_path):
    with pytest.raises(ModelError, match="does not exist"):
        load_state_dict(tmp_path / "none.pt")
