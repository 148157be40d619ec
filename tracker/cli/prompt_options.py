"""Prompts as they are typed: `--point`, `--box` and `--mask`, each `[OBJ@FRAME:]…`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click
import numpy as np

from tracker.errors import PromptError
from tracker.masks import Box, from_index_mask
from tracker.types import NEGATIVE, POSITIVE, Prompt
from tracker.video import read_index_mask

Command = TypeVar("Command", bound=Callable[..., Any])

# Option: parameter, form, help.
_OPTIONS = {
    "--point": (
        "points",
        "[OBJ@FRAME:]X,Y[,-]",
        "A pixel on the object; with ',-' one that is not. Repeatable, as are the next two.",
    ),
    "--box": ("boxes", "[OBJ@FRAME:]X1,Y1,X2,Y2", "A box around the object."),
    "--mask": (
        "masks",
        "[OBJ@FRAME:]FILE",
        "A PNG of the object; several ids in it make several objects.",
    ),
}
_WHERE = re.compile(r"(\d+)@(\d+):")


def prompt_options(command: Command) -> Command:
    """Add `--point`, `--box` and `--mask` to a click command, each a tuple of strings."""
    for name, (parameter, form, text) in reversed(_OPTIONS.items()):
        option = click.option(name, parameter, metavar=form, multiple=True, help=text)
        command = option(command)
    return command


def parse_prompts(
    points: Sequence[str], boxes: Sequence[str], masks: Sequence[str]
) -> list[Prompt]:
    """Prompts from the options' texts; points and a box for one object on one frame are one prompt.

    Raises:
        PromptError: for a text that cannot be read; the message quotes it.
        VideoError: for a mask file that cannot be read.
    """
    places: dict[tuple[int, int], _Marks] = {}
    for text in boxes:
        object_id, frame, numbers = _numbers("--box", text, 4)
        marks = places.setdefault((object_id, frame), _Marks())
        if marks.box_xyxy is not None:
            raise PromptError(
                f"--box {text}: object {object_id} on frame {frame} has a box already"
            )
        marks.box_xyxy = (numbers[0], numbers[1], numbers[2], numbers[3])
    for text in points:
        sign = NEGATIVE if text.endswith(",-") else POSITIVE
        object_id, frame, numbers = _numbers("--point", text.removesuffix(",-"), 2)
        marks = places.setdefault((object_id, frame), _Marks())
        marks.points.append(numbers)
        marks.signs.append(sign)
    prompts = [marks.prompt(*place) for place, marks in places.items()]
    return prompts + [prompt for text in masks for prompt in _masks(text)]


@dataclass
class _Marks:
    """What was typed for one object on one frame."""

    points: list[list[float]] = field(default_factory=list)
    signs: list[int] = field(default_factory=list)
    box_xyxy: Box | None = None

    def prompt(self, object_id: int, frame: int) -> Prompt:
        points_n2 = np.array(self.points, np.float32).reshape(-1, 2)
        signs_n = np.array(self.signs, np.int32)
        return Prompt(frame, object_id, points_n2, signs_n, self.box_xyxy)


def _masks(text: str) -> list[Prompt]:
    """One prompt per id in a mask file; a single id is object OBJ, several keep their order.

    Of several ids, the objects are the ids themselves, moved up by OBJ - 1.
    """
    object_id, frame, path = _place(text)
    masks = from_index_mask(read_index_mask(path))
    if not masks:
        raise PromptError(f"--mask {text}: the mask is empty; mark at least one pixel")
    if len(masks) == 1:
        (mask_hw,) = masks.values()
        return [Prompt(frame, object_id, mask_hw=mask_hw)]
    return [Prompt(frame, i + object_id - 1, mask_hw=mask_hw) for i, mask_hw in masks.items()]


def _numbers(option: str, text: str, count: int) -> tuple[int, int, list[float]]:
    object_id, frame, rest = _place(text)
    try:
        numbers = [float(part) for part in rest.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise PromptError(f"{option} {text}: expected {_OPTIONS[option][1]}")
    return object_id, frame, numbers


def _place(text: str) -> tuple[int, int, str]:
    """Object id, frame and the rest. What does not begin as `OBJ@FRAME:` is all rest."""
    match = _WHERE.match(text)
    if match is None:
        return 1, 0, text
    return int(match[1]), int(match[2]), text[match.end() :]
