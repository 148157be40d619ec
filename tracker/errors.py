"""Every error that `tracker` raises on purpose.

    TrackError                  one line: what, where, how to mend it
    ├── InputError              the caller's input or settings cannot be used (exit code 2)
    │   ├── SettingsError       options that are out of range or contradict each other
    │   ├── VideoError          a video or image that cannot be opened, read or written
    │   ├── PromptError         a prompt that is malformed or outside the video
    │   ├── ReferenceMemoryError a reference memory, or an entry of it, that cannot be used
    │   ├── ModelError          an unknown, missing, damaged or mismatching model
    │   └── RunError            a run folder that exists, is in use, or cannot be read
    └── NoMatchError            nothing in the reference memory matches the video (exit code 3)

The library raises these; only `tracker.cli` turns them into exit codes.
"""

from __future__ import annotations


class TrackError(Exception):
    """Base of all errors raised on purpose. `str(error)` is one line fit for a terminal."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class InputError(TrackError):
    """The caller's input cannot be used."""


class SettingsError(InputError):
    """Options out of range, or options that contradict each other."""


class VideoError(InputError):
    """A video or image that cannot be opened, read or written."""


class PromptError(InputError):
    """A prompt that is malformed or lies outside the video."""


class ReferenceMemoryError(InputError):
    """A reference memory, or one of its references, that cannot be used."""


class ModelError(InputError):
    """An unknown, missing, damaged or mismatching model."""


class RunError(InputError):
    """A run folder that exists already, is in use, or cannot be read."""


class NoMatchError(TrackError):
    """Nothing in the reference memory matches the video: the tool abstains.

    Attributes:
        best_score: the best decision score seen, or None when there was nothing to compare.
        threshold: the score that would have been accepted.
    """

    exit_code = 3

    def __init__(
        self, message: str, *, best_score: float | None = None, threshold: float | None = None
    ) -> None:
        super().__init__(message)
        self.best_score = best_score
        self.threshold = threshold
