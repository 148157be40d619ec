import json
import shutil
import socket

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Dinov2Config, Dinov2Model

from tracker.errors import ModelError
from tracker.models.colours import embed_colours
from tracker.models.dinov2 import FeatureExtractor


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model with fixed random weights, in the format of the hub."""
    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=56, patch_size=14
    )
    path = tmp_path_factory.mktemp("dinov2")
    Dinov2Model(config).save_pretrained(path)
    return path


@pytest.fixture
def damaged(folder, tmp_path):
    """A copy of the model whose weights a test may spoil: (folder, its tensors)."""
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    tensors = load_file(folder / "model.safetensors")

    def write(tensors):
        save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
        return tmp_path

    return tensors, write


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_features_are_those_of_the_model_itself(folder):
    image = picture(140, 224)
    features = FeatureExtractor("tiny", folder, "0", long_side=224).extract(image)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    pixels = torch.tensor(((image / 255 - mean) / std).transpose(2, 0, 1)[None]).float()
    with torch.inference_mode():
        output = Dinov2Model.from_pretrained(folder).eval()(pixel_values=pixels)
    tokens = torch.nn.functional.normalize(output.last_hidden_state[0], dim=-1).numpy()
    assert features.grid_hw == (10, 16)
    np.testing.assert_allclose(features.global_c, tokens[0], atol=1e-5)
    np.testing.assert_allclose(features.patches_hwc, tokens[1:].reshape(10, 16, 24), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(features.patches_hwc, axis=2), 1, atol=1e-5)


def test_two_extractors_say_the_same(folder):
    image = picture(200, 150)
    one, two = (FeatureExtractor("tiny", folder, "0", long_side=112).extract(image) for _ in "ab")
    np.testing.assert_array_equal(one.patches_hwc, two.patches_hwc)
    np.testing.assert_array_equal(one.global_c, two.global_c)


@pytest.mark.parametrize(
    ("height", "width", "grid"),
    [
        (480, 854, (18, 32)),
        (854, 480, (32, 18)),
        (30, 20, (32, 21)),
        (1000, 3, (32, 4)),
        (1, 1, (32, 32)),
    ],
)
def test_the_longer_side_becomes_448_and_the_aspect_is_kept(folder, height, width, grid):
    features = FeatureExtractor("tiny", folder, "0").extract(picture(height, width))
    assert features.grid_hw == grid


def test_a_model_trained_at_518_sees_518(folder, tmp_path):
    torch.manual_seed(0)
    Dinov2Model(
        Dinov2Config(hidden_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=518)
    ).save_pretrained(tmp_path)
    assert FeatureExtractor("large", tmp_path, "0").grid_hw(518, 518) == (37, 37)


def test_nothing_is_said_and_no_connection_is_opened(folder, capfd, monkeypatch):
    def refuse(*args):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    FeatureExtractor("tiny", folder, "0", long_side=56).extract(picture(20, 20))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder, tmp_path, missing):
    for name in {"config.json", "model.safetensors"} - {missing}:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(ModelError, match=f"{missing} is missing"):
        FeatureExtractor("tiny", tmp_path, "0")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layernorm.weight": None}, "layernorm.weight is missing"),
        ({"layernorm.weight": torch.ones(7)}, r"has the shape \(7,\), expected \(24,\)"),
        ({"head.bias": torch.ones(7)}, "head.bias is unknown"),
    ],
)
def test_weights_that_do_not_fit_are_refused_in_one_line(damaged, capfd, change, message):
    tensors, write = damaged
    changed = {key: value for key, value in (tensors | change).items() if value is not None}
    with pytest.raises(ModelError, match=message):
        FeatureExtractor("tiny", write(changed), "0")
    assert capfd.readouterr() == ("", "")


def test_a_truncated_file_and_another_architecture_are_refused(damaged):
    tensors, write = damaged
    path = write(tensors)
    (path / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(ModelError, match="cannot be loaded"):
        FeatureExtractor("tiny", path, "0")
    (path / "config.json").write_text(json.dumps({"model_type": "vit", "hidden_size": 24}))
    with pytest.raises(ModelError, match="expected dinov2, found vit"):
        FeatureExtractor("tiny", path, "0")


def test_colours_stand_beside_the_tokens_of_a_model_that_asks_for_them(folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "colour_share": 0.25}))
    image = picture(140, 224)
    plain = FeatureExtractor("tiny", folder, "0", long_side=224).extract(image)
    mixed = FeatureExtractor("tiny", tmp_path, "0", long_side=224).extract(image)
    whole, patches = embed_colours(image, 14)
    np.testing.assert_allclose(
        mixed.patches_hwc @ mixed.patches_hwc[0, 0],
        0.25 * patches @ patches[0, 0] + 0.75 * plain.patches_hwc @ plain.patches_hwc[0, 0],
        atol=1e-5,
    )
    assert len(mixed.global_c) == len(whole) + len(plain.global_c)
    assert np.linalg.norm(mixed.global_c) == pytest.approx(1, abs=1e-5)


def test_a_colour_share_outside_0_to_1_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "colour_share": 1.5}))
    with pytest.raises(ModelError, match=r"colour_share is 1\.5"):
        FeatureExtractor("tiny", tmp_path, "0")
