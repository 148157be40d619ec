"""Real video and images with truth, read in place from a data folder that one points to.

Expected below the folder: `davis/JPEGImages/480p/<sequence>/*.jpg` with
`davis/Annotations/480p/<sequence>/*.png`, and `refs/<set>/<class>/{images,masks}`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.generated_cases import FrameList
from tracker.masks import BoolMask
from tracker.video import read_image, read_index_mask
from training.textures import Image


@dataclass(frozen=True, eq=False)
class Sequence:
    """One DAVIS-2016 sequence: frame and mask files in order."""

    name: str
    image_paths: list[Path]
    mask_paths: list[Path]

    def frames(self, count: int | None = None) -> FrameList:
        return FrameList([read_image(path) for path in self.image_paths[:count]])

    def image(self, index: int) -> Image:
        return read_image(self.image_paths[index])

    def mask(self, index: int) -> BoolMask:
        return read_index_mask(self.mask_paths[index]) > 0


def davis(data: Path) -> list[Sequence]:
    """The sequences below `data/davis`, by name."""
    root = data / "davis"
    return [
        Sequence(
            folder.name,
            sorted(folder.glob("*.jpg")),
            sorted((root / "Annotations/480p" / folder.name).glob("*.png")),
        )
        for folder in sorted((root / "JPEGImages/480p").iterdir())
    ]


def one_shot_classes(data: Path) -> Iterator[tuple[str, list[tuple[Image, BoolMask]]]]:
    """Class name and its images with masks, below `data/refs/fss1000_mini`."""
    for folder in sorted(p for p in (data / "refs/fss1000_mini").iterdir() if p.is_dir()):
        images = sorted((folder / "images").iterdir())
        masks = sorted((folder / "masks").iterdir())
        pairs = zip(images, masks, strict=True)
        yield folder.name, [(read_image(i), read_index_mask(m) > 0) for i, m in pairs]
