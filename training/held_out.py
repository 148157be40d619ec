"""What may be measured on must never be trained on: the guard, by path and by content.

`held_out.sha256` lists the hashes of the benchmark's files (`python -m training.held_out FOLDER…`
writes it); folder names that mark benchmark data are refused whatever they contain.
"""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from pathlib import Path

_NAMES = ("davis", "fss1000", "fss-1000")
_LIST = Path(__file__).with_suffix(".sha256")


@cache
def _hashes() -> frozenset[str]:
    return frozenset(_LIST.read_text().split()) if _LIST.exists() else frozenset()


def content_hash(path: Path) -> str:
    """The first 16 hexadecimal digits of the file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def refuse_held_out(path: Path, *, by_name: bool = True) -> None:
    """Raise ValueError when `path` is measuring material.

    `by_name=False` is for folders that are called after a format, and looks at the content alone.
    """
    if by_name and any(name in part.lower() for part in path.resolve().parts for name in _NAMES):
        raise ValueError(f"{path} is measuring material by its path; it must not be trained on")
    if content_hash(path) in _hashes():
        raise ValueError(f"{path} is measuring material by its content; it must not be trained on")


def write_list(folders: list[Path]) -> int:
    """Write the hashes of all images and masks below `folders`; returns their number."""
    files = [p for f in folders for p in f.rglob("*") if p.suffix in {".jpg", ".png"}]
    hashes = sorted({content_hash(p) for p in files})
    _LIST.write_text("\n".join(hashes) + "\n")
    return len(hashes)


if __name__ == "__main__":
    print(write_list([Path(argument) for argument in sys.argv[1:]]), "hashes")
