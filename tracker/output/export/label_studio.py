"""`label-studio/`: tasks for Label Studio, of the frames with masks and of the video with boxes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from tracker.masks import BoolMask, mask_box
from tracker.output.export.contract import UNNAMED, ExportInfo, FrameMasks
from tracker.output.export.dataset import SpooledDataset
from tracker.output.export.options import DEFAULT_OPTIONS, ExportOptions
from tracker.output.export.spool import joined
from tracker.types import ObjectMask

_LOCAL = "/data/local-files/?d="  # how Label Studio addresses files of a folder that it may read
_RGBA = 4


class LabelStudio(SpooledDataset):
    """`images.json` with `images/` and `images.xml`; `video.json` with `video.xml`.

    Label Studio draws masks on images alone; in videos it tracks boxes, with a keyframe on every
    exported frame. Its frames count from 1, its coordinates are percent. The XML files are the
    labelling interfaces.
    """

    name: ClassVar[str] = "label-studio"
    file_name: ClassVar[str] = "label-studio"

    def __init__(
        self, info: ExportInfo, folder: Path, options: ExportOptions = DEFAULT_OPTIONS
    ) -> None:
        super().__init__(info, folder, options)
        self._last_box: dict[int, dict[str, float]] = {}
        self._shown: set[int] = set()

    def write(self, frame: FrameMasks, image_hwc: NDArray[np.uint8] | None) -> None:
        name = self.save_picture(f"images/{self.info.stem(frame.index)}", image_hwc)
        results = [self._brush(mask) for mask in frame.visible]
        data = {"image": f"{_LOCAL}{self.file_name}/{name}", "frame_index": frame.index}
        self.spool.add("tasks", {"data": data, "annotations": [{"result": results}]})
        self._add_keyframes(frame)

    def _add_keyframes(self, frame: FrameMasks) -> None:
        """One for every visible object, and one that hides each that no longer is."""
        when = {"frame": frame.index + 1, "time": round(self.info.seconds(frame.pts), 6)}
        boxes = {mask.object_id: _percent_box(mask.mask_hw) for mask in frame.visible}
        gone = self._shown - boxes.keys()
        self._last_box |= boxes
        for object_id in sorted({*boxes, *gone}):
            box = {"enabled": object_id in boxes, "rotation": 0, **self._last_box[object_id]}
            self.spool.add(f"boxes {object_id}", {**when, **box})
        self._shown = set(boxes)

    def write_document(self) -> None:
        with self.path("images.json").open("w", encoding="utf-8") as file:
            file.write("[")
            file.writelines(joined(self.spool.texts("tasks")))
            file.write("]\n")
        with self.path("video.json").open("w", encoding="utf-8") as file:
            file.writelines(self._video_task())
        labels = "".join(f"<Label value={quoteattr(name)}/>" for name in self.info.categories)
        brush = f'<BrushLabels name="mask" toName="image">{labels}</BrushLabels>'
        image = f'<View><Image name="image" value="$image"/>{brush}</View>\n'
        self.path("images.xml").write_text(image, "utf-8")
        boxes = f'<VideoRectangle name="box" toName="video"/>{_video_labels(labels)}'
        video = f'<View><Video name="video" value="$video"/>{boxes}</View>\n'
        self.path("video.xml").write_text(video, "utf-8")

    def _label(self, object_id: int) -> str:
        return self.info.labels[object_id] or UNNAMED

    def _brush(self, mask: ObjectMask) -> dict[str, Any]:
        height, width = mask.mask_hw.shape
        value = {
            "format": "rle",
            "rle": encode_brush(mask.mask_hw),
            "brushlabels": [self._label(mask.object_id)],
        }
        return {
            "id": f"object{mask.object_id}",
            "type": "brushlabels",
            "from_name": "mask",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": value,
            "score": round(mask.confidence, 4),
            "meta": {"text": [f"object {mask.object_id}", mask.state]},
        }

    def _video_task(self) -> Iterator[str]:
        data = {"video": f"{_LOCAL}{Path(self.info.video.path).name}"}
        yield f'[{{"data": {json.dumps(data)}, "annotations": [{{"result": ['
        count = self.info.video.frame_count or self.info.frames[-1] + 1
        for number, object_id in enumerate(sorted(self._last_box)):
            head = {
                "id": f"object{object_id}",
                "type": "videorectangle",
                "from_name": "box",
                "to_name": "video",
            }
            duration = float(count / self.info.video.frame_rate)
            facts = {"framesCount": count, "duration": round(duration, 6)}
            value = {**facts, "labels": [self._label(object_id)]}
            yield ",\n" if number else "\n"
            yield f'{json.dumps(head)[:-1]}, "value": {json.dumps(value)[:-1]}, "sequence": [\n'
            yield from joined(self.spool.texts(f"boxes {object_id}"))
            yield "]}}"
        yield "]}]}]\n"


def _video_labels(labels: str) -> str:
    return f'<Labels name="labels" toName="video">{labels}</Labels>'


def _percent_box(mask_hw: BoolMask) -> dict[str, float]:
    box = mask_box(mask_hw)
    assert box is not None
    (x1, y1, x2, y2), (height, width) = box, mask_hw.shape
    shares = {"x": x1 / width, "y": y1 / height}
    shares |= {"width": (x2 - x1) / width, "height": (y2 - y1) / height}
    return {name: round(100 * share, 6) for name, share in shares.items()}


def encode_brush(mask_hw: BoolMask) -> list[int]:
    """Label Studio's code of a mask, as a list of bytes.

    It codes the mask as an RGBA picture, row by row, of which every byte is 0 or 255. A header says
    how many bytes there are (32 bits), how many bits a value has (5) and how many the lengths of
    runs may have (4 x 4); all of these but the first less one. Then comes per run a 1, which of the
    four sizes its length has (2 bits), the length less one, and the value (8 bits).
    """
    pixels = mask_hw.ravel()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(pixels)) + 1])
    lengths = np.diff([*starts, len(pixels)]) * _RGBA
    sizes = (3, 8, 16, 16)
    longest = 1 << sizes[-1]
    bits = [f"{len(pixels) * _RGBA:032b}", f"{8 - 1:05b}", *(f"{size - 1:04b}" for size in sizes)]
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        value = f"{255 if pixels[start] else 0:08b}"
        while length:
            run = min(length, longest)
            place = next(n for n, size in enumerate(sizes) if run <= 1 << size)
            bits.append(f"1{place:02b}{run - 1:0{sizes[place]}b}{value}")
            length -= run
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))
