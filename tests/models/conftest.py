"""A clip of moving textures, and small SAM2 models with random weights, for the tests of models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sam2.build_sam import build_sam2_video_predictor
from sam2.sam2_video_predictor import SAM2VideoPredictor

from tracker.locations import shipped
from tracker.models.building import build_from_config
from tracker.models.engine_options import EngineOptions
from tracker.models.frames import UNKNOWN_LENGTH
from tracker.models.streaming import (
    POSTPROCESSING,
    StreamingVideoPredictor,
    build_streaming_video_predictor,
)

HEIGHT, WIDTH, FRAMES = 144, 176, 64
DEMO_CONFIG = shipped("configs") / "sam2" / "demo.yaml"


@dataclass(frozen=True)
class Clip:
    """A folder of JPEGs, and the same frames as a FrameSource read with Pillow."""

    folder: Path
    height: int = HEIGHT
    width: int = WIDTH
    length: int = FRAMES
    length_known: bool = True

    def __len__(self) -> int:
        return self.length if self.length_known else UNKNOWN_LENGTH

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        if index >= self.length:
            raise IndexError(index)
        return np.asarray(Image.open(self.folder / f"{index:05d}.jpg").convert("RGB"))


class EndlessClip:
    """As many frames as wanted, made when asked for: a square that wanders over noise."""

    height, width = 48, 64

    def __init__(self, length: int) -> None:
        self._length = length
        self._ground = _texture(np.random.default_rng(5), self.width, self.height)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        image = self._ground.copy()
        x, y = index % (self.width - 16), (index // 3) % (self.height - 16)
        image[y : y + 16, x : x + 16] = (250, 40, index % 200)
        return image


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The order of sums, and so the bits, must not depend on how busy the machine is."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return _made_clip(tmp_path_factory.mktemp("clip"), 1)


@pytest.fixture(scope="session")
def large_clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """The same pictures at three times the size."""
    return _made_clip(tmp_path_factory.mktemp("large-clip"), 3)


def _made_clip(folder: Path, scale: int) -> Clip:
    rng = np.random.default_rng(7)
    ground = _texture(rng, WIDTH, HEIGHT)
    patches = [_texture(rng, 48, 40) for _ in range(3)]
    for index in range(FRAMES):
        image = np.roll(ground, index // 4, axis=1)
        for number, patch in enumerate(patches):
            x = int(64 + 56 * np.sin(index / 12 + 2 * number))
            y = int(52 + 44 * np.cos(index / (9 + number) + number))
            image[y : y + 40, x : x + 48] = patch
        picture = Image.fromarray(image).resize((scale * WIDTH, scale * HEIGHT))
        picture.save(folder / f"{index:05d}.jpg", quality=95)
    return Clip(folder, scale * HEIGHT, scale * WIDTH)


@pytest.fixture(scope="session")
def endless_clip() -> Callable[[int], EndlessClip]:
    return EndlessClip


def _texture(rng: np.random.Generator, width: int, height: int) -> NDArray[np.uint8]:
    coarse = rng.integers(0, 256, (max(3, height // 8), max(3, width // 8), 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))


def _weighted(model: Any) -> Any:
    """Random weights that find an object: else every mask would be the same placeholder."""
    with torch.no_grad():
        model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(5.0)
    return model


def _small(target: str, *overrides: str) -> Any:
    torch.manual_seed(11)
    every = [f"++model._target_={target}", *POSTPROCESSING, "++model.image_size=64"]
    every += ["++model.fill_hole_area=0", "++model.add_all_frames_to_correct_as_cond=true"]
    model = build_from_config(DEMO_CONFIG, torch.device("cpu"), "eval", [*every, *overrides])
    return _weighted(model)


@pytest.fixture(scope="session")
def reference(small_reference: Callable[..., SAM2VideoPredictor]) -> SAM2VideoPredictor:
    return small_reference()


@dataclass(frozen=True)
class Models:
    """The same weights three times: SAM2's predictor, ours with `exact`, and ours as it is."""

    reference: SAM2VideoPredictor
    exact: StreamingVideoPredictor
    default: StreamingVideoPredictor


@pytest.fixture(scope="session")
def small_streaming() -> Callable[..., StreamingVideoPredictor]:
    """Builds the demo architecture at 64 px with fixed random weights.

    Takes Hydra overrides, and the switches of EngineOptions as keywords.
    """

    def build(*overrides: str, **switches: Any) -> StreamingVideoPredictor:
        predictor = _small("tracker.models.streaming.StreamingVideoPredictor", *overrides)
        predictor.configure(EngineOptions(**switches))
        return predictor

    return build


@pytest.fixture(scope="session")
def small_reference() -> Callable[..., SAM2VideoPredictor]:
    """The same model, same weights, as SAM2's own predictor."""
    return lambda *overrides: _small("sam2.sam2_video_predictor.SAM2VideoPredictor", *overrides)


@pytest.fixture(scope="session")
def predictor(small_streaming: Callable[..., StreamingVideoPredictor]) -> StreamingVideoPredictor:
    return small_streaming()


@pytest.fixture(scope="session")
def small_models(
    small_reference: Callable[..., SAM2VideoPredictor],
    small_streaming: Callable[..., StreamingVideoPredictor],
    predictor: StreamingVideoPredictor,
) -> Callable[..., Models]:
    """Builds all three for some overrides; for none they are shared."""
    shared = Models(small_reference(), small_streaming(exact=True), predictor)

    def build(*overrides: str) -> Models:
        if not overrides:
            return shared
        exact = small_streaming(*overrides, exact=True)
        return Models(small_reference(*overrides), exact, small_streaming(*overrides))

    return build


@pytest.fixture(scope="session")
def architecture() -> Callable[..., Models]:
    """Builds an architecture of the package sam2 with random weights at 64 px; takes overrides."""

    def build(config: str, *more: str) -> Models:
        overrides = ["++model.image_size=64", "++model.add_all_frames_to_correct_as_cond=true"]
        overrides += more
        torch.manual_seed(3)
        reference = build_sam2_video_predictor(
            config, device="cpu", hydra_overrides_extra=overrides
        )
        _weighted(reference).fill_hole_area = 0  # build_sam.py:129 would overrule an override
        overrides.append("++model.fill_hole_area=0")
        ours = [
            build_streaming_video_predictor(
                config, device="cpu", hydra_overrides_extra=overrides, exact=exact
            )
            for exact in (True, False)
        ]
        for each in ours:
            each.load_state_dict(reference.state_dict())
        return Models(reference, *ours)

    return build


def _demo(*more: str) -> Models:
    checkpoint = shipped("checkpoints") / "sam2_demo.pt"
    if not checkpoint.is_file():
        pytest.skip("the demo weights are not in this checkout")
    overrides = ["++model.fill_hole_area=0", *more]
    ours = [
        build_streaming_video_predictor(
            DEMO_CONFIG, checkpoint, device="cpu", hydra_overrides_extra=overrides, exact=exact
        )
        for exact in (True, False)
    ]
    reference = build_from_config(
        DEMO_CONFIG, torch.device("cpu"), "eval", [*POSTPROCESSING, *overrides]
    )
    reference.load_state_dict(ours[0].state_dict())
    return Models(reference, *ours)


@pytest.fixture(scope="session")
def demo_models() -> Models:
    """The embedded demo model."""
    return _demo()


@pytest.fixture(scope="session")
def coarse_demo_models() -> Models:
    """The embedded demo model at less than half its image size: a fifth of the work."""
    return _demo("++model.image_size=128")
