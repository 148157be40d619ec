"""The switches of the streaming predictor: how it computes, never what it is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from tracker.errors import SettingsError
from tracker.models.memory_policies import POLICIES
from tracker.settings import CHOICES

MAX_COND_FRAMES = 16

COARSE_PX = 512
"""Below this image size `auto` lets the picture have a say: masks are coarse, and models small."""


@dataclass(frozen=True)
class EngineOptions:
    """How the predictor computes. The defaults give SAM2's masks but for rounding.

    Attributes:
        exact: one object at a time by SAM2's own code: SAM2's bits.
        precision: float type of the heavy arithmetic; `auto` as `precision.resolve_precision`.
        compile: compile the model's parts; pays for long videos on a GPU.
        batch_frames: how many frames the image encoder takes at once. None is four where that
            pays (on a CPU at less than 512 px) and frames are read ahead, else one.
        memory_policy: which of the past frames are read; a name of `memory_policies.POLICIES`.
        max_cond_frames: how many prompted frames of an object are kept and read; None for all.
            `exact` always keeps all.
        graphs: on CUDA, record the kernels of a frame and replay them; `compile` does so too.
            Without effect elsewhere, and with `exact`.
        edges: `picture` fits masks that are handed out to the picture, with the colours that the
            prompts of an object showed (see `tracker.edges`), and remembers prompts by theirs.
            `model` leaves them as they are, `auto` fits them below an image size of 512 px and not
            with `exact`.
        candidates: `model` takes the decoder's candidate mask whose predicted IoU is the largest;
            `picture` asks the object's colours as well, see `tracker.models.choosing`; `auto` does
            so below an image size of 512 px and not with `exact`.

    Raises:
        SettingsError: for a value that is not known, or switches that contradict each other.
    """

    exact: bool = False
    precision: str = "auto"
    compile: bool = False
    batch_frames: int | None = None
    memory_policy: str = "sam2"
    max_cond_frames: int | None = MAX_COND_FRAMES
    graphs: bool = False
    edges: str = "model"
    candidates: str = "model"

    def fits_edges(self, image_size: int) -> bool:
        """Whether the masks of a model of this image size are fitted to the picture."""
        return self._picture_has_a_say(self.edges, image_size)

    def asks_picture(self, image_size: int) -> bool:
        """Whether the picture has a say in which candidate mask such a model's frame takes."""
        return self._picture_has_a_say(self.candidates, image_size)

    def _picture_has_a_say(self, switch: str, image_size: int) -> bool:
        coarse = image_size < COARSE_PX and not self.exact
        return switch == "picture" or (switch == "auto" and coarse)

    def __post_init__(self) -> None:
        if self.precision not in CHOICES["precision"]:
            known = ", ".join(CHOICES["precision"])
            raise SettingsError(f"precision {self.precision!r}: one of {known}")
        if self.memory_policy not in POLICIES:
            known = ", ".join(POLICIES)
            raise SettingsError(f"memory policy {self.memory_policy!r}: one of {known}")
        for name in ("edges", "candidates"):
            if (value := getattr(self, name)) not in CHOICES[name]:
                raise SettingsError(f"{name} {value!r}: one of {', '.join(CHOICES[name])}")
        if self.batch_frames is not None and self.batch_frames < 1:
            raise SettingsError(f"batch frames {self.batch_frames}: must be 1 or more")
        if self.max_cond_frames is not None and self.max_cond_frames < 3:
            raise SettingsError(
                f"max_cond_frames {self.max_cond_frames}: must be 3 or more (the first, the newest "
                "and the nearest prompted frame are kept), or None"
            )
        if self.exact:
            self._check_exact()

    def _check_exact(self) -> None:
        changed = {
            "compile": self.compile,
            f"batch_frames={self.batch_frames}": (self.batch_frames or 1) > 1,
            f"memory_policy={self.memory_policy}": self.memory_policy != "sam2",
            f"edges={self.edges}": self.edges == "picture",
            f"candidates={self.candidates}": self.candidates == "picture",
        }
        if wrong := [name for name, is_changed in changed.items() if is_changed]:
            raise SettingsError(f"exact keeps SAM2's bits, which {wrong[0]} changes; leave out one")
        if self.precision == "fp16":
            raise SettingsError("exact runs SAM2's own code, which cannot do fp16; take bf16")
