"""`ytvis/`: one entry per object and video, as YouTube-VIS and OVIS have it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask
from tracker.output.export.coco import VIDEO_ID, box_xywh, category_entries, video_entry
from tracker.output.export.contract import FrameMasks
from tracker.output.export.dataset import SpooledDataset
from tracker.output.export.spool import joined

_PER_FRAME = {"segmentations": "rle", "bboxes": "box", "areas": "area"}


class YouTubeVis(SpooledDataset):
    """`instances.json` and `JPEGImages/<video>/`.

    Every object has one annotation whose lists have one entry per exported frame, null where it is
    not visible. Run-length codes are lists of numbers as in those sets; some readers take no other.
    """

    name: ClassVar[str] = "ytvis"
    file_name: ClassVar[str] = "ytvis"

    def write(self, frame: FrameMasks, image_hwc: NDArray[np.uint8] | None) -> None:
        stem = self.info.stem(frame.index)
        file_name = self.save_picture(f"JPEGImages/{self.info.sequence}/{stem}", image_hwc)
        self.spool.add("files", file_name.removeprefix("JPEGImages/"))
        place = self.info.place(frame.index)
        for mask in frame.visible:
            for key, value in (
                ("rle", _run_lengths(mask.mask_hw)),
                ("box", box_xywh(mask)),
                ("area", int(np.count_nonzero(mask.mask_hw))),
            ):
                self.spool.add(f"{key} {mask.object_id}", [place, value])

    def write_document(self) -> None:
        with self.path("instances.json").open("w", encoding="utf-8") as file:
            head = {"info": {"description": self.info.sequence}}
            file.write(_opened({**head, "categories": category_entries(self.info)}))
            file.write(f',\n"videos": [\n{_opened(video_entry(self.info))}, "file_names": [')
            file.writelines(joined(self.spool.texts("files")))
            file.write(']}],\n"annotations": [\n')
            visible = [i for i in sorted(self.info.labels) if self.spool.count(f"area {i}")]
            for number, object_id in enumerate(visible, start=1):
                file.writelines(self._annotation(number, object_id))
                file.write("," if number < len(visible) else "")
            file.write("]\n}\n")

    def _annotation(self, number: int, object_id: int) -> Iterator[str]:
        yield _opened(
            {
                "id": number,
                "video_id": VIDEO_ID,
                "category_id": self.info.category(object_id) + 1,
                "track_id": object_id,
                "width": self.info.video.width,
                "height": self.info.video.height,
                "length": len(self.info.frames),
                "iscrowd": 0,
            }
        )
        for name, key in _PER_FRAME.items():
            yield f',\n"{name}": ['
            yield from joined(self._with_gaps(f"{key} {object_id}"))
            yield "]"
        yield "}\n"

    def _with_gaps(self, key: str) -> Iterator[str]:
        """One JSON text per exported frame."""
        stored = (json.loads(text) for text in self.spool.texts(key))
        place, value = next(stored)
        for current in range(len(self.info.frames)):
            if current == place:
                yield json.dumps(value)
                place, value = next(stored, (-1, None))
            else:
                yield "null"


def _run_lengths(mask_hw: BoolMask) -> dict[str, Any]:
    """COCO's uncompressed code: lengths of runs column by column, background first."""
    pixels = np.concatenate([[False], mask_hw.ravel(order="F")])
    ends = np.flatnonzero(np.diff(pixels, append=not pixels[-1]))
    return {"size": list(mask_hw.shape), "counts": np.diff(ends, prepend=0).tolist()}


def _opened(value: dict[str, Any]) -> str:
    """A JSON object without its closing brace."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)[:-1]
