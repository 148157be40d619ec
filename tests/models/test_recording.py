"""What is recorded is replayed with the tensors of the call, for each shape apart.

No GPU is needed: a stand-in for a CUDA graph computes anew, into the tensors of the recording.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map_only

from tracker.models import recording
from tracker.models.recording import MOST_SHAPES, Recorded

NAN = float("nan")


def replayed_on_a_cpu(function: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
    # A graph's results are there after a replay only.
    results = tree_map_only(torch.Tensor, lambda each: torch.full_like(each, NAN), function())

    def replay() -> None:
        for old, new in zip(tree_leaves(results), tree_leaves(function()), strict=True):
            if isinstance(old, torch.Tensor):
                old.copy_(new)

    return replay, results


def test_results_are_those_of_the_call() -> None:
    double = Recorded(lambda many, factor: {"sum": many[0] + many[1] * factor}, replayed_on_a_cpu)
    given = [[torch.rand(3), torch.rand(3)] for _ in range(5)]
    found = [double(many, 2)["sum"] for many in given]
    for (a, b), each in zip(given, found, strict=True):  # earlier results are not written over
        assert torch.equal(each, a + 2 * b)
    assert torch.equal(double(given[0], 3)["sum"], given[0][0] + 3 * given[0][1])


def test_a_shape_is_recorded_when_it_comes_again() -> None:
    runs: list[int] = []

    def function(values: torch.Tensor) -> torch.Tensor:
        runs.append(len(values))
        return values + 1

    once = Recorded(function, lambda call: (lambda: None, call()))
    once(torch.zeros(2)), once(torch.zeros(3)), once(torch.zeros(2)), once(torch.zeros(2))
    assert runs == [2, 3, 2]
    for length in range(4, 4 + MOST_SHAPES):
        once(torch.zeros(length))
    once(torch.zeros(2))
    assert runs[-1] == 2  # forgotten: the oldest makes room


def test_tracking_with_recorded_parts_gives_the_same(
    small_streaming: Any, predictor: Any, clip: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    captures: list[Any] = []

    def capture(function: Callable[[], Any]) -> Any:
        captures.append(function)
        return replayed_on_a_cpu(function)

    monkeypatch.setattr("tracker.models.grouped_predictor.graph_capture", lambda _: capture)
    recorded = small_streaming(graphs=True)
    masks = [list(tracked(each, clip)) for each in (predictor, recorded)]
    assert len(captures) == 4  # encoder, attention, decoder, memory encoder
    for expected, found in zip(*masks, strict=True):
        assert torch.equal(expected, found)
    assert recording.graph_capture(torch.device("cpu")) is None


def tracked(predictor: Any, clip: Any) -> Any:
    state = predictor.init_state(clip)
    for number in range(2):
        x = 30 * number
        predictor.add_new_points_or_box(state, 0, number + 1, box=[x, 40, x + 60, 100])
    for _, _, logits in predictor.propagate_in_video(state, max_frame_num_to_track=20):
        yield logits.clone()
