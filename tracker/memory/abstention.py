"""When to say that the object is not there: thresholds chosen on data, one per feature model."""

from __future__ import annotations

import json
from functools import cache

from tracker import locations

FILE_NAME = "abstention.json"
_DEFAULT = "default"


def abstention_threshold(feature_model: str) -> float:
    """The decision score that a match must reach, from `configs/abstention.json`.

    Each entry there names the data that its threshold was chosen on and the command that chose
    it; feature models without an entry of their own share `default`.
    """
    thresholds = _thresholds()
    return thresholds.get(feature_model, thresholds[_DEFAULT])


@cache
def _thresholds() -> dict[str, float]:
    path = locations.shipped("configs") / FILE_NAME
    entries = json.loads(path.read_text("utf-8"))
    return {name: float(entry["threshold"]) for name, entry in entries.items()}
