"""Results on disk: one file per image, so that a batch goes on where it was left.

segment.json         how the images were segmented
results/<name>.json  what was found on one image
masks/ coco/ …       outputs, made from the results
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

from tracker.durable import cannot_write, write_json, write_text
from tracker.errors import RunError
from tracker.output.export.contract import remove
from tracker.session.images.found import ImageResult
from tracker.session.images.image_files import ImageFile
from tracker.session.lock import Lock

FORMAT = 1
RECIPE, RESULTS, LOCK = "segment.json", "results", ".lock"


class ImageStore:
    """A folder of results that one process writes; a context manager."""

    def __init__(self, folder: Path, recipe: dict[str, Any], overwrite: bool = False) -> None:
        """Open or make the folder.

        Args:
            folder: new, empty, or of an earlier batch with the same recipe.
            recipe: everything that decides results apart from the images, as JSON.
            overwrite: throw away the results and outputs of another recipe, or the same.

        Raises:
            RunError: when it holds anything else, is in use, or cannot be written.
        """
        self.folder = folder
        wanted = {"format": FORMAT, **recipe}
        found = _read_recipe(folder)
        if found is None and folder.exists() and any(_visible(folder)):
            raise RunError(f"{folder} exists and holds something else; choose another --output")
        other = found is not None and found != json.loads(json.dumps(wanted))
        if other and found and not overwrite and any((folder / RESULTS).glob("*.json")):
            raise RunError(
                f"{folder} was made in another way: {_difference(found, wanted)}; --overwrite "
                "starts over, or choose another --output"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(folder / LOCK)
            if overwrite:
                for path in _visible(folder):
                    remove(path)
            (folder / RESULTS).mkdir(exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from error
        write_json(folder / RECIPE, wanted)

    def find(self, image: ImageFile) -> ImageResult | None:
        """The result of an image, None if there is none for this content of the file.

        Raises:
            VideoError: when the image cannot be read.
        """
        try:
            result = ImageResult.from_json(json.loads(self._path(image).read_text("utf-8")))
        except (OSError, ValueError, RunError):
            return None  # it is done again
        return result if result.sha256 == image.sha256 else None

    def save(self, image: ImageFile, result: ImageResult) -> None:
        """Keep a result. Raises RunError when it cannot be written."""
        text = json.dumps(result.to_json(), ensure_ascii=False, allow_nan=False)
        write_text(self._path(image), text + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def _path(self, image: ImageFile) -> Path:
        return self.folder / RESULTS / f"{image.stem}.json"


def _read_recipe(folder: Path) -> dict[str, Any] | None:
    try:
        value = json.loads((folder / RECIPE).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) and value.get("format") == FORMAT else None


def _visible(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name != LOCK]


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """The first thing that differs, in words."""
    for part in wanted:
        old, new = found.get(part), wanted[part]
        if old != new and isinstance(old, dict) and isinstance(new, dict):
            name = next(key for key in {**old, **new} if old.get(key) != new.get(key))
            return f"{part} {name} was {old.get(name)}, now {new.get(name)}"
        if old != new:
            return f"{part} differ"
    return "settings differ"
