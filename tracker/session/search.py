"""Where in a video do the objects of the memory first appear?

Frames are looked at in even steps; from the first one on which an object is found, the search
closes in on the frame where it appears, by halving the stretch since it was last not found.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tracker.memory.prompting import Decision


Ask = Callable[[int, Collection[str] | None], "list[Decision] | None"]
"""Asks the memory about the frame at a position, for all labels or some; None past the end."""


@dataclass
class Answer:
    """What was found.

    Attributes:
        accepted: for each label found, its decisions on the first frame where it is.
        refused: the best refused decision for each label that was not found.
        frames_asked: how often the memory was asked.
    """

    accepted: list[Decision] = field(default_factory=list)
    refused: dict[str, Decision] = field(default_factory=dict)
    frames_asked: int = 0


def find_first(ask: Ask, positions: Iterator[int], labels: Collection[str] = ()) -> Answer:
    """Look at `positions`, ascending, until something is found.

    Args:
        ask: see `Ask`.
        positions: where to look, the first frame first.
        labels: with labels, the search goes on until each of them is found or the positions end;
            without, it ends on the first frame where anything is.
    """
    answer, missing, before = Answer(), set(labels), -1
    for position in positions:
        decisions = ask(position, missing or None)
        if decisions is None:
            break
        answer.frames_asked += 1
        _remember_refused(answer, decisions)
        for label in dict.fromkeys(d.label for d in decisions if d.accepted):
            here = [d for d in decisions if d.accepted and d.label == label]
            answer.accepted += _close_in(ask, answer, label, before, position, here)
            answer.refused.pop(label, None)
            missing.discard(label)
        if answer.accepted and not missing:
            break
        before = position
    return answer


def _close_in(
    ask: Ask, answer: Answer, label: str, before: int, found: int, here: list[Decision]
) -> list[Decision]:
    """The decisions on the first frame after `before` where `label` is accepted."""
    if before < 0:
        return here
    while found - before > 1:
        middle = (before + found) // 2
        decisions = ask(middle, {label}) or []
        answer.frames_asked += 1
        accepted = [d for d in decisions if d.accepted]
        if accepted:
            found, here = middle, accepted
        else:
            before = middle
    return here


def _remember_refused(answer: Answer, decisions: list[Decision]) -> None:
    for decision in decisions:
        best = answer.refused.get(decision.label)
        if not decision.accepted and (best is None or decision.score > best.score):
            answer.refused[decision.label] = decision


def sample_positions(length: int | None, samples: int, every: int) -> Iterator[int]:
    """Up to `samples` positions, evenly spaced from the first to the last of `length` frames.

    Of a video of unknown length, every `every`-th position without end.
    """
    if length is None:
        return count(0, every)
    return iter(np.linspace(0, length - 1, min(samples, length)).round().astype(int).tolist())
