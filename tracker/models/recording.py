"""CUDA graphs: a function's kernels are recorded once for each shape, and replayed from then on.

Run one by one, a frame's kernels take the host longer to launch than the GPU to compute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map_only, tree_unflatten

MOST_SHAPES = 8
"""Recordings of one function that are kept, each with memory for its inputs and results."""

Capture = Callable[[Callable[[], Any]], tuple[Callable[[], None], Any]]
"""Records a function: how it is replayed, and the results that every replay writes anew."""


class Recorded:
    """Stands for a function that computes with tensors on a GPU alone, and waits for nothing.

    The first call of a shape runs the function as it is, which fills what it caches; the second is
    recorded; later ones copy their tensors in, replay, and copy the results out.

    Args:
        function: takes tensors, lists of them, and values that can be compared.
        capture: how it is recorded.
    """

    def __init__(self, function: Callable[..., Any], capture: Capture) -> None:
        self._function = function
        self._capture = capture
        self._recordings: dict[Any, _Recording | None] = {}

    def __call__(self, *args: Any) -> Any:
        key = tuple(_kind(leaf) for leaf in tree_leaves(args))
        if key not in self._recordings:
            if len(self._recordings) == MOST_SHAPES:
                del self._recordings[next(iter(self._recordings))]
            self._recordings[key] = None
            return self._function(*args)
        recording = self._recordings[key]
        if recording is None:
            recording = _Recording(self._function, args, self._capture)
            self._recordings[key] = recording
        return recording.replay(args)

    def clear(self) -> None:
        """Forget the recordings: they hold on to the tables and weights of their time."""
        self._recordings.clear()


class _Recording:
    """A function's kernels for one shape, between tensors that stay where they are."""

    def __init__(self, function: Callable[..., Any], args: Any, capture: Capture) -> None:
        leaves, tree = tree_flatten(args)
        static = [each.clone() if isinstance(each, torch.Tensor) else each for each in leaves]
        self._inputs = _tensors(static)
        fixed = tree_unflatten(static, tree)
        self._replay, self._results = capture(lambda: function(*fixed))

    def replay(self, args: Any) -> Any:
        torch._foreach_copy_(self._inputs, _tensors(tree_leaves(args)))
        self._replay()
        return tree_map_only(torch.Tensor, _taken_out, self._results)


def graph_capture(device: torch.device) -> Capture | None:
    """Records CUDA graphs that share memory; None where there are none."""
    return _GraphCapture() if device.type == "cuda" else None


class _GraphCapture:
    """What one graph leaves in the shared memory is copied out before the next one runs."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, function: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        # First as it is, on a stream of its own: kernels are chosen and compiled before.
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            function()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on with CUDA, such as the one that reads frames ahead.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            results = function()
        return graph.replay, results


def _kind(leaf: Any) -> Any:
    """What has to be equal for a recording to serve."""
    if isinstance(leaf, torch.Tensor):
        return leaf.shape, leaf.stride(), leaf.dtype, torch.is_autocast_enabled(leaf.device.type)
    return leaf


def _tensors(leaves: list[Any]) -> list[torch.Tensor]:
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]


def _taken_out(result: torch.Tensor) -> torch.Tensor:
    """A copy; of a placeholder, which one number fills and which is read for its shape, that."""
    if result.dim() and not any(result.stride()):
        return result.flatten()[:1].clone().expand(result.shape)
    return result.clone()
