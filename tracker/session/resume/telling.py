"""Shows a watch what an earlier process has tracked, so that it goes on as if it had been there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.session.resume.snapshots import Snapshot
from tracker.session.run_folder import RunFolder
from tracker.types import ObjectMask

if TYPE_CHECKING:
    from tracker.session.propagation import Watch
    from tracker.session.session import TrackSession

Told = Iterator[tuple[int, tuple[ObjectMask, ...]]]


def tell(watch: Watch, session: TrackSession, run: Path, start: Snapshot) -> None:
    """Show a watch the masks of a run up to a snapshot, in the order of the passes.

    Of a pass that fills a gap there is nothing to tell: it is done from its beginning again.
    """
    direction = session.settings.direction
    if direction == "backward" or (start.walk, start.position) == (0, None):
        return
    places = session.grid.by_position(session.prompts)
    firsts = {object_id: min(positions) for object_id, positions in places.items()}
    for position, objects in _forward(session, RunFolder(run), start, firsts):
        watch.saw(position, objects)
    if direction == "both" and start.walk > 0:
        for position, objects in _backward(session, RunFolder(run), start, firsts):
            watch.marked(session.read(position), objects)


def _forward(
    session: TrackSession, run: RunFolder, start: Snapshot, firsts: dict[int, int]
) -> Told:
    """The first pass; from their first prompts on objects have their masks from there."""
    for frame in run.frames():
        position = session.grid.position(frame.index)
        if start.walk == 0 and start.position is not None and position > start.position:
            return
        if objects := tuple(m for m in frame.objects if position >= firsts[m.object_id]):
            yield position, objects


def _backward(
    session: TrackSession, run: RunFolder, start: Snapshot, firsts: dict[int, int]
) -> Told:
    """The second pass, which has made the masks before the first prompts."""
    begin, end = max(firsts.values()), 0
    if start.walk == 1:  # it is under way, or about to begin
        end = begin if start.position is None else start.position
    for position in reversed(range(end, begin)):
        stored = run.frame_masks(session.grid.frame(position)).objects
        yield position, tuple(m for m in stored if position < firsts[m.object_id])
