"""Looking after a reference memory: damage, leftovers, and a change of the feature model."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tracker.memory import files
from tracker.memory.index import Index, feature_model, set_feature_model

if TYPE_CHECKING:  # keeps torch out of the commands that only look after the store
    from tracker.models.dinov2 import FeatureExtractor

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Problem:
    """Something wrong with a file of a memory.

    Attributes:
        kind: `missing`; `damaged`, its bytes have another hash than when it was written; or
            `orphan`, no reference names it.
        path: the file.
        reference_id: the reference that names it; None for an orphan.
        remedy: what to do, for a person.
    """

    kind: Literal["missing", "damaged", "orphan"]
    path: Path
    reference_id: str | None
    remedy: str


def verify(folder: Path, index: Index) -> tuple[Problem, ...]:
    """Compare every file with the hash in the index, and find files that nobody names."""
    with index.quiet() as db:
        present = files.stored_files(folder)
        named = _named_files(folder, db)
    problems = []
    for path, (reference_id, expected_sha256) in named.items():
        kind = _damage(path, expected_sha256)
        if kind is not None:
            problems.append(Problem(kind, path, reference_id, _remedy(path, reference_id)))
    leftover = "left by an interrupted write; `track memory verify --clean` deletes it"
    problems += [Problem("orphan", path, None, leftover) for path in sorted(present - set(named))]
    return tuple(problems)


def remove_orphans(folder: Path, index: Index) -> tuple[Path, ...]:
    """Delete the files that no reference names; returns their paths."""
    with index.write() as db:
        orphans = sorted(files.stored_files(folder) - set(_named_files(folder, db)))
        for path in orphans:
            path.unlink(missing_ok=True)
    return tuple(orphans)


def reembed(
    folder: Path,
    index: Index,
    extractor: FeatureExtractor,
    on_progress: Progress | None = None,
) -> int:
    """Describe every reference again with another feature model, and return how many.

    The new features are written beside the old ones and take their place in one transaction;
    until then, and after an interruption, the memory goes on with the old ones.
    `on_progress(done, total)` is called after each reference.
    """

    def embed(reference_id: str, image_sha256: str) -> tuple[bytes, str]:
        path = files.image_path(folder, reference_id)
        features = extractor.extract(files.read(path, files.decode_image, image_sha256))
        return files.write_features(folder, reference_id, features, extractor)

    with index.read() as db:
        waiting = _images(db)
    embedded = {}
    for done, (reference_id, image_sha256) in enumerate(waiting.items(), start=1):
        embedded[reference_id] = embed(reference_id, image_sha256)
        if on_progress is not None:
            on_progress(done, len(waiting))
    with index.write() as db:
        replaced, ids = feature_model(db), _images(db)
        for reference_id, image_sha256 in ids.items():
            # Another process may have added some meanwhile.
            columns = embedded.get(reference_id) or embed(reference_id, image_sha256)
            query = "UPDATE reference SET global_f32 = ?, features_sha256 = ? WHERE id = ?"
            db.execute(query, (*columns, reference_id))
        if ids:
            set_feature_model(db, extractor.name, extractor.weights_sha256)
    if ids and replaced is not None and replaced[1] != extractor.weights_sha256:
        shutil.rmtree(files.features_folder(folder, replaced[1]), ignore_errors=True)
    return len(ids)


def _images(db: sqlite3.Connection) -> dict[str, str]:
    """The SHA-256 of the image file of every reference, by id."""
    rows = db.execute("SELECT id, image_sha256 FROM reference ORDER BY id")
    return {row["id"]: row["image_sha256"] for row in rows}


def _named_files(folder: Path, db: sqlite3.Connection) -> dict[Path, tuple[str, str]]:
    """Every file that a reference names, with the reference's id and the file's SHA-256."""
    model = feature_model(db)
    named = {}
    for row in db.execute("SELECT * FROM reference ORDER BY id"):
        assert model is not None  # a memory with a reference has a header
        hashes = (row["image_sha256"], row["mask_sha256"], row["features_sha256"])
        for path, expected in zip(files.paths_of(folder, model[1], row["id"]), hashes, strict=True):
            named[path] = (row["id"], expected)
    return named


def _damage(path: Path, expected_sha256: str) -> Literal["missing", "damaged"] | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return "missing"
    except OSError:
        return "damaged"
    return None if files.sha256(data) == expected_sha256 else "damaged"


def _remedy(path: Path, reference_id: str) -> str:
    if path.suffix == ".safetensors":
        return "`track memory reembed` makes it again"
    return f"`track memory remove {reference_id[:12]}`, then add the reference again"
