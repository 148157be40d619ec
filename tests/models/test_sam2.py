"""Installed SAM2 models by name, and prompts on single images."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sam2.sam2_image_predictor import SAM2ImagePredictor

from tracker import locations
from tracker.edges import BEYOND, beyond, fit_to_edges
from tracker.errors import ModelError, PromptError, SettingsError
from tracker.models.sam2 import NEARER, ImagePrompter, load_video_predictor
from tracker.models.streaming import StreamingVideoPredictor
from tracker.types import Prompt
from tracker.views import in_view, widened

CLICK: dict[str, Any] = {"points_n2": [[70, 60]], "point_labels_n": [1]}


@pytest.fixture(scope="module")
def prompter(predictor: StreamingVideoPredictor, clip: Any) -> ImagePrompter:
    prompter = ImagePrompter(predictor)
    prompter.set_image(clip[0])
    return prompter


@pytest.fixture
def installed_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_streaming: Any) -> Any:
    """The demo model of an installation: its shipped config, and random weights."""
    weights = small_streaming().state_dict()
    (tmp_path / "checkpoints").mkdir()
    torch.save({"model": weights}, tmp_path / "checkpoints" / "sam2_demo.pt")
    (tmp_path / "configs").symlink_to(locations.shipped("configs"))
    monkeypatch.setattr(locations, "shipped", lambda folder: tmp_path / folder)
    monkeypatch.setenv("TRACK_MODELS", str(tmp_path / "none pulled"))
    return weights


@pytest.mark.parametrize("name", ["auto", "demo"])
def test_load_by_name(installed_demo: Any, name: str) -> None:
    predictor = load_video_predictor(name, device="cpu")
    assert isinstance(predictor, StreamingVideoPredictor)
    assert predictor.image_size == 288
    assert torch.equal(predictor.no_mem_embed, installed_demo["no_mem_embed"])
    exact = load_video_predictor(name, "cpu", exact=True)
    assert (predictor.fits_edges, predictor.asks_picture) == (True, True)
    assert (exact.fits_edges, exact.asks_picture) == (False, False)


def test_another_image_size_tracks(installed_demo: Any, endless_clip: Any) -> None:
    predictor = load_video_predictor("demo", device="cpu", image_size=96)
    assert predictor.image_size == 96
    state = predictor.init_state(endless_clip(3))
    predictor.add_new_points_or_box(state, 0, 1, box=[4, 4, 40, 40])
    assert [frame for frame, _ in predictor.track(state)] == [0, 1, 2]


@pytest.mark.parametrize("image_size", [0, -32, 100, 1000])
def test_an_image_size_that_the_encoder_cannot_halve(image_size: int) -> None:
    with pytest.raises(SettingsError, match=f"multiple of 32, not {image_size}"):
        load_video_predictor("demo", image_size=image_size)


def test_a_model_that_is_not_there(installed_demo: Any) -> None:
    with pytest.raises(ModelError, match=r"track models pull sam2\.1_hiera_large"):
        load_video_predictor("sam2.1_hiera_large")


def test_a_click_has_three_meanings_best_first(prompter: ImagePrompter, clip: Any) -> None:
    candidates = prompter.predict(**CLICK)
    assert len(candidates) == 3
    scores = [each.predicted_iou for each in candidates]
    assert scores == sorted(scores, reverse=True) and all(0 <= score <= 1 for score in scores)
    for each in candidates:
        assert each.mask_hw.shape == (clip.height, clip.width) and each.mask_hw.dtype == np.bool_
    assert len({each.mask_hw.tobytes() for each in candidates}) == 3


@pytest.mark.parametrize(
    "prompt",
    [
        {"box_xyxy": (60, 70, 120, 120)},
        {"points_n2": [[70, 60], [10, 10]], "point_labels_n": [1, 0]},
        {**CLICK, "box_xyxy": (60, 50, 120, 120)},
        {"points_n2": np.zeros((0, 2)), "point_labels_n": [], "box_xyxy": (0, 0, 176, 144)},
    ],
)
def test_a_clear_prompt_has_one(prompter: ImagePrompter, prompt: dict[str, Any]) -> None:
    assert len(prompter.predict(**prompt)) == 1


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_the_masks_are_those_of_sam2(predictor: Any, prompter: ImagePrompter, clip: Any) -> None:
    """Of its own image predictor, given the feature sizes of a 64 px model."""
    own = SAM2ImagePredictor(predictor)
    own._bb_feat_sizes = [(16, 16), (8, 8), (4, 4)]
    own.set_image(clip[0].copy())
    masks, ious, _ = own.predict(np.array([[70, 60]]), np.array([1]))
    for candidate, index in zip(prompter.predict(**CLICK), np.argsort(-ious), strict=True):
        np.testing.assert_array_equal(candidate.mask_hw, masks[index].astype(bool))
        assert candidate.predicted_iou == pytest.approx(ious[index])


def test_masks_are_fitted_to_the_picture_if_the_predictor_does_so(
    small_streaming: Any, prompter: ImagePrompter, clip: Any
) -> None:
    fitting = ImagePrompter(small_streaming(edges="picture"))
    fitting.set_image(clip[0])
    fitted, plain = fitting.predict(**CLICK), prompter.predict(**CLICK)
    assert [each.predicted_iou for each in fitted] == [each.predicted_iou for each in plain]
    assert any((a.mask_hw != b.mask_hw).any() for a, b in zip(fitted, plain, strict=True))
    for own, each in zip(fitting.predict(**CLICK, fitted=False), plain, strict=True):
        np.testing.assert_array_equal(own.mask_hw, each.mask_hw)


def test_a_mask_is_not_fitted_beyond_a_tight_box(small_streaming: Any) -> None:
    """A card, and a paper of its colour that touches it."""
    image_hwc = np.random.default_rng(0).integers(50, 70, (120, 160, 3), np.uint8)
    image_hwc[30:80, 40:100] += 160
    image_hwc[60:80, 100:112] += 160
    prompter, box = ImagePrompter(small_streaming(edges="picture")), np.array([40, 30, 100, 80])
    prompter.set_image(image_hwc)
    logits_hw = np.full((120, 160), -8, np.float32)
    logits_hw[30:80, 40:100], logits_hw[30:80, 100:112] = 8, -1
    view = (0, 0, 160, 120)
    masks = [prompter._mask(logits_hw, within, view, fitted=True) for within in (None, box)]
    assert [mask_hw[:, 102:].any() for mask_hw in masks] == [True, False]


@pytest.mark.parametrize(
    ("source", "tight"),
    [("user", True), ("detector", True), ("memory", False), ("redetect", False)],
)
def test_only_what_was_drawn_is_a_tight_box(source: Any, tight: bool) -> None:
    assert Prompt(0, 1, box_xyxy=(1, 2, 9, 9), source=source).box_is_tight == tight
    assert not Prompt(0, 1, np.array([[3, 4]]), np.array([1]), source=source).box_is_tight


@pytest.mark.parametrize("points", [[], [[70, 60], [8, 9]]])
def test_a_tight_box_is_answered_from_near_where_the_model_is_coarse(
    small_streaming: Any, clip: Any, points: list[list[int]]
) -> None:
    """By the mean of what SAM2 says to three views, which hold the points as well."""
    coarse, box = small_streaming(edges="picture"), (60.0, 50.0, 120.0, 110.0)
    marked = (8, 9, 120, 110) if points else box
    prompt = Prompt(0, 1, np.array(points), np.array([1, 0][: len(points)]), box)
    plain = ImagePrompter(coarse).image_predictor
    logits, ious = [], []
    for share in NEARER:
        left, top, right, bottom = view = widened(marked, share, (clip.height, clip.width))
        plain.set_image(clip[0][top:bottom, left:right].copy())
        logits_1hw, ious_1, _ = plain.predict(
            np.subtract(points, (left, top)) if points else None,
            prompt.point_labels_n if points else None,
            np.subtract(box, (left, top) * 2),
            multimask_output=False,
            return_logits=True,
        )
        logits.append(np.full((clip.height, clip.width), np.nan, np.float32))
        in_view(logits[-1], view)[:] = logits_1hw[0]
        ious.append(ious_1[0])
    logits_hw = in_view(np.mean(logits, axis=0), view)  # the nearest one
    outside_hw = in_view(beyond(box, (clip.height, clip.width)), view)
    expected_hw = np.zeros((clip.height, clip.width), bool)
    in_view(expected_hw, view)[:] = fit_to_edges(
        in_view(clip[0], view), np.where(outside_hw, np.float32(BEYOND), logits_hw)
    )
    prompter = ImagePrompter(coarse)
    prompter.set_image(clip[0])
    answered = prompter.answer(prompt)
    assert answered.mask_hw.any()
    np.testing.assert_array_equal(answered.mask_hw, expected_hw)
    assert answered.predicted_iou == pytest.approx(np.mean(ious), abs=1e-6)
    of_memory = replace(prompt, source="memory")  # which was not drawn around the object
    marks = (prompt.points_n2, prompt.point_labels_n) if points else (None, None)
    np.testing.assert_array_equal(
        prompter.answer(of_memory).mask_hw,
        prompter.predict(*marks, box, tight_box=False)[0].mask_hw,
    )
    prompter.look_at((4, 4, 170, 140))  # a view that was asked for stays the only one
    np.testing.assert_array_equal(
        prompter.answer(prompt).mask_hw, prompter.predict(*marks, box)[0].mask_hw
    )


def test_in_a_view_masks_are_those_of_the_part_alone(
    predictor: Any, prompter: ImagePrompter, clip: Any
) -> None:
    view, (x, y) = (30, 20, 150, 120), (30, 20)
    seen, part = ImagePrompter(predictor), ImagePrompter(predictor)
    seen.set_image(clip[0], view)
    part.set_image(np.ascontiguousarray(clip[0][20:120, 30:150]))
    for (px, py), box in (((70, 60), None), ((70, 60), (40, 30, 110, 90))):
        whole = seen.predict([(px, py)], [1], box)
        alone = part.predict([(px - x, py - y)], [1], box and np.subtract(box, (x, y, x, y)))
        for mine, theirs in zip(whole, alone, strict=True):
            assert mine.mask_hw.shape == clip[0].shape[:2]
            np.testing.assert_array_equal(mine.mask_hw[20:120, 30:150], theirs.mask_hw)
            assert mine.mask_hw.sum() == theirs.mask_hw.sum()
            assert mine.predicted_iou == theirs.predicted_iou
    with pytest.raises(PromptError, match=r"in a view: point -1,40 lies outside"):
        seen.predict([(29, 60)], [1])
    seen.look_at(None)
    np.testing.assert_array_equal(
        seen.predict([(29, 60)], [1])[0].mask_hw, prompter.predict([(29, 60)], [1])[0].mask_hw
    )
    with pytest.raises(PromptError, match="view 0,0,177,144 lies outside; the image is 176x144"):
        seen.look_at((0, 0, 177, 144))


def test_the_answer_to_a_prompt_is_the_best_of_its_masks(prompter: ImagePrompter) -> None:
    for prompt in (
        Prompt(0, 1, np.array([[70, 60]]), np.array([1])),
        Prompt(0, 1, np.array([[70, 60]]), np.array([0]), (40, 30, 110, 90)),
        Prompt(0, 1, box_xyxy=(40, 30, 110, 90)),
    ):
        points = prompt.points_n2 if len(prompt.points_n2) else None
        labels = prompt.point_labels_n if len(prompt.points_n2) else None
        best = prompter.predict(points, labels, prompt.box_xyxy)[0]
        np.testing.assert_array_equal(prompter.answer(prompt).mask_hw, best.mask_hw)


def test_feature_sizes_at_1024_px_are_those_written_in_sam2(small_streaming: Any) -> None:
    predictor = small_streaming("++model.image_size=1024")
    assert ImagePrompter(predictor)._predictor._bb_feat_sizes == [(256, 256), (128, 128), (64, 64)]


def test_the_next_image_takes_the_place_of_the_last(
    predictor: Any, prompter: ImagePrompter, clip: Any
) -> None:
    first = prompter.predict(**CLICK)[0].mask_hw
    other = ImagePrompter(predictor)
    other.set_image(np.ascontiguousarray(clip[40][:100, :90]))
    assert other.predict(**CLICK)[0].mask_hw.shape == (100, 90)
    other.set_image(clip[0])
    np.testing.assert_array_equal(other.predict(**CLICK)[0].mask_hw, first)


def test_no_warning_reaches_the_caller(predictor: Any, clip: Any) -> None:
    image_hwc = clip[0].copy()
    image_hwc.flags.writeable = False  # as a video reader hands it out
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ImagePrompter(predictor).set_image(image_hwc)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ({}, "at least one point or a box"),
        ({"points_n2": [[1, 2]]}, "together"),
        ({"points_n2": [[176, 2]], "point_labels_n": [1]}, "point 176,2 lies outside"),
        ({"points_n2": [[np.nan, 2]], "point_labels_n": [1]}, "finite"),
        ({"box_xyxy": (9, 9, 9, 20)}, "X1 < X2"),
    ],
)
def test_refused(prompter: ImagePrompter, prompt: dict[str, Any], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        prompter.predict(**prompt)


def test_without_an_image(predictor: Any) -> None:
    with pytest.raises(RuntimeError, match="set_image"):
        ImagePrompter(predictor).predict(**CLICK)
