"""A session: one video, its prompts, and the masks that follow from them.

    with TrackSession("clip.mp4") as session:
        session.add_prompt(Prompt(frame=0, object_id=1, box_xyxy=(80, 40, 220, 190)))
        for result in session.propagate():
            ...

Each frame is decoded once: the model and whoever draws on the result share one image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tracker.errors import NoMatchError, PromptError
from tracker.models.registry import resolve
from tracker.models.sam2 import load_video_predictor
from tracker.models.streaming import StreamingVideoPredictor
from tracker.session.auto_prompt import AutoPrompts, ask_memory
from tracker.session.detections import Detections
from tracker.session.grid import FrameGrid, GridFrames
from tracker.session.identity import ModelIdentity
from tracker.session.prompt_set import PromptSet
from tracker.session.propagation import Watch, propagate
from tracker.session.resume.snapshots import Snapshot, Snapshots
from tracker.settings import TrackSettings
from tracker.types import Frame, FrameResult, ObjectMask, Prompt, VideoInfo
from tracker.video import open_video

_ENGINE_SWITCHES = (
    "exact",
    "precision",
    "compile",
    "graphs",
    "batch_frames",
    "memory_policy",
    "edges",
    "candidates",
)


class TrackSession:
    """A context manager that holds the video open.

    Attributes:
        settings: that it was opened with.
        info: what is known of the video.
        grid: which of its frames are processed.
    """

    def __init__(
        self,
        video: str | Path,
        settings: TrackSettings | None = None,
        *,
        predictor: StreamingVideoPredictor | None = None,
    ) -> None:
        """Open a video; the model is loaded when it is first needed.

        Args:
            video: a video file or a folder of images.
            settings: defaults if left out.
            predictor: takes the place of the model that the settings name, so that several
                sessions can share one.

        Raises:
            VideoError: when the video cannot be opened.
            SettingsError: when it ends before `settings.start`.
        """
        self.settings = settings or TrackSettings()
        self.grid = FrameGrid.of(self.settings)
        self._video = open_video(video, self.settings.reader)
        self.info: VideoInfo = self._video.info
        self._given_predictor = predictor
        self._prompts = PromptSet(self.info, self.grid)
        try:
            self._frames = GridFrames(self._video, self.grid)
        except BaseException:
            self.close()
            raise

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """All prompts so far, in order; those for one object on one frame are one."""
        return self._prompts.prompts

    @property
    def labels(self) -> dict[int, str | None]:
        """Object id to name, ids ascending."""
        return self._prompts.labels

    @property
    def next_object_id(self) -> int:
        """An object id that is free, and above all others."""
        return self._prompts.next_object_id

    @property
    def frame_count(self) -> int | None:
        """How many frames are processed, as far as the video's own claim can be trusted."""
        return self.grid.length(self.info.frame_count)

    @property
    def frames(self) -> GridFrames:
        """The processed frames by position, as the model reads them."""
        return self._frames

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be decoded so far: one line each."""
        return tuple(
            p.message if p.time_s is None else f"{p.time_s:.2f} s: {p.message}"
            for p in self._video.problems
        )

    @property
    def frames_decoded(self) -> int:
        """How many frames the decoder was given so far, repetitions counted."""
        return self._video.packets_decoded

    @cached_property
    def predictor(self) -> StreamingVideoPredictor:
        """The SAM2 model. Raises ModelError or SettingsError when it cannot be loaded."""
        if self._given_predictor is not None:
            return self._given_predictor
        settings = self.settings
        switches = {name: getattr(settings, name) for name in _ENGINE_SWITCHES}
        size = settings.image_size
        predictor = load_video_predictor(settings.model, settings.device, size, **switches)
        size = settings.max_image_size
        if size and predictor.image_size > size:
            # What a model was trained at shows once it is built; building it again takes a second.
            return load_video_predictor(settings.model, settings.device, size, **switches)
        return predictor

    @property
    def model(self) -> ModelIdentity:
        """Which SAM2 model is used."""
        size = int(self.predictor.image_size)
        if self._given_predictor is not None:
            return ModelIdentity("given", "", size)
        files = resolve(self.settings.model, "sam2")
        return ModelIdentity(files.name, files.sha256, size)

    def add_prompt(self, prompt: Prompt) -> None:
        """Add a prompt, or what it adds to an earlier one for the same object and frame.

        Raises:
            PromptError: when it lies outside the video or the processed frames, or contradicts an
                earlier one. Nothing is added then.
        """
        self.grid.check(prompt)
        try:
            self._video.read(prompt.frame)
        except IndexError as error:
            name = f"prompt for object {prompt.object_id} on frame {prompt.frame}"
            raise PromptError(f"{name}: {error}; frames count from 0") from error
        self._prompts.add(prompt)

    def find_prompts(self) -> AutoPrompts:
        """Ask the reference memory for prompts, and add what it finds.

        Raises:
            NoMatchError: when nothing matches and the session has no other prompts.
            ReferenceMemoryError, ModelError: see `tracker.session.auto_prompt.ask_memory`.
        """
        found = ask_memory(self)
        for prompt in found.prompts:
            self.add_prompt(prompt)
        return found

    @cached_property
    def detections(self) -> Detections:
        """The detector that the settings name. Raises PromptError or ModelError if it is unfit."""
        return Detections(self)

    def find_detections(self) -> tuple[Prompt, ...]:
        """Ask the detector for prompts, and add what it finds.

        Raises:
            NoMatchError: when it finds nothing and the session has no other prompts.
            PromptError, ModelError: when file, text or detector cannot be used.
        """
        try:
            found = self.detections.first_prompts()
        except NoMatchError:
            if self.prompts:
                return ()
            raise
        for prompt in found:
            self.add_prompt(prompt)
        return found

    def read(self, position: int) -> Frame:
        """The frame at a position of the grid. Raises IndexError past its end."""
        return self._frames.frame(position)

    def propagate(
        self,
        watch: Watch | None = None,
        *,
        snapshots: Snapshots | None = None,
        start: Snapshot | None = None,
    ) -> Iterator[FrameResult]:
        """Track every object, and yield its masks frame by frame.

        Every processed frame comes; one that no pass reaches, forward those before the first
        prompt, comes without objects. The order is that of the passes, and a frame may come twice,
        with other objects or with new masks; see `tracker.session.propagation`.

        Args:
            watch: may prompt objects anew on the way; such prompts are among `prompts` when their
                frame comes for the second time.
            snapshots: where to keep what a later process needs to go on.
            start: goes on after this snapshot.

        Raises:
            PromptError: when there is no prompt.
            VideoError: when the video cannot be read on.
        """
        if not self.prompts:
            raise PromptError("nothing to track: give points, a box or a mask for an object first")
        prompts = self.grid.by_position(self.prompts)
        places = [position for by_position in prompts.values() for position in by_position]
        direction = self.settings.direction
        if direction == "forward" and start is None:
            yield from self._without_objects(range(min(places)))
        for position, objects in propagate(
            self.predictor,
            self._frames,
            prompts,
            direction,
            watch=_Recorded(watch, self._prompts, self.grid) if watch else None,
            snapshots=snapshots,
            start=start,
        ):
            yield FrameResult(self.read(position), objects)
        if direction == "backward":
            yield from self._without_objects(count(max(places) + 1))

    def _without_objects(self, positions: Any) -> Iterator[FrameResult]:
        for position in positions:
            try:
                frame = self.read(position)
            except IndexError:
                return
            yield FrameResult(frame, ())

    def close(self) -> None:
        """Close the video."""
        self._video.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True)
class _Recorded(Watch):
    """A watch whose prompts become prompts of the session."""

    watch: Watch
    prompts: PromptSet
    grid: FrameGrid

    def after(self, position: int, objects: tuple[ObjectMask, ...]) -> Mapping[int, Prompt]:
        found = self.watch.after(position, objects)
        for object_id, prompt in found.items():
            if (prompt.object_id, prompt.frame) != (object_id, self.grid.frame(position)):
                raise ValueError(
                    f"a prompt for object {object_id} at position {position} is marked as one for "
                    f"object {prompt.object_id} on frame {prompt.frame}"
                )
        return {object_id: self.prompts.correct(prompt) for object_id, prompt in found.items()}

    def gap(self, object_id: int, position: int) -> int | None:
        return self.watch.gap(object_id, position)

    def holds(self, position: int, objects: tuple[ObjectMask, ...]) -> bool:
        return self.watch.holds(position, objects)
