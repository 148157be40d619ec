"""How images are segmented: every default in one place, and every contradiction refused there."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from tracker.errors import SettingsError
from tracker.settings import CHOICES, Edges, PromptKind, option

Source = Literal["prompts", "memory", "everything", "boxes", "text"]

# What means something only when objects are found in one way, and the option that chooses it.
_NEEDS = {
    "--auto-prompt": (
        *("memory", "labels", "prompt_kind", "max_per_label", "features"),
        *("min_score", "beside_best"),
    ),
    "--everything": (
        *("points_per_side", "min_iou", "min_stability", "box_nms", "crop_layers"),
        "min_area",
    ),
    "--text": ("detector",),
}
_SHARES = ("min_score", "beside_best", "min_iou", "min_stability", "box_nms", "box_threshold")
_SMALLEST = {
    **{"image_size": 32, "max_per_label": 1, "points_per_side": 1, "seed": 0},
    **{"crop_layers": 0, "min_area": 0},
}


@dataclass(frozen=True)
class ImageSettings:
    """Everything that decides what is found on an image, apart from prompts.

    Attributes:
        model, features, device, image_size, edges: as in `TrackSettings`.
        auto_prompt: ask the reference memory.
        memory: its folder; None for the user's.
        labels: only these are looked for; none given means all.
        prompt_kind: what a match becomes.
        max_per_label: objects of one label on one image, at most.
        min_score: the decision score to accept from; None for the calibrated one.
        beside_best: of one label on one image, the share of the best one's score that the others
            need.
        everything: segment whatever stands out, from a grid of points.
        points_per_side: of the grid.
        min_iou: the decoder's own estimate of a mask's IoU, at least.
        min_stability: the IoU of the masks at a lower and a higher threshold, at least.
        box_nms: of two masks whose boxes overlap by more (IoU), the better one stays.
        crop_layers: how many times the image is searched again in parts of half the size.
        min_area: masks with fewer pixels are dropped.
        boxes: a file of boxes from a detector.
        text: what a zero-shot detector looks for: phrases, each ended by a full stop.
        detector: its name in the model registry, or a folder.
        box_threshold: boxes with a lower score are dropped, from a file or a detector.
        seed: for everything that draws random numbers.

    Raises:
        SettingsError: for a value out of range, or values that contradict each other.
    """

    model: str = "auto"
    features: str = "auto"
    device: str = "auto"
    image_size: int | None = None
    edges: Edges = "auto"
    auto_prompt: bool = False
    memory: str | None = None
    labels: tuple[str, ...] = ()
    prompt_kind: PromptKind = "auto"
    max_per_label: int = 20
    min_score: float | None = None
    beside_best: float = 0.8
    everything: bool = False
    points_per_side: int = 32
    min_iou: float = 0.8
    min_stability: float = 0.95
    box_nms: float = 0.7
    crop_layers: int = 0
    min_area: int = 0
    boxes: str | None = None
    text: str | None = None
    detector: str = "auto"
    box_threshold: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("prompt_kind", "edges"):
            if getattr(self, name) not in CHOICES[name]:
                known = ", ".join(CHOICES[name])
                raise SettingsError(f"{option(name)} {getattr(self, name)}: one of {known}")
        if self.everything and self.edges == "picture":
            raise SettingsError("--everything keeps the model's masks; leave out --edges picture")
        for name, smallest in _SMALLEST.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise SettingsError(f"{option(name)} {value}: must be {smallest} or more")
        for name in _SHARES:
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise SettingsError(f"{option(name)} {value}: from 0 to 1")
        if len(self._chosen) > 1:
            raise SettingsError(f"give {self._chosen[0]} or {self._chosen[1]}, not both")
        self._check_needs()

    @property
    def source(self) -> Source:
        """How objects are found."""
        names: dict[str, Source] = {
            "--auto-prompt": "memory",
            "--everything": "everything",
            "--boxes": "boxes",
            "--text": "text",
        }
        return names[self._chosen[0]] if self._chosen else "prompts"

    @property
    def _chosen(self) -> list[str]:
        given = {
            "--auto-prompt": self.auto_prompt,
            "--everything": self.everything,
            "--boxes": self.boxes is not None,
            "--text": self.text is not None,
        }
        return [name for name, value in given.items() if value]

    def _check_needs(self) -> None:
        for chosen, names in _NEEDS.items():
            for name in names:
                if chosen not in self._chosen and getattr(self, name) != DEFAULTS[name]:
                    raise SettingsError(f"{option(name)} needs {chosen}")
        if self.box_threshold != DEFAULTS["box_threshold"] and not {"--boxes", "--text"} & set(
            self._chosen
        ):
            raise SettingsError("--box-threshold needs --boxes or --text")

    @classmethod
    def from_options(cls, **given: Any) -> ImageSettings:
        """Defaults, overridden by what is given; None is not given."""
        return cls(**{name: value for name, value in given.items() if value is not None})

    def to_json(self) -> dict[str, Any]:
        """A JSON object with every setting."""
        return {**asdict(self), "labels": list(self.labels)}


DEFAULTS = {field.name: field.default for field in fields(ImageSettings)}
