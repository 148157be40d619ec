"""Runs as supervision's detections."""

from __future__ import annotations

import numpy as np

from tests.made_runs import made_frames, made_info, masks_of
from tracker.masks import mask_box
from tracker.output.export import FrameMasks, detections


class MadeRun:
    def __init__(self, kind):
        self.kind = kind

    def frames(self):
        yield from (frame for frame, _ in made_frames(self.kind))

    def export_info(self):
        return made_info(self.kind)


def test_class_mask_and_box_are_equal(kind):
    info, count = made_info(kind), 0
    for frame, found in detections(MadeRun(kind)):
        made = masks_of(frame)
        assert found.tracker_id.tolist() == list(made)
        assert (found.mask == np.stack(list(made.values()))).all()
        assert found.class_id.tolist() == [info.category(i) for i in made]
        assert list(found.data["class_name"]) == [info.labels[i] or "object" for i in made]
        assert [tuple(box) for box in found.xyxy] == [mask_box(m) for m in made.values()]
        confidences = [mask.confidence for mask in frame.visible]
        assert np.allclose(found.confidence, confidences)
        count += 1
    assert count == 6


def test_a_frame_without_objects_has_no_detections():
    run = MadeRun("special")
    run.frames = lambda: iter([FrameMasks(0, 0, ())])
    ((_, found),) = detections(run)
    assert len(found) == 0
