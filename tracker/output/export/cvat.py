"""`cvat/annotations.xml`: tracks of polygons in CVAT's format for videos, version 1.1."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask
from tracker.output.export.contract import UNNAMED, ExportInfo, FrameMasks
from tracker.output.export.dataset import SpooledDataset
from tracker.output.export.options import DEFAULT_OPTIONS, ExportOptions
from tracker.output.export.outlines import edge_polygons, join_parts


class Cvat(SpooledDataset):
    """One track per object, with a keyframe on every exported frame that shows it.

    CVAT tracks polygons, but of a track of masks it takes the first alone. So a mask is one
    polygon along the edges of its pixels, whose holes and parts hang on bridges without width.
    Frames have the indices of the source. Where an object is no longer visible or tracked, it is
    `outside`; it is `occluded` where its state is anything but visible. An object that is nowhere
    visible has no track.
    """

    name: ClassVar[str] = "cvat"
    file_name: ClassVar[str] = "cvat"

    def __init__(
        self, info: ExportInfo, folder: Path, options: ExportOptions = DEFAULT_OPTIONS
    ) -> None:
        super().__init__(info, folder, options)
        self._shown: dict[int, str] = {}  # what CVAT still shows, per object
        self._visible: set[int] = set()  # somewhere

    def wants_image(self, index: int) -> bool:
        return False  # the task has the video

    def write(self, frame: FrameMasks, image_hwc: NDArray[np.uint8] | None) -> None:
        visible = {mask.object_id: mask for mask in frame.visible}
        for object_id, mask in visible.items():
            self._shown[object_id] = _points(mask.mask_hw)
            self._add_shape(frame.index, object_id, occluded=mask.state != "visible")
        for object_id in self._shown.keys() - visible.keys():
            self._add_shape(frame.index, object_id, occluded=True, outside=True)
            del self._shown[object_id]
        self._visible |= visible.keys()

    def _add_shape(self, index: int, object_id: int, occluded: bool, outside: bool = False) -> None:
        flags = f'keyframe="1" outside="{outside:d}" occluded="{occluded:d}"'
        points = f'points="{self._shown[object_id]}" z_order="{object_id}"'
        shape = f'<polygon frame="{index}" {flags} {points}></polygon>'
        self.spool.add(str(object_id), shape)

    def write_document(self) -> None:
        with self.path("annotations.xml").open("w", encoding="utf-8") as file:
            file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n')
            file.write("  <version>1.1</version>\n")
            file.writelines(f"  {line}\n" for line in self._meta())
            for object_id in sorted(self._visible):
                label = quoteattr(self.info.labels[object_id] or UNNAMED)
                file.write(f'  <track id="{object_id}" label={label} source="file">\n')
                shapes = (json.loads(text) for text in self.spool.texts(str(object_id)))
                file.writelines(f"    {shape}\n" for shape in shapes)
                file.write("  </track>\n")
            file.write("</annotations>\n")

    def _meta(self) -> Iterator[str]:
        video, frames = self.info.video, self.info.frames
        step = f"step={self.info.stride}" if self.info.stride > 1 else ""
        yield "<meta><task>"
        yield f"<name>{escape(self.info.sequence)}</name><size>{len(frames)}</size>"
        yield "<mode>interpolation</mode><overlap>0</overlap>"
        yield f"<start_frame>{frames[0]}</start_frame><stop_frame>{frames[-1]}</stop_frame>"
        yield f"<frame_filter>{step}</frame_filter><labels>"
        for name in self.info.categories:
            yield f"<label><name>{escape(name)}</name><type>any</type><attributes/></label>"
        size = f"<width>{video.width}</width><height>{video.height}</height>"
        yield f"</labels><original_size>{size}</original_size></task></meta>"


def _points(mask_hw: BoolMask) -> str:
    (polygon,) = join_parts(edge_polygons(mask_hw), most_px=math.inf)
    return ";".join(f"{x},{y}" for x, y in polygon.tolist())
