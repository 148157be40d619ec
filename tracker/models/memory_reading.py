"""What an object reads of its past on a frame: named first, so that objects that read alike meet.

Comments name the lines they mirror of sam2 1.1.0: SB is sam2/modeling/sam2_base.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from sam2.modeling.sam2_utils import get_1d_sine_pe, select_closest_cond_frames
from torch.utils._pytree import register_pytree_node

from tracker.models.bounded_state import Output, Outputs, nearest_prompted
from tracker.models.memory_policies import MemoryPolicy, Slot


@dataclass(frozen=True)
class Reading:
    """The memories and object pointers that are read on a frame, in SAM2's order.

    Objects with equal readings have memories of one layout, and go through the model together.

    Attributes:
        memories: slot and frame of every memory.
        pointers: distance in frames, signed as the model wants it, and frame of every pointer.
    """

    memories: tuple[Slot, ...]
    pointers: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class MemoryTokens:
    """The past of a group of objects, as the memory attention takes it.

    Attributes:
        tokens_bmc: one row of tokens per object.
        positions_1mc: their positions in space and time, the same for every object.
        pointer_count: how many tokens at the end are parts of object pointers.
    """

    tokens_bmc: torch.Tensor
    positions_1mc: torch.Tensor
    pointer_count: int

    def one_by_one(self) -> Iterator[MemoryTokens]:
        """The same for each object alone."""
        for tokens_1mc in self.tokens_bmc.split(1):
            yield MemoryTokens(tokens_1mc, self.positions_1mc, self.pointer_count)


# What records a function looks for tensors in its arguments.
register_pytree_node(
    MemoryTokens,
    lambda memory: ([memory.tokens_bmc, memory.positions_1mc, memory.pointer_count], None),
    lambda parts, _: MemoryTokens(*parts),
)


class MemoryReader:
    """Reads the stored outputs of objects for one model, by one memory policy."""

    def __init__(self, model: Any, policy: MemoryPolicy, max_cond_frames: int | None) -> None:
        self._model = model
        self._policy = policy
        self._max_cond_frames = max_cond_frames
        self._positions: tuple[tuple[int, ...], torch.Tensor] | None = None

    def clear(self) -> None:
        """Forget positions that depend on the weights."""
        self._positions = None

    def reading(self, outputs: Outputs, frame: int, frame_count: int, reverse: bool) -> Reading:
        """What one object reads on `frame`, as SB:527-620; only what is stored is named."""
        near = nearest_prompted(outputs["cond_frame_outputs"], frame, self._max_cond_frames)
        prompted = {t: outputs["cond_frame_outputs"][t] for t in sorted(near)}
        selected, others = select_closest_cond_frames(
            frame, prompted, self._model.max_cond_frames_in_attn
        )
        stored = {**others, **outputs["non_cond_frame_outputs"]}
        return Reading(
            self._memories(selected, stored, outputs, frame, reverse),
            self._pointers(selected, stored, frame, frame_count, reverse),
        )

    def is_full(self, reading: Reading) -> bool:
        """Whether nothing is missing that a longer past would add, so that shapes have settled."""
        model = self._model
        recent = sum(slot > 0 for slot, _ in reading.memories)
        prompted = {t for slot, t in reading.memories if slot == 0}
        pointers = sum(t not in prompted for _, t in reading.pointers)
        most = model.max_obj_ptrs_in_encoder - 1 if model.use_obj_ptrs_in_encoder else 0
        return recent == model.num_maskmem - 1 and pointers == most

    def _memories(
        self,
        selected: dict[int, Output],
        stored: dict[int, Output],
        outputs: Outputs,
        frame: int,
        reverse: bool,
    ) -> tuple[Slot, ...]:
        stride, slots = self._model.memory_temporal_stride_for_eval, self._model.num_maskmem - 1
        recent = self._policy.recent(outputs, frame, reverse, stride, slots)
        there = [(slot, t) for slot, t in recent if t in stored]
        there = [(slot, t) for slot, t in there if stored[t]["maskmem_features"] is not None]
        return (*((0, t) for t in selected), *there)

    def _pointers(
        self,
        selected: dict[int, Output],
        stored: dict[int, Output],
        frame: int,
        frame_count: int,
        reverse: bool,
    ) -> tuple[tuple[int, int], ...]:
        """As SB:581-620."""
        model, step = self._model, -1 if reverse else 1
        if not model.use_obj_ptrs_in_encoder:
            return ()
        past = [
            t
            for t in selected
            if not model.only_obj_ptrs_in_the_past_for_eval or (frame - t) * step >= 0
        ]
        signed = model.use_signed_tpos_enc_to_obj_ptrs
        pointers = [((frame - t) * step if signed else abs(frame - t), t) for t in past]
        for distance in range(1, min(frame_count, model.max_obj_ptrs_in_encoder)):
            t = frame - distance * step
            if t in stored:
                pointers.append((distance, t))
        return tuple(pointers)

    def tokens(self, group: Sequence[Outputs], reading: Reading, frame_count: int) -> MemoryTokens:
        """Fetch what every object of `group` has stored for `reading`."""
        model = self._model
        like = model.maskmem_tpos_enc
        dtype = model.compute_dtype
        maps_nchw = torch.cat(
            [
                _stored(outputs, t)["maskmem_features"].to(like.device, dtype)
                for outputs in group
                for _, t in reading.memories
            ]
        )
        maps_bkcn = maps_nchw.flatten(2).unflatten(0, (len(group), -1))
        tokens_bmc = maps_bkcn.transpose(2, 3).flatten(1, 2)
        places = [self._space_and_time(group[0], reading)]
        pointer_count = 0
        if reading.pointers:
            pointers_bpc = torch.stack(
                [torch.cat([_stored(o, t)["obj_ptr"] for _, t in reading.pointers]) for o in group]
            )
            width = model.mem_dim if model.mem_dim < model.hidden_dim else model.hidden_dim
            pointers_bmc = pointers_bpc.reshape(len(group), -1, width).to(like.device, dtype)
            pointer_count = pointers_bmc.shape[1]
            tokens_bmc = torch.cat([tokens_bmc, pointers_bmc], dim=1)
            places.append(self._distances(reading, frame_count))
        return MemoryTokens(tokens_bmc, torch.cat(places)[None], pointer_count)

    def _space_and_time(self, outputs: Outputs, reading: Reading) -> torch.Tensor:
        """Positions of the memories' tokens, (m, c) as SB:566-575; the last ones are kept."""
        slots = tuple(slot for slot, _ in reading.memories)
        if self._positions is None or self._positions[0] != slots:
            model = self._model
            grid_11chw = _stored(outputs, reading.memories[0][1])["maskmem_pos_enc"][-1]
            grid_nc = grid_11chw[0].flatten(1).T.to(model.maskmem_tpos_enc.device)
            ages = model.maskmem_tpos_enc[:, 0]
            places = [grid_nc + ages[model.num_maskmem - slot - 1] for slot in slots]
            self._positions = slots, torch.cat(places).to(model.compute_dtype)
        return self._positions[1]

    def _distances(self, reading: Reading, frame_count: int) -> torch.Tensor:
        """Positions of the pointers' tokens, (m, c) as SB:626-648."""
        model = self._model
        parts = max(1, model.hidden_dim // model.mem_dim)
        device, dtype = model.maskmem_tpos_enc.device, model.compute_dtype
        if not model.add_tpos_enc_to_obj_ptrs:
            return torch.zeros(
                len(reading.pointers) * parts, model.mem_dim, device=device, dtype=dtype
            )
        farthest = min(frame_count, model.max_obj_ptrs_in_encoder) - 1
        distances = torch.tensor([d for d, _ in reading.pointers]).to(device, non_blocking=True)
        width = model.hidden_dim if model.proj_tpos_enc_in_obj_ptrs else model.mem_dim
        encoded_pc = model.obj_ptr_tpos_proj(get_1d_sine_pe(distances / farthest, dim=width))
        return encoded_pc.repeat_interleave(parts, dim=0).to(dtype)


def _stored(outputs: Outputs, frame: int) -> Output:
    out = outputs["cond_frame_outputs"].get(frame)
    return out if out is not None else outputs["non_cond_frame_outputs"][frame]
