"""Where files live: what ships with the package, and what belongs to the user."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

_PACKAGE = Path(__file__).resolve().parent


def shipped(folder: str) -> Path:
    """`configs` or `checkpoints`: inside the installed package, or beside it in a checkout."""
    inside = _PACKAGE / folder
    return inside if inside.is_dir() else _PACKAGE.parent / folder


def user_memory() -> Path:
    """The default reference memory: `$TRACK_MEMORY`, or a folder in the user's data folder."""
    return _override("TRACK_MEMORY") or Path(platformdirs.user_data_dir("track")) / "memory"


def user_models() -> Path:
    """Where pulled weights land: `$TRACK_MODELS`, or a folder in the user's cache."""
    return _override("TRACK_MODELS") or Path(platformdirs.user_cache_dir("track")) / "models"


def _override(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value).expanduser() if value else None
