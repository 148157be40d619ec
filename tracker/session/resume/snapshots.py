"""Snapshots of a run: from where a pass can go on after a kill, or a correction can begin.

    snapshots/0-forward-000063.safetensors   the recent outputs after position 63 of pass 0
    snapshots/1-backward-begin.safetensors   pass 1 begins: all before it is done
    snapshots/prompt-1-000120-52f1….safetensors  what that prompt of object 1 at 120 left

A snapshot is taken every 64 positions and at prompts, once all masks up to there are on disk. Of
one pass at most 16 are kept: when there is one more, that goes whose absence leaves the smallest
gap, never the newest. So what a run needs on disk does not grow with the video, and a correction
has to track at most about an eighth of a pass to come to its frame. What a prompt left is kept
once, under a digest of the prompt.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracker import durable
from tracker.models import snapshot
from tracker.models.streaming import StreamingVideoPredictor
from tracker.session.prompts_file import digest
from tracker.session.run_folder import SNAPSHOTS
from tracker.types import Prompt

EVERY = 64
MOST = 16

Gap = tuple[int, int, int]
"""Object id, position of the prompt that found it again, position down to which it is filled."""

PromptsAt = Mapping[int, Mapping[int, Prompt]]
"""Object id to position to prompt."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A place in a run, and what the predictor knew there.

    Attributes:
        walk: number of the pass, from 0, in the order of `tracker.session.propagation`.
        position: that was tracked last; None when the pass begins.
        object_ids: in the order in which they joined.
        gaps: that were still to be filled.
        prompts: digest of all prompts that were known.
        seconds: of tracking up to here.
    """

    walk: int
    position: int | None
    object_ids: tuple[int, ...]
    gaps: tuple[Gap, ...]
    prompts: str
    seconds: float
    tensors: snapshot.Tensors = field(repr=False)


class Snapshots:
    """The snapshots of one run on disk: written while it is tracked, found again later."""

    def __init__(
        self, run: Path, before: Callable[[], None] = lambda: None, seconds: float = 0.0
    ) -> None:
        """`before` makes the masks so far durable; `seconds` were spent on tracking already."""
        self._folder = run / SNAPSHOTS
        self._before = before
        self._started = time.monotonic() - seconds
        self._kept: set[str] = set()

    @property
    def seconds(self) -> float:
        """Of tracking so far, earlier processes included."""
        return round(time.monotonic() - self._started, 3)

    def begin(self, walk: int, name: str, prompts: PromptsAt, gaps: Iterable[Gap]) -> None:
        """A pass begins: those before it are done."""
        about = self._about(prompts, gaps)
        self._write(f"{walk}-{name}-begin", snapshot.to_bytes({}, about))

    def keep(
        self,
        walk: int,
        name: str,
        position: int,
        predictor: StreamingVideoPredictor,
        state: dict[str, Any],
        prompts: PromptsAt,
        gaps: Iterable[Gap],
    ) -> None:
        """Keep the state after `position`, and what new prompts left; then prune."""
        for (object_id, at), tensors in snapshot.prompted(state).items():
            self.keep_prompt(object_id, at, prompts[object_id][at], tensors)
        about = {**self._about(prompts, gaps), "objects": snapshot.object_ids(state)}
        recent = snapshot.recent(predictor, state, position)
        self._write(f"{walk}-{name}-{position:06d}", snapshot.to_bytes(recent, about))
        self._prune(walk)

    def keep_prompt(
        self, object_id: int, position: int, prompt: Prompt, tensors: snapshot.Tensors
    ) -> None:
        """Keep what a prompt left, unless that is on disk."""
        name = _prompt_name(object_id, position, prompt)
        if name not in self._kept and self.prompted(object_id, position, prompt) is None:
            self._write(name, snapshot.to_bytes(tensors, {}))
        self._kept.add(name)

    def prompted(self, object_id: int, position: int, prompt: Prompt) -> snapshot.Tensors | None:
        """What a prompt left; None when that is not known."""
        path = self._folder / f"{_prompt_name(object_id, position, prompt)}.safetensors"
        try:
            return snapshot.from_file(str(path))[0]
        except ValueError:
            return None

    def forget_prompt(self, object_id: int, position: int, prompt: Prompt) -> None:
        """Remove what a prompt left."""
        name = _prompt_name(object_id, position, prompt)
        (self._folder / f"{name}.safetensors").unlink(missing_ok=True)
        self._kept.discard(name)

    def newest_first(self) -> Iterable[Snapshot]:
        """Those that can be read, the farthest first; one that is damaged is passed over."""
        for walk, position, path in sorted(self._files(), key=_progress, reverse=True):
            if (found := _read(path, walk, position)) is not None:
                yield found

    def on_the_way(self, walk: int, object_id: int, first: int, last: int) -> Snapshot | None:
        """The one of a pass that is nearest before `last`, holds an object, and is at `first` or
        after it, as that pass goes."""
        positions = range(first, last) if first <= last else range(first, last, -1)
        here = [file for file in self._files() if file[0] == walk and file[1] in positions]
        for _, position, path in sorted(here, key=_progress, reverse=True):
            found = _read(path, walk, position)
            if found is not None and object_id in found.object_ids:
                return found
        return None

    def forget_object(self, object_id: int, positions: Collection[int]) -> None:
        """Take an object out of the snapshots at `positions`: its masks there are others now."""
        for walk, position, path in list(self._files()):
            if position not in positions or (found := _read(path, walk, position)) is None:
                continue
            others = tuple(i for i in found.object_ids if i != object_id)
            if others != found.object_ids:
                about = _as_json(found) | {"objects": list(others)}
                content = snapshot.to_bytes(snapshot.of_objects(found.tensors, others), about)
                durable.write_bytes(path, content)

    def _about(self, prompts: PromptsAt, gaps: Iterable[Gap]) -> dict[str, Any]:
        return {
            "objects": [],
            "gaps": [list(gap) for gap in gaps],
            "prompts": digest(p for places in prompts.values() for p in places.values()),
            "seconds": self.seconds,
        }

    def _write(self, name: str, content: bytes) -> None:
        self._before()
        durable.make_folder(self._folder)
        durable.write_bytes(self._folder / f"{name}.safetensors", content)

    def _files(self) -> list[tuple[int, int | None, Path]]:
        """Pass, position and path of each snapshot of a pass."""
        found = []
        for path in self._folder.glob("[0-9]*.safetensors"):
            walk, *_, place = path.stem.split("-")
            found.append((int(walk), None if place == "begin" else int(place), path))
        return found

    def _prune(self, walk: int) -> None:
        here = sorted(
            (file for file in self._files() if file[0] == walk and file[1] is not None),
            key=_progress,
        )
        places = [position for _, position, _ in here if position is not None]
        if len(here) > MOST:
            gaps = [abs(b - a) for a, b in zip(places, places[2:], strict=False)]
            here[1 + gaps.index(min(gaps))][2].unlink()


def _progress(file: tuple[int, int | None, Path]) -> tuple[int, int]:
    """Sorts snapshots as a run comes by them; every pass but a forward one goes down."""
    walk, position, path = file
    if position is None:
        return walk, -(1 << 62)
    return walk, position if "-forward-" in path.name else -position


def _prompt_name(object_id: int, position: int, prompt: Prompt) -> str:
    return f"prompt-{object_id}-{position:06d}-{digest([prompt])}"


def _as_json(found: Snapshot) -> dict[str, Any]:
    return {
        "objects": list(found.object_ids),
        "gaps": [list(gap) for gap in found.gaps],
        "prompts": found.prompts,
        "seconds": found.seconds,
    }


def _read(path: Path, walk: int, position: int | None) -> Snapshot | None:
    try:
        tensors, about = snapshot.from_file(str(path))
        return Snapshot(
            walk=walk,
            position=position,
            object_ids=tuple(about["objects"]),
            gaps=tuple((i, at, down) for i, at, down in about["gaps"]),
            prompts=about["prompts"],
            seconds=about["seconds"],
            tensors=tensors,
        )
    except (ValueError, KeyError, TypeError):
        return None
