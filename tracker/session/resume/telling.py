"""Shows a watch what an earlier process has tracked, so that it goes on as if it had been there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tracker.session.resume.snapshots import Snapshot
from tracker.session.run_folder import RunFolder
from tracker.types import ObjectMask

if TYPE_CHECKING:
    from tracker.session.propagation import Watch
    from tracker.session.session import TrackSession


def tell(watch: Watch, session: TrackSession, run: Path, start: Snapshot) -> None:
    """Show a watch the masks of a run up to a snapshot, in the order of the passes.

    Of a pass that fills a gap there is nothing to tell: it is done from its beginning again.
    """
    if session.settings.direction == "backward":
        return
    places = session.grid.by_position(session.prompts)
    firsts = {object_id: min(positions) for object_id, positions in places.items()}
    _tell_forward(watch, session, RunFolder(run), start, firsts)
    if session.settings.direction == "both" and start.walk > 0:
        _tell_backward(watch, session, RunFolder(run), start, firsts)


def _tell_forward(
    watch: Watch, session: TrackSession, run: RunFolder, start: Snapshot, firsts: dict[int, int]
) -> None:
    until = start.position if start.walk == 0 else None
    if start.walk == 0 and until is None:
        return
    for frame in run.frames():
        position = session.grid.position(frame.index)
        if until is not None and position > until:
            return
        objects = tuple(mask for mask in frame.objects if position >= firsts[mask.object_id])
        if objects:
            watch.saw(position, objects)


def _tell_backward(
    watch: Watch, session: TrackSession, run: RunFolder, start: Snapshot, firsts: dict[int, int]
) -> None:
    farthest = max(firsts.values())
    until = start.position if start.walk == 1 else 0
    for position in range(farthest - 1, (farthest if until is None else until) - 1, -1):
        stored = run.frame_masks(session.grid.frame(position)).objects
        objects: tuple[ObjectMask, ...] = tuple(
            mask for mask in stored if position < firsts[mask.object_id]
        )
        if objects:
            watch.marked(session.read(position), objects)
