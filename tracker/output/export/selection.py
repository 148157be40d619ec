"""Which frames and objects of a run are exported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from tracker.errors import SettingsError
from tracker.output.export.contract import ExportInfo, FrameMasks
from tracker.output.export.options import ExportOptions

_UNCERTAIN = ("doubtful", "lost")
_NAMED = 10  # objects in an error message, at most


class Selection:
    """A run as the options leave it.

    Attributes:
        info: what formats are told: the chosen frames and objects alone.
    """

    def __init__(
        self,
        info: ExportInfo,
        stored: Callable[[], Iterable[FrameMasks]],
        options: ExportOptions,
    ) -> None:
        """Choose.

        Args:
            info: of the whole run.
            stored: every frame of the run, in order, as often as it is called.

        Raises:
            SettingsError: for an object that the run does not have, or when no frame is left.
        """
        self._stored, self._options = stored, options
        ids = _chosen_ids(info, options.only)
        labels = {i: label for i, label in info.labels.items() if i in ids}
        frames = info.frames[:: options.every]
        self.info = replace(info, labels=labels, frames=frames, stride=info.stride * options.every)
        if options.exclude_doubtful:
            trusted = tuple(f.index for f in self._chosen() if not _is_uncertain(f))
            self.info = replace(self.info, frames=trusted)
        if not self.info.frames:
            raise SettingsError("no frame is left to export; choose fewer conditions")

    def frames(self) -> Iterator[FrameMasks]:
        """The chosen frames with the masks that are left of them, in order."""
        least = self._options.min_confidence
        for frame in self._chosen():
            kept = tuple(mask for mask in frame.objects if mask.confidence >= least)
            yield replace(frame, objects=kept)

    def _chosen(self) -> Iterator[FrameMasks]:
        """The same, however sure the masks are."""
        wanted, labels = frozenset(self.info.frames), self.info.labels
        for frame in self._stored():
            if frame.index in wanted:
                objects = tuple(mask for mask in frame.objects if mask.object_id in labels)
                yield replace(frame, objects=objects)


def _is_uncertain(frame: FrameMasks) -> bool:
    return any(mask.state in _UNCERTAIN for mask in frame.objects)


def _chosen_ids(info: ExportInfo, only: tuple[str, ...]) -> frozenset[int]:
    """The objects that are named by id or label; all if none is."""
    chosen = set() if only else set(info.labels)
    for name in only:
        named = {i for i, label in info.labels.items() if name in (str(i), label)}
        if not named:
            known = [f"{i} ({label})" if label else str(i) for i, label in info.labels.items()]
            some = ", ".join(known[:_NAMED]) + (" …" if len(known) > _NAMED else "")
            raise SettingsError(f"--only {name}: no such object; the run has {some}")
        chosen |= named
    return frozenset(chosen)
