"""Defaults, presets and contradictions."""

from __future__ import annotations

import pytest

from tracker.errors import SettingsError
from tracker.settings import TrackSettings, presets


def test_a_preset_overrides_defaults_and_what_is_given_overrides_the_preset():
    assert TrackSettings.from_options("fast").max_image_size == 512
    assert TrackSettings.from_options("fast", search_samples=5).search_samples == 5
    assert TrackSettings.from_options("fast", image_size=256, stride=None) == TrackSettings(
        image_size=256, search_samples=presets()["fast"]["search_samples"]
    )


@pytest.mark.parametrize("name", ["fast", "quality"])
def test_every_preset_is_valid(name):
    assert TrackSettings.from_options(name) != TrackSettings()


def test_json_brings_settings_back():
    settings = TrackSettings(auto_prompt=True, labels=["cup", "ball"], end=9, fallback="center")
    assert TrackSettings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize("name", ["edges", "candidates"])
def test_a_run_that_says_nothing_of_them_has_the_models(name):
    stored = TrackSettings().to_json()
    assert getattr(TrackSettings.from_json(stored), name) == "auto"
    del stored[name]
    assert getattr(TrackSettings.from_json(stored), name) == "model"


def test_lost_objects_are_looked_for_unless_something_speaks_against_it():
    assert TrackSettings().looks_again
    assert TrackSettings(auto_prompt=True).looks_again
    assert TrackSettings(exact=True, redetect="auto").looks_again
    assert not TrackSettings(redetect="off").looks_again
    assert not TrackSettings(exact=True).looks_again
    assert not TrackSettings(text="a dog.", detect_every=10).looks_again


def test_one_label_may_stand_alone():
    assert TrackSettings(auto_prompt=True, labels="cup").labels == ("cup",)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stride": 0}, "--stride 0: must be 1 or more"),
        ({"start": -1}, "--start -1: must be 0 or more"),
        ({"image_size": 16}, "--image-size 16: must be 32 or more"),
        ({"start": 5, "end": 5}, "leave no frame"),
        ({"direction": "sideways"}, "one of forward, backward, both"),
        ({"reader": None}, "one of pyav, decord"),
        ({"fallback": "left", "auto_prompt": True}, "--fallback left: one of center"),
        ({"image_size": 64, "max_image_size": 64}, "not both"),
        ({"labels": ["cup"]}, "--label needs --auto-prompt"),
        ({"memory": "refs"}, "--memory needs --auto-prompt"),
        ({"redetect": "always"}, "--redetect always: one of auto, off"),
        ({"appearance_every": 0}, "--appearance-every 0: must be 1 or more"),
        ({"redetect_every": 0}, "--redetect-every 0: must be 1 or more"),
        ({"remember": True}, "--remember needs --auto-prompt"),
        ({"search_frames": 3}, "--search-frames needs --auto-prompt"),
        ({"edges": "sharp"}, "--edges sharp: one of auto, model, picture"),
        ({"edges": "picture", "exact": True}, "leave out --edges picture"),
        ({"candidates": "both"}, "--candidates both: one of auto, model, picture"),
        ({"candidates": "picture", "exact": True}, "leave out --candidates picture"),
    ],
)
def test_bad_values_and_contradictions_are_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        TrackSettings(**values)


def test_unknown_names_are_refused():
    with pytest.raises(SettingsError, match="--preset slow: one of fast, quality"):
        TrackSettings.from_options("slow")
    with pytest.raises(SettingsError, match="unknown setting 'speed'"):
        TrackSettings.from_json({"speed": 3})
