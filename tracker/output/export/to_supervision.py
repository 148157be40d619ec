"""A run as supervision's `Detections`, for scripts that go on with that library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from tracker.output.detections import to_detections
from tracker.output.export.contract import ExportInfo, FrameMasks

if TYPE_CHECKING:
    import supervision as sv


class StoredRun(Protocol):
    """What is needed of a run; `tracker.RunFolder` has it."""

    def frames(self) -> Iterator[FrameMasks]: ...
    def export_info(self) -> ExportInfo: ...


def detections(run: StoredRun) -> Iterator[tuple[FrameMasks, sv.Detections]]:
    """Every frame of a run with its visible objects as detections.

    `tracker_id` is the object id, `class_id` counts labels from 0, `data["class_name"]` is the
    label; masks are bool at video resolution, boxes `xyxy` in pixels with x2 and y2 exclusive.
    """
    info = run.export_info()
    for frame in run.frames():
        ids = [info.category(mask.object_id) for mask in frame.objects]
        yield frame, to_detections(frame.objects, ids, [info.categories[i] for i in ids])
