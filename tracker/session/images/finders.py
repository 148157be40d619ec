"""The ways to find objects on an image: shown, remembered, everything, or boxed by a detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from tracker import locations
from tracker.errors import PromptError, ReferenceMemoryError
from tracker.memory.index import FILE_NAME
from tracker.memory.prompting import Decision, find_prompts
from tracker.memory.store import ReferenceMemory, own_feature_model
from tracker.models.dinov2 import load_features
from tracker.models.everything import EverythingGenerator
from tracker.models.sam2 import ImagePrompter, load_video_predictor
from tracker.session.images.boxes import DetectedBox, boxes_by_text, read_boxes
from tracker.session.images.doubts import CLOSE, doubts_of_decisions, doubts_of_masks, scores_needed
from tracker.session.images.found import Doubt, FoundObject
from tracker.session.images.image_files import ImageFile
from tracker.session.images.settings import ImageSettings
from tracker.types import Prompt

if TYPE_CHECKING:
    from tracker.models.streaming import StreamingVideoPredictor

Rgb = NDArray[np.uint8]
BoxesOf = Callable[[ImageFile, Rgb], Sequence[DetectedBox]]


@dataclass(frozen=True)
class Findings:
    """What was found on one image, and what of it is doubtful."""

    objects: tuple[FoundObject, ...]
    doubts: tuple[Doubt, ...]


class Finder(Protocol):
    """Finds the objects on one image after the other."""

    def find(self, image: ImageFile, image_hwc: Rgb) -> Findings:
        """The objects on an RGB uint8 image; every mask has at least one pixel."""


def make_finder(settings: ImageSettings, prompts: Sequence[Prompt] = ()) -> Finder:
    """The finder that the settings ask for, its models loaded.

    Raises:
        InputError: when a model, the memory, the prompts or a file of boxes cannot be used.
    """
    # What can be wrong is read before a model is loaded, which takes seconds.
    if settings.boxes is not None:
        return BoxFinder(_boxes_in(Path(settings.boxes)), settings, _predictor(settings))
    if settings.text is not None:
        return BoxFinder(_boxes_for(settings, settings.text), settings, _predictor(settings))
    if settings.auto_prompt:
        return MemoryFinder(settings, _open_memory(settings), _predictor(settings))
    if settings.everything:
        return EverythingFinder(settings, _predictor(settings))
    return PromptFinder(prompts, _predictor(settings))


def _boxes_in(path: Path) -> BoxesOf:
    boxes = read_boxes(path)
    return lambda image, image_hwc: boxes.of(image.stem, image_hwc)


def _boxes_for(settings: ImageSettings, text: str) -> BoxesOf:
    find = boxes_by_text(text, settings.detector, settings.device, settings.box_threshold)
    return lambda image, image_hwc: find(image_hwc)


def _predictor(settings: ImageSettings) -> StreamingVideoPredictor:
    return load_video_predictor(
        settings.model, settings.device, settings.image_size, edges=settings.edges
    )


class PromptFinder:
    """What a user has shown; a prompt's frame is the image's place, from 0."""

    def __init__(self, prompts: Sequence[Prompt], predictor: StreamingVideoPredictor) -> None:
        """Raises PromptError when one object has two names."""
        names: dict[int, str] = {}
        for prompt in prompts:
            if prompt.label and names.setdefault(prompt.object_id, prompt.label) != prompt.label:
                raise PromptError(
                    f"object {prompt.object_id} is called both {names[prompt.object_id]!r} and "
                    f"{prompt.label!r}"
                )
        self._prompts, self._names = prompts, names
        self._prompter = ImagePrompter(predictor)

    def find(self, image: ImageFile, image_hwc: Rgb) -> Findings:
        """Raises PromptError for a prompt outside of the image."""
        mine = [prompt for prompt in self._prompts if prompt.frame == image.index]
        if any(prompt.mask_hw is None for prompt in mine):
            self._prompter.set_image(image_hwc)
        found = [self._answer(prompt, image_hwc) for prompt in mine]
        objects = tuple(each for each in found if each.mask_hw.any())
        return Findings(objects, tuple(doubts_of_masks(objects)))

    def _answer(self, prompt: Prompt, image_hwc: Rgb) -> FoundObject:
        """A mask is taken as it is, as on the frames of a video; the rest SAM2 answers."""
        if prompt.mask_hw is not None:
            if prompt.mask_hw.shape != image_hwc.shape[:2]:
                (mh, mw), (h, w) = prompt.mask_hw.shape, image_hwc.shape[:2]
                raise PromptError(
                    f"the mask of object {prompt.object_id} is {mw}x{mh} pixels but the image "
                    f"{w}x{h}"
                )
            mask_hw, predicted_iou = prompt.mask_hw, 1.0
        else:
            self._prompter.look_at(prompt.view_xyxy)
            best = self._prompter.answer(prompt)
            mask_hw, predicted_iou = best.mask_hw, best.predicted_iou
        label = self._names.get(prompt.object_id)
        return FoundObject(label, mask_hw, 1.0, predicted_iou, "user", prompt.object_id)


class MemoryFinder:
    """Every object that the reference memory knows, several of one label if there are."""

    def __init__(
        self, settings: ImageSettings, memory: ReferenceMemory, predictor: StreamingVideoPredictor
    ) -> None:
        self._settings, self._memory = settings, memory
        assert memory.extractor is not None  # it was opened with one
        self._extractor = memory.extractor
        self._prompter = ImagePrompter(predictor)

    def find(self, image: ImageFile, image_hwc: Rgb) -> Findings:
        """Raises ReferenceMemoryError when the memory is damaged."""
        settings = self._settings
        decisions = find_prompts(
            image_hwc,
            self._memory,
            self._extractor,
            self._prompter,
            frame=image.index,
            labels=settings.labels or None,
            prompt_kind=settings.prompt_kind,
            max_per_label=settings.max_per_label,
            threshold=settings.min_score,
            seed=settings.seed,
            margin=CLOSE,  # what is farther off is neither found nor in doubt
        )
        needed = scores_needed(decisions, settings.beside_best)
        objects = tuple(
            FoundObject(
                decision.label,
                decision.mask_hw,
                decision.score,
                _predicted_iou(decision),
                "memory",
                reference_id=decision.reference_id,
            )
            for decision in decisions
            if decision.accepted
            and decision.score >= needed[decision.label]
            and decision.mask_hw.any()
        )
        doubts = (
            *doubts_of_decisions(decisions, settings.beside_best),
            *doubts_of_masks(objects),
        )
        return Findings(objects, doubts)


class EverythingFinder:
    """Whatever stands out, without names."""

    def __init__(self, settings: ImageSettings, predictor: StreamingVideoPredictor) -> None:
        self._generator = EverythingGenerator(
            predictor,
            points_per_side=settings.points_per_side,
            min_iou=settings.min_iou,
            min_stability=settings.min_stability,
            box_nms=settings.box_nms,
            crop_layers=settings.crop_layers,
            min_area_px=settings.min_area,
        )

    def find(self, image: ImageFile, image_hwc: Rgb) -> Findings:
        masks = self._generator.generate(image_hwc)
        objects = tuple(
            FoundObject(None, mask.mask_hw, mask.stability, mask.predicted_iou, "detector")
            for mask in masks
        )
        # Its masks overlap by nature: a whole and its parts.
        return Findings(objects, () if objects else tuple(doubts_of_masks(objects)))


class BoxFinder:
    """The boxes of a detector, each answered by SAM2 with a mask."""

    def __init__(
        self,
        boxes_of: BoxesOf,
        settings: ImageSettings,
        predictor: StreamingVideoPredictor,
    ) -> None:
        self._boxes_of, self._least = boxes_of, settings.box_threshold
        self._prompter = ImagePrompter(predictor)

    def find(self, image: ImageFile, image_hwc: Rgb) -> Findings:
        """Raises PromptError when the boxes of this image cannot be used."""
        boxes = [box for box in self._boxes_of(image, image_hwc) if box.score >= self._least]
        if boxes:
            self._prompter.set_image(image_hwc)
        found = []
        for box in boxes:
            prompt = Prompt(image.index, 1, box_xyxy=box.xyxy, source="detector")
            best = self._prompter.answer(prompt)
            found.append(
                FoundObject(box.label, best.mask_hw, box.score, best.predicted_iou, "detector")
            )
        objects = tuple(each for each in found if each.mask_hw.any())
        return Findings(objects, tuple(doubts_of_masks(objects)))


def _predicted_iou(decision: Decision) -> float:
    """Of the candidate that won."""
    return next(c.predicted_iou for c in decision.candidates if c.mask_hw is decision.mask_hw)


def _open_memory(settings: ImageSettings) -> ReferenceMemory:
    """The memory with its feature model; `auto` is the one that its references have."""
    folder = Path(settings.memory).expanduser() if settings.memory else locations.user_memory()
    known = ReferenceMemory.open(folder).labels() if (folder / FILE_NAME).is_file() else ()
    if not known:
        raise ReferenceMemoryError(
            f"the reference memory {folder} is empty; add an object: track memory add IMAGE "
            f"--mask FILE --label NAME --memory {folder}"
        )
    if unknown := [label for label in settings.labels if label not in known]:
        raise ReferenceMemoryError(
            f"no reference in {folder} is labelled {unknown[0]!r}; labels: {', '.join(known)}"
        )
    name = settings.features
    if name == "auto":
        name = own_feature_model(folder) or name
    return ReferenceMemory.open(folder, load_features(name, settings.device))
