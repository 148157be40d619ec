"""A run on disk: everything known about one tracked video, in one folder.

    run.json                 tool and model versions, the video's identity, settings, status
    prompts.json             every prompt, in order, with its source
    masklets/000000.jsonl    one file per 64 frames of the video, named by the first of them
    snapshots/, revisions/   what going on, correcting and undoing need
    annotated.mp4, masks/ …  outputs, made from the above

Each file is written to a temporary name, synced and renamed, so a reader never meets half a file.
`RunFolder` reads a run, `tracker.session.run_writer` writes one.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tracker.errors import RunError
from tracker.masks import decode_rle, encode_rle, to_index_mask
from tracker.output.export.contract import ExportInfo, FrameMasks
from tracker.session.lock import Lock
from tracker.session.prompts_file import read_prompts
from tracker.session.refine import revisions
from tracker.session.refine.revisions import Revision
from tracker.session.run_info import RunInfo
from tracker.types import ObjectMask, Prompt

CHUNK_FRAMES = 64
RUN, PROMPTS, MASKLETS, SNAPSHOTS = "run.json", "prompts.json", "masklets", "snapshots"
LOCK = ".lock"
REVIEW, TIMELINE, CONTACT = "review.json", "timeline.png", "contact.png"


class RunFolder:
    """A run, for reading. What is on disk is read when it is asked for."""

    def __init__(self, path: str | Path) -> None:
        """Open a run.

        Raises:
            RunError: when the folder is not a run, or its `run.json` cannot be read.
        """
        self.path = Path(path)
        if revisions.is_half_done(self.path):
            with contextlib.suppress(RunError), Lock(self.path / LOCK):
                revisions.finish(self.path)  # another process that holds the lock is at it
        self.info = read_run_info(self.path)

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """Every prompt, in order. Raises PromptError when `prompts.json` is malformed."""
        return read_prompts(self.path / PROMPTS)

    @property
    def frame_indices(self) -> tuple[int, ...]:
        """The frames that are stored, ascending."""
        return tuple(line["frame"] for path in self._chunks() for line in read_chunk(path))

    def frames(self) -> Iterator[FrameMasks]:
        """Every stored frame, in the order of the video.

        Raises:
            RunError: when a chunk is damaged.
        """
        for path in self._chunks():
            for line in read_chunk(path):
                yield _from_line(path, line)

    def frame_masks(self, index: int) -> FrameMasks:
        """One stored frame.

        Raises:
            RunError: when the frame is not stored.
        """
        path = self.path / MASKLETS / chunk_name(index)
        for line in read_chunk(path) if path.exists() else ():
            if line["frame"] == index:
                return _from_line(path, line)
        raise RunError(f"{self.path} holds no frame {index}")

    @property
    def was_watched(self) -> bool:
        """Whether masks carry what a drift watch thought of them."""
        watched = "features" in self.info.models
        return watched and any('"appearance"' in path.read_text("utf-8") for path in self._chunks())

    @property
    def revisions(self) -> tuple[Revision, ...]:
        """What was changed since it was tracked, the first change first."""
        return revisions.list_revisions(self.path)

    def export_info(self) -> ExportInfo:
        """What output formats need to know."""
        labels = {i: label or "" for i, label in self.info.labels.items()}
        return ExportInfo(self.info.video, labels, self.frame_indices, self.info.settings.stride)

    def _chunks(self) -> list[Path]:
        return sorted((self.path / MASKLETS).glob("[0-9]*.jsonl"))


class RunMasks:
    """A run as a sequence of index masks: what its `masks/` holds, read from its masklets."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        info = run.export_info()
        self._indices = {info.stem(index): index for index in info.frames}

    def names(self) -> tuple[str, ...]:
        return tuple(self._indices)

    def read(self, name: str) -> NDArray:
        video = self._run.info.video
        objects = self._run.frame_masks(self._indices[name]).objects
        pairs = [(mask.object_id, mask.mask_hw) for mask in objects]
        return to_index_mask(pairs, video.height, video.width)


def is_run(folder: str | Path) -> bool:
    """Whether a folder is a run, readable or not."""
    try:
        value = json.loads((Path(folder) / RUN).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and value.keys() >= {"format", "status", "video"}


def read_run_info(folder: Path) -> RunInfo:
    """`run.json` of a folder. Raises RunError when it is missing or malformed."""
    path = folder / RUN
    try:
        return RunInfo.from_json(json.loads(path.read_text("utf-8")))
    except FileNotFoundError as error:
        raise RunError(f"{folder} is not a run: it has no {RUN}") from error
    except (OSError, ValueError, RunError) as error:
        raise RunError(f"{path}: {error}") from error


def chunk_name(frame: int) -> str:
    """The masklet file that holds a frame."""
    return f"{frame - frame % CHUNK_FRAMES:06d}.jsonl"


def read_chunk(path: Path) -> list[dict[str, Any]]:
    """The lines of a masklet file, frames ascending. Raises RunError when it is damaged."""
    try:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        return sorted(lines, key=lambda line: int(line["frame"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged: {error}") from error


def to_line(frame: FrameMasks) -> dict[str, Any]:
    """A frame as a line of a masklet file."""
    objects = [to_entry(mask) for mask in frame.objects]
    return {"frame": frame.index, "pts": frame.pts, "objects": objects}


def as_stored(mask: ObjectMask) -> ObjectMask:
    """A mask as it comes back from a run: its numbers have four digits."""
    appearance = None if mask.appearance is None else round(mask.appearance, 4)
    return replace(
        mask,
        object_score=round(mask.object_score, 4),
        predicted_iou=round(mask.predicted_iou, 4),
        appearance=appearance,
    )


def to_entry(mask: ObjectMask) -> dict[str, Any]:
    """A mask as an entry of a line."""
    mask = as_stored(mask)
    entry: dict[str, Any] = {
        "id": mask.object_id,
        "state": mask.state,
        "score": mask.object_score,
        "iou": mask.predicted_iou,
    }
    if mask.appearance is not None:
        entry["appearance"] = mask.appearance
    return {**entry, "rle": encode_rle(mask.mask_hw)}


def _from_line(path: Path, line: dict[str, Any]) -> FrameMasks:
    try:
        objects = tuple(from_entry(entry) for entry in line["objects"])
        return FrameMasks(line["frame"], line["pts"], objects)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path}, frame {line['frame']}, is damaged: {error}") from error


def from_entry(entry: dict[str, Any]) -> ObjectMask:
    """Inverse of `to_entry`. Of a state, what follows from the mask alone is no verdict."""
    mask_hw = decode_rle(entry["rle"])
    plain = ObjectMask(entry["id"], mask_hw, entry["score"], entry["iou"])
    verdict = entry["state"] if entry["state"] != plain.state else None
    return replace(plain, verdict=verdict, appearance=entry.get("appearance"))
