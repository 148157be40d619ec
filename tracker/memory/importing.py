"""References in the files of others: mask images, labelled folders, Memory-SAM's memories."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracker.errors import ReferenceMemoryError
from tracker.masks import BoolMask, from_index_mask
from tracker.video import image_format, read_image, read_index_mask

_LISTED = 8  # object ids named in an error message


@dataclass(frozen=True)
class Found:
    """An image and its mask in somebody's folder, not read yet.

    Attributes:
        image_path, mask_path: the files.
        label: the object's name; None when the folder does not say.
        any_value: every pixel of the mask that is not 0 is the object; else the mask must hold a
            single object.
    """

    image_path: Path
    mask_path: Path
    label: str | None
    any_value: bool = False

    def read(self) -> tuple[np.ndarray, BoolMask]:
        """Image (RGB uint8) and mask (bool). Raises VideoError or ReferenceMemoryError."""
        image_hwc = read_image(self.image_path)
        if self.any_value:
            return image_hwc, read_index_mask(self.mask_path) > 0
        return image_hwc, read_object_mask(self.mask_path)


def read_object_mask(path: Path, object_id: int | None = None) -> BoolMask:
    """The mask of one object in a mask image.

    Args:
        path: an index mask, or a black and white one.
        object_id: which object; may be left out when there is only one.

    Raises:
        VideoError: when it cannot be read or is no mask.
        ReferenceMemoryError: when it holds no object, or not the wanted one, or several and
            `object_id` is left out.
    """
    masks = from_index_mask(read_index_mask(path))
    if not masks:
        raise ReferenceMemoryError(f"the mask {path} is empty; it must mark the object")
    ids = ", ".join(str(i) for i in list(masks)[:_LISTED]) + (" …" if len(masks) > _LISTED else "")
    if object_id is None and len(masks) > 1:
        raise ReferenceMemoryError(f"the mask {path} holds the objects {ids}; choose one: --object")
    if object_id is not None and object_id not in masks:
        raise ReferenceMemoryError(f"the mask {path} holds no object {object_id}, only {ids}")
    return next(iter(masks.values())) if object_id is None else masks[object_id]


def find_references(folder: Path) -> list[Found]:
    """The references in a folder, in the order of their names; nothing is read yet.

    Two layouts are understood: `images/<label>/*` with `masks/<label>/*` of the same stems, and
    the memory folders of Memory-SAM, `index.json` with `item_N/image.png` and `item_N/mask.png`,
    of which only images and masks are read.

    Raises:
        ReferenceMemoryError: when the folder has neither layout, or it is incomplete.
    """
    if (folder / "index.json").is_file():
        return list(_memory_sam(folder))
    if (folder / "images").is_dir() and (folder / "masks").is_dir():
        return list(_labelled(folder))
    raise ReferenceMemoryError(
        f"{folder} has neither images/<label>/* with masks/<label>/*, nor an index.json of "
        "Memory-SAM; nothing to import"
    )


def _labelled(folder: Path) -> Iterator[Found]:
    for label_folder in sorted(path for path in (folder / "images").iterdir() if path.is_dir()):
        masks = {p.stem: p for p in (folder / "masks" / label_folder.name).glob("*") if p.is_file()}
        for image in sorted(path for path in label_folder.iterdir() if path.is_file()):
            if image_format(image) is None:
                continue  # notes, thumbnails' databases and the like
            if image.stem not in masks:
                wanted = folder / "masks" / label_folder.name / f"{image.stem}.png"
                raise ReferenceMemoryError(f"{image} has no mask; expected {wanted}")
            yield Found(image, masks[image.stem], label_folder.name)


def _memory_sam(folder: Path) -> Iterator[Found]:
    path = folder / "index.json"
    try:
        for item in json.loads(path.read_text("utf-8"))["items"]:
            image, mask = (_inside(folder, item[key]) for key in ("image_path", "mask_path"))
            yield Found(image, mask, _label(item.get("metadata")), any_value=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReferenceMemoryError(f"{path} is not an index of Memory-SAM: {error!r}") from error


def _inside(folder: Path, name: str) -> Path:
    """A path that the index names; one that leads out of the folder is refused."""
    path = (folder / name.replace("\\", "/")).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"{name!r} lies outside the folder")
    return path


def _label(metadata: Any) -> str | None:
    """Memory-SAM has no labels; its metadata are free, and some write one there."""
    return metadata.get("label") if isinstance(metadata, dict) else None
