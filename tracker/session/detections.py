"""A detector's boxes as prompts: on the first frame, and every few frames for what has come since.

Every box becomes an object. On later frames SAM2 answers each box with a mask first: one that
overlaps with the mask of an object that is tracked is that object, and stays as it is; any other
becomes a new object from that frame on, together with the boxes whose masks overlap with its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.errors import NoMatchError
from tracker.masks import iou
from tracker.models.registry import resolve
from tracker.models.sam2 import ImagePrompter
from tracker.session.exchange.annotations import frame_of
from tracker.session.identity import ModelIdentity
from tracker.session.images.boxes import DetectedBox, boxes_by_text, read_boxes
from tracker.session.propagation import Watch
from tracker.settings import TrackSettings
from tracker.types import Frame, ObjectMask, Prompt, VideoInfo

if TYPE_CHECKING:
    from tracker.session.session import TrackSession

SAME_OBJECT_IOU = 0.5

BoxesOf = Callable[[Frame], list[DetectedBox]]


class Detections(Watch):
    """Asks a detector for a session: a file of boxes, or a zero-shot one by words."""

    def __init__(self, session: TrackSession) -> None:
        """Get ready.

        Raises:
            PromptError: when the file or the text cannot be used.
            ModelError: when the detector cannot be loaded.
        """
        settings = session.settings
        self._session, self._every = session, settings.detect_every
        self._boxes_of = _boxes_by_name(settings, session.info) or _boxes_by_words(settings)
        self._least = settings.box_threshold
        self._prompter: ImagePrompter | None = None

    @property
    def model(self) -> ModelIdentity | None:
        """The detector that is asked by words; None for a file."""
        settings = self._session.settings
        if settings.text is None:
            return None
        if Path(settings.detector).is_dir():
            return ModelIdentity(settings.detector, "")
        files = resolve(settings.detector, "detector")
        return ModelIdentity(files.name, files.sha256)

    def first_prompts(self) -> tuple[Prompt, ...]:
        """A prompt per box on the first frame that has any, of those that are asked about.

        Raises:
            NoMatchError: when there is no box.
            PromptError: for a box outside of its frame.
        """
        for position in count(0, self._every) if self._every else (0,):
            try:
                frame = self._session.read(position)
            except IndexError:
                break
            if boxes := self._boxes(frame):
                return tuple(self._prompts(frame, boxes))
        raise NoMatchError(self._nothing())

    def after(self, position: int, objects: tuple[ObjectMask, ...]) -> Mapping[int, Prompt]:
        if not self._every or position % self._every or self._is_done(position):
            return {}
        frame = self._session.read(position)
        new = self._new(frame, self._boxes(frame), objects)
        return {prompt.object_id: prompt for prompt in self._prompts(frame, new)}

    def gap(self, object_id: int, position: int) -> int | None:
        """A new object is carried back as well where that is wanted of all."""
        return 0 if self._session.settings.direction == "both" else None

    def _is_done(self, position: int) -> bool:
        """Whether the detector has been asked there; what it found then is among the prompts."""
        index = self._session.grid.frame(position)
        return any(p.frame == index and p.source == "detector" for p in self._session.prompts)

    def _boxes(self, frame: Frame) -> list[DetectedBox]:
        return [box for box in self._boxes_of(frame) if box.score >= self._least]

    def _prompts(self, frame: Frame, boxes: Iterable[DetectedBox]) -> Iterator[Prompt]:
        for object_id, box in enumerate(boxes, start=self._session.next_object_id):
            yield Prompt(
                frame.index,
                object_id,
                box_xyxy=box.xyxy,
                source="detector",
                label=box.label,
                score=box.score,
            )

    def _new(
        self, frame: Frame, boxes: list[DetectedBox], objects: tuple[ObjectMask, ...]
    ) -> list[DetectedBox]:
        """The boxes of what is not tracked yet: one of each, the surest."""
        if not boxes:
            return []
        self._prompter = self._prompter or ImagePrompter(self._session.predictor)
        self._prompter.set_image(frame.image_hwc)
        new, known = [], [each.mask_hw for each in objects]
        for box in sorted(boxes, key=lambda box: -box.score):
            mask_hw = self._prompter.predict(box_xyxy=box.xyxy)[0].mask_hw
            if mask_hw.any() and all(iou(mask_hw, other) < SAME_OBJECT_IOU for other in known):
                new.append(box)
                known.append(mask_hw)
        return new

    def _nothing(self) -> str:
        settings = self._session.settings
        what = f"--boxes {settings.boxes}" if settings.boxes else f"--text {settings.text!r}"
        index = self._session.grid.start
        if self._every:
            return f"{what}: nothing on frame {index}, nor every {self._every} frames after it"
        return f"{what}: nothing on frame {index}; --detect-every N looks on later ones too"


def _boxes_by_name(settings: TrackSettings, info: VideoInfo) -> BoxesOf | None:
    """Boxes from a file that names frames by their number, or as the images of the video."""
    if settings.boxes is None:
        return None
    file = read_boxes(Path(settings.boxes))
    stems: dict[int, list[str]] = {}
    for stem in file.by_stem:
        stems.setdefault(frame_of(stem, info, 0, file.path), []).append(stem)

    def boxes_of(frame: Frame) -> list[DetectedBox]:
        names = stems.get(frame.index, ())
        return [box for name in names for box in file.of(name, frame.image_hwc)]

    return boxes_of


def _boxes_by_words(settings: TrackSettings) -> BoxesOf:
    assert settings.text is not None  # the settings name a file or a text
    find = boxes_by_text(settings.text, settings.detector, settings.device, settings.box_threshold)
    return lambda frame: find(frame.image_hwc)
