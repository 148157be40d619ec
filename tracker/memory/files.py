"""The files of a reference memory: what they are named, written and read as.

    images/<id>.png
    masks/<id>.png
    features/<SHA-256 of the feature model's weights>/<id>.safetensors

Each is written to a temporary name, synced and renamed: it is complete or absent.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from tracker import durable
from tracker.errors import ReferenceMemoryError
from tracker.masks import BoolMask
from tracker.types import ImageFeatures

if TYPE_CHECKING:  # keeps torch out of the commands that only look after the store
    from tracker.models.dinov2 import FeatureExtractor

T = TypeVar("T")

IMAGES, MASKS, FEATURES = "images", "masks", "features"
_PNG_EFFORT = 3  # zlib level: half the time of the default for a few per cent more bytes


def content_id(image_hwc: NDArray[np.uint8], mask_hw: BoolMask) -> str:
    """SHA-256 over the sizes and pixels of image and mask, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, pixels in (("image", image_hwc), ("mask", mask_hw.astype(np.uint8))):
        shape = "x".join(str(n) for n in pixels.shape)
        digest.update(f"{name} {shape}\n".encode("ascii"))
        digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def image_path(folder: Path, reference_id: str) -> Path:
    return folder / IMAGES / f"{reference_id}.png"


def mask_path(folder: Path, reference_id: str) -> Path:
    return folder / MASKS / f"{reference_id}.png"


def features_folder(folder: Path, weights_sha256: str) -> Path:
    return folder / FEATURES / weights_sha256


def features_path(folder: Path, weights_sha256: str, reference_id: str) -> Path:
    return features_folder(folder, weights_sha256) / f"{reference_id}.safetensors"


def paths_of(folder: Path, weights_sha256: str, reference_id: str) -> tuple[Path, Path, Path]:
    """Image, mask and features of a reference."""
    features = features_path(folder, weights_sha256, reference_id)
    return image_path(folder, reference_id), mask_path(folder, reference_id), features


def encode_image(image_hwc: NDArray[np.uint8]) -> bytes:
    """RGB uint8 to PNG."""
    return _encode_png(np.ascontiguousarray(image_hwc[..., ::-1]))  # OpenCV writes BGR


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """PNG to RGB uint8. Raises ValueError when it is damaged."""
    return np.asarray(cv2.cvtColor(_decode_png(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))


def encode_mask(mask_hw: BoolMask) -> bytes:
    """A bool mask to a PNG of 0 and 255."""
    return _encode_png(mask_hw.astype(np.uint8) * 255)


def decode_mask(data: bytes) -> BoolMask:
    """Inverse of `encode_mask`. Raises ValueError when it is damaged."""
    return np.asarray(_decode_png(data, cv2.IMREAD_GRAYSCALE) > 0)


def read(path: Path, decode: Callable[[bytes], T], expected_sha256: str) -> T:
    """A stored file, its hash compared and decoded.

    Raises:
        ReferenceMemoryError: when it is missing or not what was written.
    """
    cause: Exception | None = None
    try:
        data = path.read_bytes()
        if sha256(data) == expected_sha256:
            return decode(data)
        state = "is damaged"
    except FileNotFoundError as error:
        state, cause = "is missing", error
    except (OSError, ValueError) as error:
        state, cause = f"cannot be read ({error})", error
    raise ReferenceMemoryError(
        f"{path} {state}; `track memory verify` lists what is damaged and how to mend it"
    ) from cause


def write_features(
    folder: Path,
    reference_id: str,
    features: ImageFeatures,
    extractor: FeatureExtractor,
) -> tuple[bytes, str]:
    """Write the patch features; returns the index columns `global_f32` and `features_sha256`."""
    weights = extractor.weights_sha256
    data = encode_patches(features.patches_hwc, extractor.name, weights)
    written = write_atomically(features_path(folder, weights, reference_id), data)
    return features.global_c.astype("<f4").tobytes(), written


def encode_patches(patches_hwc: NDArray[np.float32], model: str, weights_sha256: str) -> bytes:
    """Patch features as half floats in the safetensors format, with the model in its header.

    Half floats move a distance by at most about 1e-3, far less than two photographs differ by.
    """
    header = {"feature_model": model, "weights_sha256": weights_sha256}
    return save({"patches_hwc": patches_hwc.astype(np.float16)}, metadata=header)


def decode_patches(data: bytes) -> NDArray[np.float32]:
    """Inverse of `encode_patches`, L2-normalised again. Raises ValueError when it is damaged."""
    try:
        patches_hwc = load(data)["patches_hwc"].astype(np.float32)
    except Exception as error:  # safetensors raises types of its own, without a common base
        raise ValueError(f"not a file of patch features: {error}") from error
    norms = np.linalg.norm(patches_hwc, axis=-1, keepdims=True)
    return np.asarray(patches_hwc / np.maximum(norms, 1e-12), dtype=np.float32)


def write_atomically(path: Path, data: bytes) -> str:
    """Write a file that is complete or absent; returns the SHA-256 of its bytes."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise durable.cannot_write(path, error, ReferenceMemoryError) from error
    # Two processes may describe the same reference anew at the same time.
    own = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    durable.write_bytes(path, data, own, ReferenceMemoryError)
    return sha256(data)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def stored_files(folder: Path) -> set[Path]:
    """Every file below the three folders, whether the index knows it or not."""
    return {
        path
        for part in (IMAGES, MASKS, FEATURES)
        for path in (folder / part).rglob("*")
        if path.is_file()
    }


def _encode_png(pixels: NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, _PNG_EFFORT])
    if not done:
        raise ValueError(f"an array of shape {pixels.shape} cannot be written as PNG")
    return data.tobytes()


def _decode_png(data: bytes, flags: int) -> NDArray[np.uint8]:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    if pixels is None:
        raise ValueError("not a readable PNG")
    return np.asarray(pixels, dtype=np.uint8)
