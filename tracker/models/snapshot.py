"""The bounded state of the predictor as a flat dict of tensors, and as safetensors; never pickle.

Two kinds of parts together are a state. What a *prompt* left (SAM2's conditioning output) is whole
and depends on nothing later; the *recent* outputs (non-conditioning) at a frame are those that
tracking on from it can still read: 6 memories and 15 object pointers of SAM2.1. Keys are
`<object id>/<kind>/<frame>/<name>`, names those of SAM2's outputs. Position encodings are made
again from the model. Prompts as given are not in here: whoever restores a state has them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors import torch as safetensors

from tracker.models.bounded_predictor import State
from tracker.models.bounded_state import KEPT, Output
from tracker.models.streaming import StreamingVideoPredictor

Tensors = dict[str, torch.Tensor]

_KINDS = {"prompt": "cond_frame_outputs", "recent": "non_cond_frame_outputs"}
_MADE_AGAIN = "maskmem_pos_enc"
_NOTED = ("area_px", KEPT)  # plain values that a memory policy has noted
_ABOUT = "about"


def recent(predictor: StreamingVideoPredictor, state: State, frame: int) -> Tensors:
    """What tracking on from `frame`, just tracked, reads of every object; prompts apart."""
    reach = predictor._reach
    tensors: Tensors = {}
    for object_id, outputs in _objects(state):
        for t, out in outputs["non_cond_frame_outputs"].items():
            names = {"obj_ptr", "object_score_logits", *_NOTED}
            # The next frame is one farther away.
            if abs(t - frame) < reach.memory or out.get(KEPT):
                tensors |= _flat(object_id, "recent", t, out, names | {"maskmem_features"})
            elif abs(t - frame) < reach.pointer:
                tensors |= _flat(object_id, "recent", t, out, names)
    return tensors


def prompted(state: State) -> dict[tuple[int, int], Tensors]:
    """What every prompt left, by object id and frame."""
    return {
        (object_id, t): _flat(object_id, "prompt", t, out, set(out))
        for object_id, outputs in _objects(state)
        for t, out in outputs["cond_frame_outputs"].items()
    }


def marked(left: Tensors, points_n2: NDArray[np.float32], size_wh: tuple[int, int]) -> NDArray:
    """Whether the mask that a prompt left covers points, in pixels of the video; bool (n,)."""
    (logits_b1hw,) = (tensor for key, tensor in left.items() if key.endswith("/pred_masks"))
    height, width = logits_b1hw.shape[-2:]
    places_n2 = (points_n2 * (width, height) / size_wh).astype(int)
    mask_hw = (logits_b1hw[0, 0] > 0).cpu().numpy()
    return np.asarray(mask_hw[places_n2[:, 1], places_n2[:, 0]])


def predicted_iou(left: Tensors) -> float:
    """The decoder's own estimate for the mask that a prompt left, 0 to 1."""
    (value,) = (tensor for key, tensor in left.items() if key.endswith("/predicted_iou"))
    return float(value.clamp(0, 1))


def restore(
    predictor: StreamingVideoPredictor, state: State, tensors: Tensors, object_ids: Sequence[int]
) -> None:
    """Put outputs into a state; objects that it lacks join in the order of `object_ids`."""
    for object_id in object_ids:
        predictor._obj_id_to_idx(state, object_id)
    device, storage = state["device"], state["storage_device"]
    for key, tensor in sorted(tensors.items(), key=lambda item: _place(item[0])):
        object_id, kind, frame, name = _place(key)
        outputs = state["output_dict_per_obj"][state["obj_id_to_idx"][object_id]][_KINDS[kind]]
        stored = name in ("maskmem_features", "pred_masks")  # VP:786-788; the rest stays in place
        out = outputs.setdefault(frame, _nothing())
        if name in _NOTED:
            out[name] = tensor.item()
            continue
        out[name] = tensor.to(storage if stored else device)
        if name == "maskmem_features":
            out[_MADE_AGAIN] = _position_encodings(predictor, state, tensor)


def mark_tracked(state: State, frame: int, reverse: bool) -> None:
    """Let a restored state know that all of its objects were tracked on `frame`."""
    for tracked in state["frames_tracked_per_obj"].values():
        tracked[frame] = {"reverse": reverse}


def restart(state: State, object_id: int) -> None:
    """Forget what an object's propagation left; what its prompts left stays.

    A prompt given next is met like a first one, from its frame alone.
    """
    obj_idx = state["obj_id_to_idx"][object_id]
    state["output_dict_per_obj"][obj_idx]["non_cond_frame_outputs"].clear()
    state["frames_tracked_per_obj"][obj_idx].clear()


def object_ids(state: State) -> list[int]:
    """In the order in which they joined."""
    return list(state["obj_ids"])


def of_objects(tensors: Tensors, object_ids: Sequence[int]) -> Tensors:
    """The part of some objects."""
    return {key: tensor for key, tensor in tensors.items() if _place(key)[0] in object_ids}


def to_bytes(tensors: Tensors, about: dict[str, Any]) -> bytes:
    """A safetensors file; `about` is any JSON object."""
    whole = {key: tensor.contiguous() for key, tensor in tensors.items()}
    return safetensors.save(whole, {_ABOUT: json.dumps(about)})


def from_file(path: str) -> tuple[Tensors, dict[str, Any]]:
    """Inverse of `to_bytes`. Raises ValueError for a file that is not whole, or is none of ours."""
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})[_ABOUT])
            # Copied, because the file's own memory map would not outlive a change of the file.
            return {key: file.get_tensor(key).clone() for key in file.keys()}, about  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is not a snapshot: {error}") from error


def _objects(state: State) -> list[tuple[int, dict[str, dict[int, Output]]]]:
    return [
        (object_id, state["output_dict_per_obj"][obj_idx])
        for object_id, obj_idx in state["obj_id_to_idx"].items()
    ]


def _flat(object_id: int, kind: str, frame: int, out: Output, names: set[str]) -> Tensors:
    return {
        f"{object_id}/{kind}/{frame}/{name}": torch.as_tensor(out[name])
        for name in names - {_MADE_AGAIN}
        if out.get(name) is not None
    }


def _place(key: str) -> tuple[int, str, int, str]:
    object_id, kind, frame, name = key.split("/")
    return int(object_id), kind, int(frame), name


def _nothing() -> Output:
    names = ("maskmem_features", _MADE_AGAIN, "pred_masks", "obj_ptr")
    return dict.fromkeys((*names, "object_score_logits", "predicted_iou"))


def _position_encodings(
    predictor: StreamingVideoPredictor, state: State, features_bchw: torch.Tensor
) -> list[torch.Tensor]:
    """Those that the memory encoder returns beside features of this shape (memory_encoder.py:179).

    They depend on the shape alone, and are cached as VP:836 does.
    """
    if _MADE_AGAIN not in state["constants"]:
        shape = torch.zeros(features_bchw.shape, device=state["device"])
        dtype = next(predictor.memory_encoder.parameters()).dtype
        state["constants"][_MADE_AGAIN] = [
            predictor.memory_encoder.position_encoding(shape)[0:1].to(dtype)
        ]
    return [
        each.expand(features_bchw.shape[0], -1, -1, -1) for each in state["constants"][_MADE_AGAIN]
    ]
