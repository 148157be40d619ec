"""How a video is tracked: every default in one place, and every contradiction refused there.

`TrackSettings` says how, the prompts say what, and both are kept in the run folder.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Any, Literal, get_args

from tracker import locations
from tracker.errors import SettingsError

Reader = Literal["pyav", "decord"]
Direction = Literal["forward", "backward", "both"]
PromptKind = Literal["auto", "points", "box", "both"]
Fallback = Literal["center"]
Redetect = Literal["auto", "off"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
MemoryPolicy = Literal["sam2", "presence", "distractor"]
Edges = Literal["auto", "model", "picture"]
Candidates = Literal["auto", "model", "picture"]

CHOICES: dict[str, tuple[str, ...]] = {
    "reader": get_args(Reader),
    "direction": get_args(Direction),
    "prompt_kind": get_args(PromptKind),
    "fallback": get_args(Fallback),
    "redetect": get_args(Redetect),
    "precision": get_args(Precision),
    "memory_policy": get_args(MemoryPolicy),
    "edges": get_args(Edges),
    "candidates": get_args(Candidates),
}
_SMALLEST = {
    **{"image_size": 32, "max_image_size": 32, "start": 0, "stride": 1, "seed": 0},
    **{"max_per_label": 1, "search_frames": 1, "search_samples": 1},
    **{"redetect_after": 1, "redetect_every": 1, "appearance_every": 1},
    **{"batch_frames": 1, "detect_every": 1},
}
_ASK_PICTURE = ("edges", "candidates")
# These say how the memory is asked, so they mean nothing unless it is.
_NEED_AUTO_PROMPT = (
    *("memory", "labels", "prompt_kind", "max_per_label", "search_frames", "fallback", "remember"),
)
# What means something only beside one of these.
_DETECTION = ("boxes", "text")
_NEED_DETECTION = {
    "detector": ("text",),
    "box_threshold": _DETECTION,
    "detect_every": _DETECTION,
}
_OPTION_NAMES = {"labels": "--label"}


@dataclass(frozen=True)
class TrackSettings:
    """Everything that decides a run apart from the video and the prompts.

    Attributes:
        model, features: names in the model registry; `auto` is the best installed.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        image_size: side in pixels that frames are resized to for the model; None for the size it
            was trained at.
        max_image_size: the same, but only if the model was trained at a larger size.
        reader: the video reader.
        start, end, stride: the processed frames are `range(start, end, stride)` of the video;
            `end` is exclusive, None for the last frame.
        direction: where masks are carried from the prompts.
        auto_prompt: ask the reference memory for the prompts.
        memory: folder of the reference memory; None for the user's.
        labels: only these labels are looked for; none given means all.
        prompt_kind: what a match becomes.
        max_per_label: objects per label.
        search_frames: the object is looked for in that many frames from the first; None for all.
        search_samples: how many frames, evenly spaced, are looked at before the search closes in.
        fallback: `center` prompts the middle of the first frame when nothing matches.
        remember: add the accepted result on the first prompted frame to the memory.
        boxes: a file of a detector's boxes, which become prompts; see docs/prompts.md.
        text: the same from a zero-shot detector: phrases, each ended by a full stop.
        detector: its name in the model registry, or a folder.
        box_threshold: boxes with a lower score are dropped, from a file or a detector.
        detect_every: distance of the processed frames on which boxes are asked for again; None
            asks on the first one alone.
        redetect: `auto` watches every object while it is tracked, and looks for a lost one again;
            None is `auto`, but `off` with `exact` and with `detect_every`.
        redetect_after: an object is looked for when it was lost or doubtful on so many frames.
        redetect_every: distance of the frames on which it is looked for; when it has been away for
            long, an eighth of that time.
        appearance_every: distance of the frames on which it is compared with what was prompted;
            events such as scene cuts have it compared in between.
        exact: one object at a time by SAM2's own code, for its bits.
        precision: float type of the model's arithmetic; `auto` is bfloat16 where it pays.
        compile: compile the model's parts; pays for long videos on a GPU.
        graphs: record a GPU's kernels once and replay them: the same masks, faster on CUDA.
        batch_frames: how many frames the image encoder takes at once; None for what pays.
        memory_policy: which past frames the model reads; see docs/streaming.md.
        edges: `picture` fits masks to the picture's edges and colours, `model` leaves them as the
            model has them, `auto` fits those of small image sizes; see docs/streaming.md.
        candidates: who says which of the model's candidate masks a frame takes: `model`, or the
            object's colours as well (`picture`), `auto` at small image sizes.
        seed: for everything that draws random numbers.
        video: write the annotated video.

    Raises:
        SettingsError: for a value out of range, or values that contradict each other.
    """

    model: str = "auto"
    features: str = "auto"
    device: str = "auto"
    image_size: int | None = None
    max_image_size: int | None = None
    reader: Reader = "pyav"
    start: int = 0
    end: int | None = None
    stride: int = 1
    direction: Direction = "forward"
    auto_prompt: bool = False
    memory: str | None = None
    labels: tuple[str, ...] = ()
    prompt_kind: PromptKind = "auto"
    max_per_label: int = 1
    search_frames: int | None = None
    search_samples: int = 32
    fallback: Fallback | None = None
    remember: bool = False
    boxes: str | None = None
    text: str | None = None
    detector: str = "auto"
    box_threshold: float = 0.25
    detect_every: int | None = None
    redetect: Redetect | None = None
    redetect_after: int = 3
    redetect_every: int = 4
    appearance_every: int = 8
    exact: bool = False
    precision: Precision = "auto"
    compile: bool = False
    graphs: bool = False
    batch_frames: int | None = None
    memory_policy: MemoryPolicy = "sam2"
    edges: Edges = "auto"
    candidates: Candidates = "auto"
    seed: int = 0
    video: bool = True

    def __post_init__(self) -> None:
        labels = (self.labels,) if isinstance(self.labels, str) else tuple(self.labels)
        object.__setattr__(self, "labels", labels)
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices and not (value is None and DEFAULTS[name] is None):
                raise SettingsError(f"{option(name)} {value}: one of {', '.join(choices)}")
        for name, smallest in _SMALLEST.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise SettingsError(f"{option(name)} {value}: must be {smallest} or more")
        self._check_contradictions()
        self._check_detection()

    def _check_contradictions(self) -> None:
        if self.end is not None and self.end <= self.start:
            raise SettingsError(
                f"--start {self.start} and --end {self.end} leave no frame; --end is exclusive"
            )
        if self.image_size and self.max_image_size:
            raise SettingsError("give --image-size or --max-image-size, not both")
        if self.exact:
            for name in ("compile", "batch_frames", "memory_policy"):
                if getattr(self, name) != DEFAULTS[name]:
                    raise SettingsError(f"--exact keeps SAM2's bits; leave out {option(name)}")
            for name in _ASK_PICTURE:
                if getattr(self, name) == "picture":
                    raise SettingsError(f"--exact keeps SAM2's bits; leave out --{name} picture")
        if not self.auto_prompt:
            for name in _NEED_AUTO_PROMPT:
                if getattr(self, name) != DEFAULTS[name]:
                    raise SettingsError(f"{option(name)} needs --auto-prompt")

    def _check_detection(self) -> None:
        chosen = [name for name in ("auto_prompt", *_DETECTION) if getattr(self, name)]
        if len(chosen) > 1:
            raise SettingsError(f"give {option(chosen[0])} or {option(chosen[1])}, not both")
        for name, choices in _NEED_DETECTION.items():
            if getattr(self, name) != DEFAULTS[name] and not {*choices} & {*chosen}:
                raise SettingsError(f"{option(name)} needs {' or '.join(map(option, choices))}")
        if not 0 <= self.box_threshold <= 1:
            raise SettingsError(f"--box-threshold {self.box_threshold}: from 0 to 1")
        if self.detect_every and self.direction == "backward":
            raise SettingsError("--detect-every looks forward: not with --direction backward")
        if self.detect_every and self.looks_again:
            raise SettingsError("give --detect-every or --redetect auto, not both")

    @property
    def detects(self) -> bool:
        """Whether a detector's boxes become prompts."""
        return self.boxes is not None or self.text is not None

    @property
    def looks_again(self) -> bool:
        """Whether objects are watched while they are tracked, and lost ones looked for."""
        if self.redetect is None:
            return not self.exact and self.detect_every is None
        return self.redetect == "auto"

    @classmethod
    def from_options(cls, preset: str | None = None, **given: Any) -> TrackSettings:
        """Defaults, overridden by a preset, overridden by what is given; None is not given.

        Raises:
            SettingsError: also for an unknown preset.
        """
        chosen = {name: value for name, value in given.items() if value is not None}
        values = {**(preset_values(preset) if preset else {}), **chosen}
        if "image_size" in chosen and "max_image_size" not in chosen:
            values.pop("max_image_size", None)
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """A JSON object with every setting; `from_json` reads it back."""
        return {**asdict(self), "labels": list(self.labels)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> TrackSettings:
        """Inverse of `to_json`; settings that are missing have their defaults.

        A run that says nothing of edges or candidates was made when they were always the model's.

        Raises:
            SettingsError: for an unknown setting or a bad value.
        """
        if unknown := sorted(value.keys() - DEFAULTS.keys()):
            raise SettingsError(f"unknown setting {unknown[0]!r}")
        try:
            return cls(**{**dict.fromkeys(_ASK_PICTURE, "model"), **value})
        except TypeError as error:
            raise SettingsError(f"malformed settings: {error}") from error


DEFAULTS = {field.name: field.default for field in fields(TrackSettings)}


def option(name: str) -> str:
    """The command line's name of a setting: `--max-per-label` for `max_per_label`."""
    return _OPTION_NAMES.get(name, "--" + name.replace("_", "-"))


@cache
def presets() -> dict[str, dict[str, Any]]:
    """Named sets of settings, from `configs/presets.json`."""
    path = locations.shipped("configs") / "presets.json"
    found: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return found


def preset_values(name: str) -> dict[str, Any]:
    """The settings of one preset. Raises SettingsError for an unknown name."""
    if name not in presets():
        raise SettingsError(f"--preset {name}: one of {', '.join(presets())}")
    return presets()[name]
