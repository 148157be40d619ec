"""Photographs with masks: what stands out is found, and what is in doubt is left out."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from training.assets import Folders, load_assets
from training.salient import SIDE, label, main, saliency_of, salient_mask, usable


def _redness(image_hw3: np.ndarray) -> np.ndarray:
    small = cv2.resize(image_hw3, (SIDE, SIDE)).astype(np.float32)
    return np.clip((small[..., 2] - small[..., 1] - 40) / 100, 0, 1)


def _photograph(seed: int = 0, discs: tuple[tuple[int, int, int], ...] = ((200, 150, 60),)):
    """BGR noise 300 x 400 with red discs (x, y, radius)."""
    rng = np.random.default_rng(seed)
    image = rng.integers(60, 200, (300, 400, 3), dtype=np.uint8)
    image[..., 2] = image[..., 1] + rng.integers(0, 30, (300, 400))
    for x, y, radius in discs:
        cv2.circle(image, (x, y), radius, (10, 10, 250), -1)
    return image


def test_the_one_thing_that_stands_out_is_the_mask():
    mask = salient_mask(_photograph(), _redness)
    disc = cv2.circle(np.zeros((300, 400), np.uint8), (200, 150), 60, 1, -1)
    assert mask is not None and set(np.unique(mask)) == {0, 1}
    assert (mask & disc).sum() / (mask | disc).sum() > 0.95


@pytest.mark.parametrize(
    "discs",
    [(), ((200, 150, 10),), ((100, 150, 60), (300, 150, 60)), ((200, 150, 240),)],
    ids=["nothing", "too small", "two things", "all of it"],
)
def test_what_is_in_doubt_has_no_mask(discs):
    assert salient_mask(_photograph(discs=discs), _redness) is None


def test_a_faint_map_is_in_doubt():
    assert salient_mask(_photograph(), lambda image: 0.55 * _redness(image)) is None


def test_small_long_and_drawn_pictures_are_left_out_and_large_ones_shrunk():
    photograph = _photograph()
    assert usable(photograph[:100]) is None
    assert usable(np.hstack([photograph] * 2)) is None
    assert usable(np.full((300, 400, 3), 90, np.uint8)) is None
    assert usable(cv2.resize(photograph, (1600, 1200))).shape == (360, 480, 3)


def test_pictures_that_look_the_same_are_kept_once_and_a_bank_reads_them(tmp_path):
    photographs = [_photograph(), _photograph(), _photograph(1, ((120, 90, 70),))]
    files = [tmp_path / f"{n}.png" for n in range(3)]
    for file, image in zip(files, photographs, strict=True):
        cv2.imwrite(str(file), image)
    assert label(files, tmp_path / "found", _redness) == 2
    assets = load_assets(Folders(cutouts=(tmp_path / "found",)), sprites=0, seed=0, split="train")
    (portraits,) = assets.portraits
    shares = sorted(mask.mean() for _, mask in portraits)
    assert shares == pytest.approx([np.pi * r**2 / (300 * 400) for r in (60, 70)], rel=0.05)


def _part(number: int, content: bytes) -> bytes:
    """A field of a protocol buffer message that holds bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


def _sigmoid_network(path: Path) -> Path:
    """An ONNX file of one node, the sigmoid of its input 1 x 3 x `SIDE` x `SIDE`."""

    def value(name: bytes) -> bytes:
        sizes = (b"\x08\x01", b"\x08\x03", *[bytes([8, SIDE & 127 | 128, SIDE >> 7])] * 2)
        tensor = b"\x08\x01" + _part(2, b"".join(_part(1, size) for size in sizes))
        return _part(1, name) + _part(2, _part(1, tensor))

    node = _part(1, b"x") + _part(2, b"y") + _part(4, b"Sigmoid")
    graph = _part(1, node) + _part(2, b"g") + _part(11, value(b"x")) + _part(12, value(b"y"))
    path.write_bytes(b"\x08\x08" + _part(8, b"\x10\x0d") + _part(7, graph))
    return path


def test_a_network_gets_normalised_rgb(tmp_path):
    saliency = saliency_of(_sigmoid_network(tmp_path / "network.onnx"))
    map_hw = saliency(_photograph())  # of the first channel, which is red
    assert map_hw.shape == (SIDE, SIDE)
    assert (map_hw.min(), map_hw.max()) == pytest.approx((0, 1), abs=1e-4)
    centre, corner = map_hw[SIDE // 2, SIDE // 2], map_hw[:20, :20].mean()
    assert centre > corner + 0.1


def test_the_command_reads_folders_and_clips_and_refuses_measuring_material(tmp_path, make_video):
    network = _sigmoid_network(tmp_path / "network.onnx")
    (tmp_path / "clips").mkdir()
    clip = make_video("clips/0.mp4", 8)
    run = CliRunner().invoke(
        main, [str(clip.parent), "--network", str(network), "--output", str(tmp_path / "found")]
    )
    assert run.exit_code == 0 and "pictures of 1 files" in run.output, run.output
    measuring = tmp_path / "davis"
    measuring.mkdir()
    cv2.imwrite(str(measuring / "0.png"), _photograph())
    run = CliRunner().invoke(
        main, [str(measuring), "--network", str(network), "--output", str(tmp_path / "none")]
    )
    assert isinstance(run.exception, ValueError) and "must not be trained on" in str(run.exception)
