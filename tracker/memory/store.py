"""The reference memory on disk: images with one object's mask and a label, ready to be searched.

A folder with an SQLite index (`index.py`) and content-named files (`files.py`). Every write is
atomic and several processes may use one memory at once: files are written before the row that
names them, and removed after it, so that a crash leaves at most files that nobody names.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tracker.errors import ReferenceMemoryError
from tracker.masks import BoolMask
from tracker.memory import files, upkeep
from tracker.memory.index import (
    FILE_NAME,
    Index,
    feature_model,
    reference_count,
    set_feature_model,
)
from tracker.memory.upkeep import Problem, Progress
from tracker.types import ImageFeatures, Reference

if TYPE_CHECKING:  # keeps torch out of the commands that only look after the store
    from tracker.models.dinov2 import FeatureExtractor

SHORT_ID = 12  # digits shown to people; any unique prefix is understood
SHORTEST_PREFIX = 4
LONGEST_LABEL = 100  # characters


@dataclass(frozen=True)
class Entry:
    """What the index says of one reference, without opening a file.

    Attributes:
        id: SHA-256 over sizes and pixels of image and mask, 64 hexadecimal digits.
        label: the object's name.
        added_at: UTC, ISO 8601, to the second.
        width, height: of the image, in pixels.
        area_px: pixels of the mask.
    """

    id: str
    label: str
    added_at: str
    width: int
    height: int
    area_px: int


@dataclass(frozen=True, eq=False)
class GlobalFeatures:
    """The image-level features of several references, as rows of one matrix.

    Attributes:
        ids, labels: of the references, in the order of the rows.
        features_nc: float32, L2-normalised.
    """

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    features_nc: NDArray[np.float32]


class ReferenceMemory:
    """The references in one folder. Opened with `open`; nothing needs to be closed.

    Attributes:
        folder: where the memory lives.
        extractor: describes new references; None in a memory opened only to look after it.
    """

    def __init__(self, folder: Path, index: Index, extractor: FeatureExtractor | None) -> None:
        self.folder = folder
        self.extractor = extractor
        self._index = index

    @classmethod
    def open(
        cls, folder: Path | str, extractor: FeatureExtractor | None = None, create: bool = False
    ) -> ReferenceMemory:
        """Open a memory, or make an empty one when `create` is set and there is none.

        Args:
            folder: the memory's folder.
            extractor: the feature model to add and search with. None serves for everything else.
            create: make the folder and an empty index if there is none.

        Raises:
            ReferenceMemoryError: when there is no memory, the folder holds something else, or its
                references were described by another feature model.
        """
        folder = Path(folder).expanduser()
        if (folder / FILE_NAME).is_file():
            memory = cls(folder, Index(folder), extractor)
        elif create:
            _require_free(folder)
            memory = cls(folder, Index.create(folder), extractor)
        else:
            raise ReferenceMemoryError(
                f"there is no reference memory in {folder}; `track memory add IMAGE --mask FILE "
                f"--label NAME --memory {folder}` makes one"
            )
        if extractor is not None:
            with memory._index.read() as db:
                memory._require_same_model(db, extractor)
        return memory

    @property
    def feature_model(self) -> tuple[str, str] | None:
        """Name and weights' SHA-256 of the model behind the stored features; None when empty."""
        with self._index.read() as db:
            return feature_model(db)

    def add(self, image_hwc: NDArray[np.uint8], mask_hw: BoolMask, label: str) -> Reference:
        """Store a reference. The same image, mask and label once more change nothing.

        Args:
            image_hwc: RGB uint8.
            mask_hw: bool, the object, same height and width.
            label: the object's name: one line, not empty.

        Raises:
            ReferenceMemoryError: for an empty or unfitting mask, an unusable label, or when the
                same image and mask are stored under another label.
        """
        extractor = self.extractor
        if extractor is None:
            raise ValueError("open the memory with a feature model to add to it")
        label = _checked_label(label)
        _check_pair(image_hwc, mask_hw)
        reference_id = files.content_id(image_hwc, mask_hw)
        with self._index.read() as db:
            known = _stored_as(db, reference_id, label)
        if known:
            return self.get(reference_id)
        features = extractor.extract(image_hwc)
        with self._index.write() as db:
            self._require_same_model(db, extractor)
            if not _stored_as(db, reference_id, label):
                reference = Reference(reference_id, label, image_hwc, mask_hw, features)
                self._insert(db, reference, extractor)
        return self.get(reference_id)

    def get(self, reference_id: str) -> Reference:
        """A reference with its image, mask and features, by its id or a unique prefix of it.

        Raises:
            ReferenceMemoryError: when no or several ids begin so, or a file is missing or damaged.
        """
        full_id = self.find(reference_id)
        with self._index.read() as db:
            row = _row(db, full_id)
        path = files.image_path(self.folder, full_id)
        image_hwc = files.read(path, files.decode_image, row["image_sha256"])
        features, mask_hw = self.features_and_mask(full_id)
        return Reference(full_id, row["label"], image_hwc, mask_hw, features)

    def find(self, prefix: str) -> str:
        """The one id that begins with `prefix` (at least 4 digits). Raises ReferenceMemoryError."""
        wanted = prefix.strip().lower()
        if len(wanted) < SHORTEST_PREFIX or set(wanted) - set("0123456789abcdef"):
            raise ReferenceMemoryError(
                f"{prefix!r} is not an id: give at least its first {SHORTEST_PREFIX} digits, as "
                "`track memory list` shows them"
            )
        with self._index.read() as db:
            query = "SELECT id FROM reference WHERE id >= ? AND id < ? LIMIT 2"
            rows = db.execute(query, (wanted, wanted + "g")).fetchall()
        if len(rows) != 1:
            what = "several ids begin" if rows else "no id begins"
            raise ReferenceMemoryError(
                f"{what} with {wanted!r} in {self.folder}; see `track memory list`"
            )
        return str(rows[0]["id"])

    def list(self) -> tuple[Entry, ...]:
        """All references by label and age; no image is opened."""
        query = (
            "SELECT id, label, added_at, width, height, area_px FROM reference "
            "ORDER BY label, added_at, id"
        )
        with self._index.read() as db:
            return tuple(Entry(**row) for row in db.execute(query))

    def labels(self) -> tuple[str, ...]:
        """The labels in use, sorted."""
        with self._index.read() as db:
            rows = db.execute("SELECT DISTINCT label FROM reference ORDER BY label")
            return tuple(row["label"] for row in rows)

    def remove(self, reference_id: str) -> str:
        """Remove a reference and its files; returns its full id."""
        full_id = self.find(reference_id)
        with self._index.write() as db:
            db.execute("DELETE FROM reference WHERE id = ?", (full_id,))
            model = feature_model(db)
            if reference_count(db) == 0:
                db.execute("DELETE FROM header")
        with self._index.write() as db:  # unless another process has added it again meanwhile
            if db.execute("SELECT 1 FROM reference WHERE id = ?", (full_id,)).fetchone() is None:
                for path in files.paths_of(self.folder, model[1] if model else "", full_id):
                    path.unlink(missing_ok=True)
        return full_id

    def global_features(self, labels: Collection[str] | None = None) -> GlobalFeatures:
        """The image-level features of all references, or of those with one of `labels`."""
        query = "SELECT id, label, global_f32 FROM reference ORDER BY id"
        with self._index.read() as db:
            if self.extractor is not None:
                self._require_same_model(db, self.extractor)
            rows = [r for r in db.execute(query) if labels is None or r["label"] in labels]
        features = [np.frombuffer(row["global_f32"], "<f4") for row in rows]
        return GlobalFeatures(
            ids=tuple(row["id"] for row in rows),
            labels=tuple(row["label"] for row in rows),
            features_nc=np.stack(features) if features else np.zeros((0, 0), np.float32),
        )

    def features_and_mask(self, reference_id: str) -> tuple[ImageFeatures, BoolMask]:
        """What matching needs of a reference; its image stays closed."""
        with self._index.read() as db:
            row, model = _row(db, reference_id), feature_model(db)
        assert model is not None  # a memory with a reference has a header
        _, mask_path, features_path = files.paths_of(self.folder, model[1], reference_id)
        mask_hw = files.read(mask_path, files.decode_mask, row["mask_sha256"])
        patches_hwc = files.read(features_path, files.decode_patches, row["features_sha256"])
        return ImageFeatures(np.frombuffer(row["global_f32"], "<f4"), patches_hwc), mask_hw

    def picture_and_mask(self, reference_id: str) -> tuple[NDArray[np.uint8], BoolMask]:
        """A reference's image, RGB uint8, and its object."""
        reference = self.get(reference_id)
        return reference.image_hwc, reference.mask_hw

    def verify(self) -> tuple[Problem, ...]:
        """What is missing, damaged (by hash) or named by no reference, and how to mend it."""
        return upkeep.verify(self.folder, self._index)

    def remove_orphans(self) -> tuple[Path, ...]:
        """Delete the files that no reference names; returns their paths."""
        return upkeep.remove_orphans(self.folder, self._index)

    def reembed(self, extractor: FeatureExtractor, on_progress: Progress | None = None) -> int:
        """Describe every reference with another feature model; see `upkeep.reembed`."""
        count = upkeep.reembed(self.folder, self._index, extractor, on_progress)
        self.extractor = extractor
        return count

    def _insert(
        self, db: sqlite3.Connection, reference: Reference, extractor: FeatureExtractor
    ) -> None:
        """Write the files, then the row, while no other process can write."""
        full_id, mask_hw = reference.id, reference.mask_hw
        image, mask = files.encode_image(reference.image_hwc), files.encode_mask(mask_hw)
        described = files.write_features(self.folder, full_id, reference.features, extractor)
        values = {
            "id": full_id,
            "label": reference.label,
            "added_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "width": mask_hw.shape[1],
            "height": mask_hw.shape[0],
            "area_px": int(np.count_nonzero(mask_hw)),
            "global_f32": described[0],
            "image_sha256": files.write_atomically(files.image_path(self.folder, full_id), image),
            "mask_sha256": files.write_atomically(files.mask_path(self.folder, full_id), mask),
            "features_sha256": described[1],
        }
        if reference_count(db) == 0:
            set_feature_model(db, extractor.name, extractor.weights_sha256)
        marks = ", ".join(f":{name}" for name in values)
        db.execute(f"INSERT INTO reference ({', '.join(values)}) VALUES ({marks})", values)

    def _require_same_model(self, db: sqlite3.Connection, extractor: FeatureExtractor) -> None:
        model = feature_model(db)
        if model is None or model[1] == extractor.weights_sha256:
            return
        raise ReferenceMemoryError(
            f"the references in {self.folder} were described by the feature model {model[0]!r} "
            f"(weights {model[1][:SHORT_ID]}), not by {extractor.name!r} (weights "
            f"{extractor.weights_sha256[:SHORT_ID]}); use --features {model[0]}, or describe them "
            f"again: `track memory reembed --memory {self.folder} --features {extractor.name}`"
        )


