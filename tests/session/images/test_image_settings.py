"""How images are segmented: the choices, and what contradicts what."""

from __future__ import annotations

import json

import pytest

from tracker.errors import SettingsError
from tracker.session.images.settings import ImageSettings


@pytest.mark.parametrize(
    ("options", "source"),
    [
        ({}, "prompts"),
        ({"auto_prompt": True, "labels": ("cup",), "min_score": 0.5}, "memory"),
        ({"everything": True, "points_per_side": 4}, "everything"),
        ({"boxes": "b.json", "box_threshold": 0.5}, "boxes"),
        ({"text": "a dog."}, "text"),
    ],
)
def test_the_source_follows_from_the_options(options, source):
    settings = ImageSettings(**options)
    assert settings.source == source
    assert json.loads(json.dumps(settings.to_json())) == settings.to_json()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"everything": True, "auto_prompt": True}, "give --auto-prompt or --everything, not both"),
        ({"everything": True, "boxes": "b"}, "give --everything or --boxes, not both"),
        ({"points_per_side": 8}, "--points-per-side needs --everything"),
        ({"labels": ("cup",)}, "--label needs --auto-prompt"),
        ({"min_score": 0.5}, "--min-score needs --auto-prompt"),
        ({"box_threshold": 0.5}, "--box-threshold needs --boxes or --text"),
        ({"everything": True, "points_per_side": 0}, "--points-per-side 0: must be 1 or more"),
        ({"everything": True, "min_iou": 1.5}, "--min-iou 1.5: from 0 to 1"),
        ({"auto_prompt": True, "prompt_kind": "x"}, "--prompt-kind x: one of auto"),
        ({"edges": "x"}, "--edges x: one of auto"),
        ({"everything": True, "edges": "picture"}, "--everything keeps the model's masks"),
    ],
)
def test_contradictions_are_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        ImageSettings(**options)


def test_what_is_not_given_has_its_default():
    settings = ImageSettings.from_options(everything=True, points_per_side=None, min_iou=0.5)
    assert (settings.points_per_side, settings.min_iou) == (32, 0.5)
