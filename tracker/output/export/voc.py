"""`voc/`: Pascal VOC 2012, with boxes in XML and masks of classes and objects."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from tracker.masks import mask_box
from tracker.output.export.contract import ExportInfo, FrameMasks
from tracker.output.export.dataset import Dataset
from tracker.output.export.options import DEFAULT_OPTIONS, SPLITS, ExportOptions
from tracker.types import ObjectMask
from tracker.video import index_palette, write_index_mask

_MOST = 254  # 255 means "void" in VOC's masks


class PascalVoc(Dataset):
    """`JPEGImages/`, `Annotations/`, `SegmentationObject/`, `SegmentationClass/`, `ImageSets/`.

    In `SegmentationObject` a pixel is the object's place in the list of its XML file, from 1; in
    `SegmentationClass` the class, from 1, in the order of `labels.txt`; `labelmap.txt` gives its
    colour in the palette. Where masks overlap, the later object is on top. Boxes count pixels from
    1 and include their last. More than 254 objects on a frame need masks of 16 bits.
    """

    name: ClassVar[str] = "voc"
    file_name: ClassVar[str] = "voc"
    splits: ClassVar[bool] = True

    def __init__(
        self, info: ExportInfo, folder: Path, options: ExportOptions = DEFAULT_OPTIONS
    ) -> None:
        super().__init__(info, folder, options)
        self._crowded = 0
        lists = self.path("ImageSets/Main/train.txt").parent
        parts = SPLITS[:1] if options.split is None else SPLITS
        self._lists = {part: (lists / f"{part}.txt").open("w", encoding="utf-8") for part in parts}

    def write(self, frame: FrameMasks, image_hwc: NDArray[np.uint8] | None) -> None:
        stem = self.info.stem(frame.index)
        part = self.options.part(self.info.place(frame.index), len(self.info.frames))
        self._lists[part].write(f"{stem}\n")
        file_name = self.save_picture(f"JPEGImages/{stem}", image_hwc)
        size_hw = self.info.size_hw(frame, image_hwc)
        self._write_masks(stem, size_hw, frame.visible)
        tree = ElementTree.ElementTree(self._annotation(file_name, size_hw, frame.visible))
        ElementTree.indent(tree)
        tree.write(self.path(f"Annotations/{stem}.xml"), encoding="utf-8")

    def _write_masks(
        self, stem: str, size_hw: tuple[int, int], objects: tuple[ObjectMask, ...]
    ) -> None:
        wide = max(len(objects), len(self.info.categories)) > _MOST
        self._crowded += wide
        objects_hw = np.zeros(size_hw, np.uint16 if wide else np.uint8)
        classes_hw = np.zeros_like(objects_hw)
        for number, mask in enumerate(objects, start=1):
            objects_hw[mask.mask_hw] = number
            classes_hw[mask.mask_hw] = self.info.category(mask.object_id) + 1
        write_index_mask(self.path(f"SegmentationObject/{stem}.png"), objects_hw)
        write_index_mask(self.path(f"SegmentationClass/{stem}.png"), classes_hw)

    def _annotation(
        self, file_name: str, size_hw: tuple[int, int], objects: tuple[ObjectMask, ...]
    ) -> ElementTree.Element:
        root = ElementTree.Element("annotation")
        _add(root, "folder", "JPEGImages")
        _add(root, "filename", Path(file_name).name)
        size = _add(root, "size")
        for name, value in zip(("height", "width", "depth"), (*size_hw, 3), strict=True):
            _add(size, name, value)
        _add(root, "segmented", int(bool(objects)))
        for mask in objects:
            box = mask_box(mask.mask_hw)
            assert box is not None
            x1, y1, x2, y2 = (int(value) for value in box)
            height, width = size_hw
            entry = _add(root, "object")
            _add(entry, "name", self.info.categories[self.info.category(mask.object_id)])
            _add(entry, "pose", "Unspecified")
            _add(entry, "truncated", int(x1 == 0 or y1 == 0 or x2 == width or y2 == height))
            _add(entry, "difficult", int(mask.state != "visible"))
            corners = _add(entry, "bndbox")
            names = ("xmin", "ymin", "xmax", "ymax")
            for name, value in zip(names, (x1 + 1, y1 + 1, x2, y2), strict=True):
                _add(corners, name, value)
            _add(entry, "track_id", mask.object_id)
        return root

    def close(self, finished: bool) -> None:
        for file in self._lists.values():
            file.close()
        if not finished:
            return
        # Readers of boxes and readers of masks look for the lists in different folders.
        shutil.copytree(self.path("ImageSets/Main"), self.path("ImageSets/Segmentation"))
        self.path("labels.txt").write_text("\n".join(self.info.categories) + "\n", "utf-8")
        self.path("labelmap.txt").write_text("\n".join(self._label_map()) + "\n", "utf-8")

    def _label_map(self) -> Iterator[str]:
        """`label:color_rgb:parts:actions` per value of the palette, which has 256."""
        yield "# label:color_rgb:parts:actions"
        names = ("background", *self.info.categories)
        for name, (red, green, blue) in zip(names, index_palette(), strict=False):
            yield f"{name}:{red},{green},{blue}::"

    @property
    def problems(self) -> tuple[str, ...]:
        if not self._crowded:
            return ()
        return (
            f"frames with too many objects for masks of 8 bits, which have 16: {self._crowded}",
        )


def _add(parent: ElementTree.Element, name: str, value: object = None) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, name)
    child.text = None if value is None else str(value)
    return child
