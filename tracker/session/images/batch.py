"""Segments a set of images: each once, whatever happens to the others, and outputs of all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tracker import locations
from tracker.errors import PromptError, RunError, VideoError
from tracker.memory.index import FILE_NAME
from tracker.memory.store import ReferenceMemory
from tracker.models.registry import resolve
from tracker.output.export import ExportOptions
from tracker.session.images.doubts import write_review
from tracker.session.images.found import ImageResult
from tracker.session.images.image_files import ImageFile, find_images
from tracker.session.images.measuring import Measures
from tracker.session.images.numbering import Numbering
from tracker.session.images.outputs import Done, check_formats, write_outputs
from tracker.session.images.settings import ImageSettings
from tracker.session.images.store import ImageStore
from tracker.session.images.table import ObjectTable
from tracker.session.progress import Progress
from tracker.types import Prompt
from tracker.video import read_image

# What finds objects needs torch, which takes seconds to import: a batch that is done does without.
if TYPE_CHECKING:
    from tracker.session.images.finders import Finder


_NAMED = 8  # images in a notice


@dataclass(frozen=True)
class Wanted:
    """What is written about the images.

    Attributes:
        formats: names in `tracker.session.images.outputs.IMAGE_FORMATS`.
        options: of these formats.
        measures: what to work out of areas, None for nothing.
        review: whether the doubtful images are listed in a file.
    """

    formats: tuple[str, ...] = ("png", "overlay")
    options: ExportOptions = field(default_factory=ExportOptions)
    measures: Measures | None = None
    review: bool = False


@dataclass(frozen=True)
class Failure:
    """An image that could not be segmented, and why in one line."""

    path: Path
    message: str


@dataclass(frozen=True)
class Batch:
    """A set of images, done.

    Attributes:
        folder: where everything is.
        images: how many there are.
        done_before: how many of them had been done by an earlier call.
        failures: those that could not be done.
        table: every object of the others.
        outputs: what was written, by format.
        doubtful: how many images a person should look at; None unless a review was wanted.
    """

    folder: Path
    images: int
    done_before: int
    failures: tuple[Failure, ...]
    table: ObjectTable
    outputs: dict[str, Path]
    doubtful: int | None


def segment_images(
    paths: Sequence[Path],
    folder: Path,
    settings: ImageSettings | None = None,
    prompts: Sequence[Prompt] = (),
    wanted: Wanted | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Batch:
    """Find the objects on images and write what is wanted of them.

    Results are kept image by image, so that a call that was interrupted goes on where it was. An
    image that cannot be read, or whose prompts are wrong, is listed and does not stop the others.

    Args:
        paths: images and folders of images.
        folder: for results and outputs: new, or of an earlier call with the same settings.
        settings: how objects are found.
        prompts: for `settings.source` "prompts"; their frame is the place of the image, from 0.
        wanted: what is written.
        overwrite: start over what is in `folder`.
        progress: is told of every image.

    Raises:
        VideoError: when there is no image at all, or an output cannot be written.
        PromptError, SettingsError, ModelError, ReferenceMemoryError: for what is wrong with the
            call as a whole.
        RunError: when `folder` holds something else.
    """
    settings, wanted = settings or ImageSettings(), wanted or Wanted()
    progress = progress or Progress()
    images = find_images(paths)
    check_formats(wanted.formats)
    _check_prompts(settings, prompts, len(images))
    with ImageStore(folder, recipe(settings, prompts), overwrite) as store:
        work = _Work(store, partial(_make_finder, settings, prompts, progress))
        progress.stage("segmenting", len(images))
        for image in images:
            work.do(image, progress)
        batch = _finish(work, images, wanted, progress)
        if settings.everything:
            _tell_nothing(work.results(), settings, progress)
        return batch


def recipe(settings: ImageSettings, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """Everything that decides results apart from the images, as JSON.

    Raises:
        ModelError: for a model that is unknown or not installed.
        PromptError, ReferenceMemoryError: for a file of boxes or a memory that cannot be read.
    """
    models = {"sam2": resolve(settings.model, "sam2").sha256}
    if settings.text is not None and not Path(settings.detector).is_dir():
        models["detector"] = resolve(settings.detector, "detector").sha256
    inputs: dict[str, str] = {}
    if settings.boxes is not None:
        inputs["boxes"] = _digest_files(Path(settings.boxes))
    if settings.auto_prompt:
        inputs["memory"] = _digest_memory(settings)
    return {
        "settings": {k: v for k, v in settings.to_json().items() if k != "device"},
        "models": models,
        "inputs": inputs,
        "prompts": [prompt.to_json() for prompt in prompts],
    }


class _ImageError(Exception):
    """What was asked of one image cannot be done."""


class _Work:
    """The images one after the other; the finder is made when the first one needs it."""

    def __init__(self, store: ImageStore, make_finder: Callable[[], Finder]) -> None:
        self.store, self._make_finder = store, make_finder
        self._finder: Finder | None = None
        self.done: list[Done] = []
        self.failures: list[Failure] = []
        self.done_before = 0

    def do(self, image: ImageFile, progress: Progress) -> None:
        """Segment an image unless it is done. What is wrong with the whole call is raised."""
        try:
            if self.store.find(image) is not None:
                self.done_before += 1
            else:
                self._segment(image, read_image(image.path))
            self.done.append(Done(image, partial(_reread, self.store, image)))
        except (VideoError, _ImageError) as error:
            self.failures.append(Failure(image.path, str(error)))
            progress.notice(f"{image.path.name}: {error}")
        progress.frame()

    def _segment(self, image: ImageFile, image_hwc: NDArray[np.uint8]) -> None:
        self._finder = self._finder or self._make_finder()
        try:
            found = self._finder.find(image, image_hwc)
        except PromptError as error:
            raise _ImageError(str(error)) from error
        height, width = image_hwc.shape[:2]
        result = ImageResult(image.stem, image.sha256, height, width, found.objects, found.doubts)
        self.store.save(image, result)

    def results(self) -> Iterator[ImageResult]:
        return (each.read() for each in self.done)


def _finish(work: _Work, images: Sequence[ImageFile], wanted: Wanted, progress: Progress) -> Batch:
    numbering = Numbering.of(work.results())
    table = ObjectTable.of(work.results(), numbering, wanted.measures)
    folder = work.store.folder
    table.write(folder)
    doubtful = write_review(work.results(), folder) if wanted.review else None
    outputs: dict[str, Path] = {}
    if work.done:
        progress.stage("writing", len(work.done))
        outputs = write_outputs(
            work.done,
            numbering,
            folder,
            wanted.formats,
            wanted.options,
            progress.frame,
            progress.notice,
        )
    if wanted.measures is not None:
        _tell_missing(work.results(), wanted.measures, progress)
    failures = tuple(work.failures)
    return Batch(folder, len(images), work.done_before, failures, table, outputs, doubtful)


def _tell_missing(results: Iterator[ImageResult], measures: Measures, progress: Progress) -> None:
    for result in results:
        for name in measures.missing([each.label for each in result.objects]):
            progress.notice(f"{result.stem}: no {name!r} was found to measure by")


def _tell_nothing(
    results: Iterator[ImageResult], settings: ImageSettings, progress: Progress
) -> None:
    """Say which images nothing was kept on, under which limits, and how to lower them."""
    empty = [result.stem for result in results if not result.objects]
    if not empty:
        return
    lower_iou, lower_stability = (
        max(0.0, limit - step)
        for limit, step in ((settings.min_iou, 0.3), (settings.min_stability, 0.15))
    )
    more = f" and {len(empty) - _NAMED} more" if len(empty) > _NAMED else ""
    limits = f"--min-iou {settings.min_iou:g} and --min-stability {settings.min_stability:g}"
    if settings.min_area:
        limits += f", and --min-area {settings.min_area}"
    progress.notice(
        f"nothing was kept on {', '.join(empty[:_NAMED])}{more}: --everything drops masks below "
        f"{limits}; to keep more: --min-iou {lower_iou:g} --min-stability {lower_stability:g}"
    )


def _reread(store: ImageStore, image: ImageFile) -> ImageResult:
    result = store.find(image)
    if result is None:
        raise RunError(f"the result of {image.path.name} in {store.folder} is gone, or has changed")
    return result


def _check_prompts(settings: ImageSettings, prompts: Sequence[Prompt], images: int) -> None:
    """Whether it is clear what to segment on so many images.

    Raises:
        PromptError: when there are no prompts and no other way to find objects, or both; or a
            prompt is for an image that is not there.
    """
    if settings.source != "prompts" and prompts:
        raise PromptError("give prompts, or one of --auto-prompt, --everything, --boxes, --text")
    if settings.source == "prompts" and not prompts:
        raise PromptError(
            "say what to segment: --point, --box, --mask, --prompts, --auto-prompt, --everything, "
            "--boxes or --text"
        )
    for prompt in prompts:
        if prompt.frame >= images:
            raise PromptError(
                f"prompt for object {prompt.object_id} on image {prompt.frame}: there are "
                f"{images} images, and they count from 0"
            )


def _make_finder(settings: ImageSettings, prompts: Sequence[Prompt], progress: Progress) -> Finder:
    from tracker.session.images.finders import make_finder

    if settings.model == "auto" and resolve("auto", "sam2").name == "demo":
        progress.notice(
            "using demo, a small model; for real images: track models pull sam2.1_hiera_small"
        )
    return make_finder(settings, prompts)


def _digest_files(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of the text files in a folder."""
    digest = hashlib.sha256()
    try:
        for file in sorted(path.glob("*.txt")) if path.is_dir() else [path]:
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    except OSError as error:
        raise PromptError(f"cannot read {path}: {error.strerror or error}") from error
    return digest.hexdigest()


def _digest_memory(settings: ImageSettings) -> str:
    """Of the references that may be asked: adding one means that images are asked again."""
    folder = Path(settings.memory).expanduser() if settings.memory else locations.user_memory()
    ids: list[str] = []
    if (folder / FILE_NAME).is_file():
        entries = ReferenceMemory.open(folder).list()
        ids = sorted(f"{entry.id} {entry.label}" for entry in entries)
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()