def own_feature_model(folder: Path | str) -> str | None:
    """The name of the feature model that a memory's references have; None when there are none."""
    if not (Path(folder).expanduser() / FILE_NAME).is_file():
        return None
    model = ReferenceMemory.open(folder).feature_model
    return model[0] if model else None


def _row(db: sqlite3.Connection, reference_id: str) -> sqlite3.Row:
    row = db.execute("SELECT * FROM reference WHERE id = ?", (reference_id,)).fetchone()
    if row is None:
        raise ReferenceMemoryError(f"the reference {reference_id[:SHORT_ID]} has been removed")
    return row


def _stored_as(db: sqlite3.Connection, reference_id: str, label: str) -> bool:
    """Whether the reference is stored; raises when it is, but under another label."""
    row = db.execute("SELECT label FROM reference WHERE id = ?", (reference_id,)).fetchone()
    if row is not None and row["label"] != label:
        short = reference_id[:SHORT_ID]
        raise ReferenceMemoryError(
            f"this image and mask are stored as {row['label']!r} already ({short}); to store them "
            f"as {label!r}, `track memory remove {short}` first"
        )
    return row is not None


def _checked_label(label: str) -> str:
    label = label.strip()
    if not label or len(label) > LONGEST_LABEL or not label.isprintable():
        raise ReferenceMemoryError(
            f"a label is one line of 1 to {LONGEST_LABEL} printable characters, not {label!r}"
        )
    return label


def _check_pair(image_hwc: NDArray[np.uint8], mask_hw: BoolMask) -> None:
    if mask_hw.shape != image_hwc.shape[:2]:
        (height, width), (mask_height, mask_width) = image_hwc.shape[:2], mask_hw.shape
        raise ReferenceMemoryError(
            f"the mask is {mask_width}x{mask_height} pixels but the image is {width}x{height}; "
            "they must be of the same size"
        )
    if not mask_hw.any():
        raise ReferenceMemoryError("the mask is empty; it must mark the object")


def _require_free(folder: Path) -> None:
    """Make the folder; refuse one in which somebody else keeps files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stranger = next((p.name for p in folder.iterdir() if not p.name.startswith(".")), None)
    except OSError as error:
        raise ReferenceMemoryError(
            f"cannot make a reference memory in {folder}: {error}"
        ) from error
    if stranger is not None and not (folder / FILE_NAME).exists():
        raise ReferenceMemoryError(
            f"{folder} is not a reference memory and holds other files ({stranger!r}); name an "
            "empty or new folder"
        )
