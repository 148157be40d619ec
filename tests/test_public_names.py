"""The public library, pinned: a name that goes or comes is a decision, not an accident."""

from __future__ import annotations

import subprocess
import sys

import pytest

import tracker

PUBLIC = [
    "ExportOptions",
    "Frame",
    "FrameResult",
    "ImagePrompter",
    "InputError",
    "Match",
    "NoMatchError",
    "ObjectMask",
    "Prompt",
    "Reference",
    "ReferenceMemory",
    "RunFolder",
    "TrackError",
    "TrackSession",
    "TrackSettings",
    "VideoWriter",
    "__version__",
    "build_streaming_video_predictor",
    "detections",
    "export_run",
    "find_prompts",
    "import_run",
    "load_features",
    "load_video_predictor",
    "open_video",
    "search",
    "track",
]


def test_the_public_names_are_these():
    assert sorted(tracker.__all__) == PUBLIC
    assert dir(tracker) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_can_be_used_and_says_what_it_is(name):
    value = getattr(tracker, name)
    assert name == "__version__" or value.__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nonesuch'"):
        tracker.nonesuch  # noqa: B018


@pytest.mark.parametrize("module", ["tracker", "tracker.cli", "tracker.session.run_folder"])
def test_what_needs_no_model_loads_no_torch(module):
    code = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
