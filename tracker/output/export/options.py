"""What a user may choose of an export: every default and every check in one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from PIL import ImageColor

from tracker.errors import SettingsError
from tracker.output.styles import OVERLAY, STYLES, Style

Pictures = Literal["jpg", "png", "none"]
CutoutKind = Literal["png", "prores", "vp9", "mp4"]

SPLITS = ("train", "val", "test")
_ROUNDING = 1e-6  # by which three shares may miss 1


@dataclass(frozen=True)
class ExportOptions:
    """Which frames and objects are exported, and how formats that have a choice write them.

    Attributes:
        every: of the frames of the run, every Nth.
        only: object ids and labels; none given means all.
        min_confidence: masks below are left out, 0 to 1; their frames stay.
        exclude_doubtful: leave out every frame on which a chosen object is doubtful or lost.
        frames: how data sets store the frames; `none` writes the annotations alone.
        split: the shares of train, val and test, for sets of single pictures; they follow each
            other in time, since neighbouring frames look alike. None puts all into one part.
        polygons: COCO as polygons instead of run-length codes.
        style: how the video shows the objects; `side-by-side` alone shows `OVERLAY` at the right.
        cutout: single pictures or a video: `prores` and `vp9` have transparency, `mp4` needs a
            background.
        background: of cut-outs: a colour (`#00ff00`, `green`) or an image file; None leaves it
            transparent.
        feather: how soft the edge of cut-outs is: the deviation of the blur, in pixels.

    Raises:
        SettingsError: for a value out of range, or values that contradict each other.
    """

    every: int = 1
    only: tuple[str, ...] = ()
    min_confidence: float = 0.0
    exclude_doubtful: bool = False
    frames: Pictures = "jpg"
    split: tuple[float, float, float] | None = None
    polygons: bool = False
    style: tuple[Style, ...] = OVERLAY
    cutout: CutoutKind = "png"
    background: str | None = None
    feather: float = 0.0

    def __post_init__(self) -> None:
        if self.every < 1:
            raise SettingsError(f"--every {self.every}: must be 1 or more")
        if not 0 <= self.min_confidence <= 1:
            raise SettingsError(f"--min-confidence {self.min_confidence}: from 0 to 1")
        if not 0 <= self.feather < 1000:
            raise SettingsError(f"--feather {self.feather}: pixels, from 0 to 1000")
        _check_choice("--frames", self.frames, get_args(Pictures))
        _check_choice("--cutout", self.cutout, get_args(CutoutKind))
        for style in self.style:
            _check_choice("--style", style, STYLES)
        if self.split is not None:
            _check_split(self.split)
        if self.cutout == "mp4" and self.background is None:
            raise SettingsError("--cutout mp4 has no transparency: give --background, or take vp9")
        if self.background is not None and self.background_colour is None:
            _check_picture(self.background)

    @property
    def background_colour(self) -> tuple[int, int, int] | None:
        """RGB, when the background is a colour."""
        try:
            return ImageColor.getrgb(self.background or "")[:3]
        except ValueError:
            return None

    def part(self, place: int, count: int) -> str:
        """`train`, `val` or `test`: where the frame at a place of `count` frames belongs."""
        if self.split is None:
            return SPLITS[0]
        train, val, _ = self.split
        first_val, first_test = round(train * count), round((train + val) * count)
        return SPLITS[(place >= first_val) + (place >= first_test)]


def parse_split(text: str) -> tuple[float, float, float]:
    """`0.8,0.1,0.1` as three shares. Raises SettingsError for anything else."""
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError as error:
        raise SettingsError(f"--split {text}: three shares, such as 0.8,0.1,0.1") from error
    return train, val, test


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise SettingsError(f"{name} {value}: one of {', '.join(known)}")


def _check_split(shares: tuple[float, float, float]) -> None:
    text = ",".join(f"{share:g}" for share in shares)
    if any(not 0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > _ROUNDING:
        raise SettingsError(f"--split {text}: the shares of train, val and test must add up to 1")
    if shares[0] == 0:
        raise SettingsError(f"--split {text}: there must be something to train on")


def _check_picture(path: str) -> None:
    if not Path(path).is_file():
        raise SettingsError(f"--background {path}: neither a colour nor an image file")


DEFAULT_OPTIONS = ExportOptions()
