"""DINOv2 features of an image: one vector for the whole, one for every patch of 14 x 14 pixels.

A model whose `config.json` has a `colour_share` gets the colours of each patch beside its tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, Dinov2Config, Dinov2Model

from tracker.errors import ModelError
from tracker.models.colours import embed_colours
from tracker.models.device import pick_device
from tracker.models.quiet import quiet_transformers
from tracker.models.registry import resolve
from tracker.types import ImageFeatures

SMALLEST_LONG_SIDE = 448  # px: 32 patches, enough to see an object of a tenth of the frame's width
SMALLEST_GRID = 4  # patches along the shorter side, however thin the image is

# The statistics of ImageNet in RGB that DINOv2 was trained with (facebookresearch/dinov2,
# dinov2/data/transforms.py).
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def load_features(name: str = "auto", device: str = "auto") -> FeatureExtractor:
    """Load a feature model by its registry name.

    Raises:
        ModelError: when it is unknown, not installed, or its folder cannot be loaded.
    """
    files = resolve(name, "features")
    return FeatureExtractor(files.name, files.path, files.sha256, pick_device(device))


class FeatureExtractor:
    """A `Dinov2Model` from a local folder, ready to describe images. Float32, deterministic.

    Attributes:
        name: of the model in the registry.
        weights_sha256: of its weights; features of different weights must never be compared.
        device: where it runs.
        long_side: pixels that the longer side of an image is resized to.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        weights_sha256: str,
        device: torch.device | str = "cpu",
        long_side: int | None = None,
        colour_share: float | None = None,
    ) -> None:
        """Load `config.json` and `model.safetensors` of `folder`; nothing else, no network.

        `long_side` defaults to the size that the model was trained at (518 for the public ones),
        but at least 448; `colour_share`, 0 to 1, to what its `config.json` says, or 0.
        """
        self.name = name
        self.weights_sha256 = weights_sha256
        self.device = torch.device(device)
        self._model = _load(name, Path(folder)).eval()
        torch.nn.Module.to(self._model, self.device)  # transformers hides the type of its own `to`
        self._patch = int(self._model.config.patch_size)
        configured = getattr(self._model.config, "colour_share", 0.0)
        self._colour_share = float(configured if colour_share is None else colour_share)
        if not 0 <= self._colour_share <= 1:
            raise ModelError(
                f"feature model {name!r}: colour_share is {self._colour_share:g} in "
                f"{Path(folder) / 'config.json'}; it must lie between 0 and 1"
            )
        self.long_side = long_side or max(SMALLEST_LONG_SIDE, int(self._model.config.image_size))
        mean = torch.tensor(IMAGENET_MEAN, device=self.device)
        std = torch.tensor(IMAGENET_STD, device=self.device)
        self._mean_c11, self._std_c11 = mean[:, None, None], std[:, None, None]

    def grid_hw(self, height: int, width: int) -> tuple[int, int]:
        """Patches along each side of an image of that many pixels; the aspect is kept."""
        scale = self.long_side / max(height, width)
        rows, columns = (
            max(SMALLEST_GRID, round(n * scale / self._patch)) for n in (height, width)
        )
        return rows, columns

    @torch.inference_mode()
    def extract(self, image_hwc: NDArray[np.uint8]) -> ImageFeatures:
        """Describe an RGB uint8 image of any size; one forward pass.

        The global feature is the class token after the last layer norm, the patch features are
        the other tokens; all are L2-normalised. Where the model asks for colours, cosines are
        `colour_share` times those of `embed_colours` and, for the rest, those of the tokens.
        """
        rows, columns = self.grid_hw(*image_hwc.shape[:2])
        resized = _resize(image_hwc, rows * self._patch, columns * self._patch)
        pixels = torch.from_numpy(resized).to(self.device).permute(2, 0, 1).float() / 255
        pixels = (pixels - self._mean_c11) / self._std_c11
        tokens = self._model(pixel_values=pixels[None]).last_hidden_state[0]
        tokens = torch.nn.functional.normalize(tokens.float(), dim=-1).cpu().numpy()
        whole, patches = tokens[0].copy(), tokens[1:].reshape(rows, columns, -1).copy()
        if self._colour_share:
            colours = embed_colours(resized, self._patch)
            whole, patches = (
                _beside(colour, token, self._colour_share)
                for colour, token in zip(colours, (whole, patches), strict=True)
            )
        return ImageFeatures(whole, patches)


def _beside(
    colours: NDArray[np.float32], tokens: NDArray[np.float32], share: float
) -> NDArray[np.float32]:
    """Unit vectors whose cosine is the weighted mean of both cosines."""
    return np.concatenate([share**0.5 * colours, (1 - share) ** 0.5 * tokens], axis=-1)


def _resize(image_hwc: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    shrinking = height * width < image_hwc.shape[0] * image_hwc.shape[1]
    method = cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
    return np.ascontiguousarray(cv2.resize(image_hwc, (width, height), interpolation=method))


def _load(name: str, folder: Path) -> Dinov2Model:
    """The model in `folder`, with every weight accounted for."""
    for file in ("config.json", "model.safetensors"):
        if not (folder / file).is_file():
            raise ModelError(f"feature model {name!r}: {folder / file} is missing")
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if isinstance(config, Dinov2Config):
            model, report = _read_weights(folder)
    # What transformers and safetensors raise for a damaged folder has no common base.
    except Exception as error:
        raise ModelError(f"feature model {name!r} in {folder} cannot be loaded: {error}") from error
    if not isinstance(config, Dinov2Config):
        raise ModelError(f"feature model {name!r}: expected dinov2, found {config.model_type}")
    mismatch = _first_mismatch(report)
    if mismatch:
        raise ModelError(
            f"feature model {name!r}: weights and config.json in {folder} do not fit: {mismatch}"
        )
    return model


def _first_mismatch(report: dict[str, Any]) -> str | None:
    """What `from_pretrained` would have made up, or left out, in words."""
    for key, found, expected in sorted(report["mismatched_keys"]):
        return f"{key} has the shape {tuple(found)}, expected {tuple(expected)}"
    for key in sorted(report["missing_keys"]):
        return f"{key} is missing"
    for key in sorted(report["unexpected_keys"]):
        return f"{key} is unknown"
    return None


def _read_weights(folder: Path) -> Any:
    """The pair (model, report) of `from_pretrained`, which says nothing itself."""
    with quiet_transformers():
        return Dinov2Model.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # reported, and refused above
            output_loading_info=True,
        )
