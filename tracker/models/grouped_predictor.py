"""All objects of a frame in one pass of the model, as far as their memories have one layout.

With `exact` every method here is the one of `BoundedPredictor`: one object at a time by SAM2's own
code, whose bits it keeps. Comments name the lines they mirror of sam2 1.1.0: SB is
sam2/modeling/sam2_base.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from tracker.errors import VideoError
from tracker.models.bounded_predictor import BoundedPredictor, State, Tracked
from tracker.models.bounded_state import Outputs, Reach
from tracker.models.choosing import choose
from tracker.models.colour_memory import remembered_colours
from tracker.models.compiling import CompiledParts
from tracker.models.derived import forget_derived
from tracker.models.engine_options import EngineOptions
from tracker.models.frames import EndOfVideo
from tracker.models.memory_policies import POLICIES, Candidates, MemoryPolicy
from tracker.models.memory_reading import MemoryReader, Reading
from tracker.models.neck import project_at_once
from tracker.models.precision import computing_in, lower, resolve_precision
from tracker.models.recording import Recorded, graph_capture
from tracker.models.sam_heads import HeadOutputs, Proposals, decode_masks, enlarged, propose, settle
from tracker.models.shared_attention import attend, attend_by_products
from tracker.models.tables import cache_tables
from tracker.models.windows import leave_out_padding
from tracker.prompted_colours import colour_bins, in_square

MOST_TOGETHER = 16
"""Objects in one pass: beyond this the memory it takes grows, and the speed no longer does."""


@dataclass(frozen=True)
class Group:
    """Objects that read alike, in the place of SAM2's `output_dict` of one object."""

    reading: Reading
    members: tuple[Outputs, ...]


class GroupedPredictor(BoundedPredictor):
    """`BoundedPredictor` with the switches of `EngineOptions`.

    Attributes:
        options: the switches; set them with `configure`.
        compute_dtype: float type of the heavy arithmetic.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        cache_tables(self)
        self._candidates: tuple[torch.Tensor, torch.Tensor] | None = None
        self._tracked: tuple[State, Sequence[int], int] | None = None
        self._taken_b: torch.Tensor | None = None
        self.configure(EngineOptions(precision="fp32"))
        self.register_load_state_dict_post_hook(lambda *_: self._forget_tables())

    def configure(self, options: EngineOptions) -> None:
        """Take the switches. Call it once, with the weights loaded: what is cast stays cast."""
        self.options = options
        precision = "fp32" if options.exact and options.precision == "auto" else options.precision
        self.compute_dtype = resolve_precision(precision, self.device, self.image_size)
        lower(self, self.compute_dtype)
        if self.device.type == "cpu" and self.compute_dtype == torch.bfloat16 and not options.exact:
            attend_by_products(self.image_encoder.trunk)
        plain = options.exact or self.device.type != "cpu"
        # oneDNN is faster at channels-last convolutions, and has other bits.
        layout = torch.contiguous_format if plain else torch.channels_last
        self.image_encoder.to(memory_format=layout)
        leave_out_padding(self.image_encoder.trunk, wanted=not plain)
        project_at_once(self, wanted=not plain)
        small = self.image_size < 512  # larger frames fill matrix products alone
        self._batch_frames = options.batch_frames or (4 if small and not plain else 1)
        self._policy: MemoryPolicy = POLICIES[options.memory_policy]()
        self._max_cond_frames = None if options.exact else options.max_cond_frames
        slots = self.num_maskmem - 1
        reach = self._policy.reach(self.memory_temporal_stride_for_eval, slots)
        self._reach = Reach(reach, Reach.of(self).pointer)
        self._reader = MemoryReader(self, self._policy, self._max_cond_frames)
        self._prepare_steady_parts()

    @property
    def fits_edges(self) -> bool:
        """Whether masks are fitted to the picture when they are handed out."""
        return self.options.fits_edges(self.image_size)

    @property
    def asks_picture(self) -> bool:
        """Whether the picture has a say in which candidate mask of a frame is taken."""
        return self.options.asks_picture(self.image_size)

    def _prepare_steady_parts(self) -> None:
        """What a propagated frame is made of, compiled and recorded as far as the switches say."""
        options = self.options
        attention = CompiledParts(self).attend if options.compile else attend
        remember = super()._encode_new_memory
        decode = partial(propose if self.asks_picture else decode_masks, self)
        parts = [super().forward_image, attention, decode, remember]
        self._recorded: list[Recorded] = []
        wanted = (options.graphs or options.compile) and not options.exact
        if capture := wanted and graph_capture(self.device):
            parts = self._recorded = [Recorded(part, capture) for part in parts]
        self._encode_image, self._attend, self._decode, self._remember = parts

    def _forget_tables(self) -> None:
        """Other weights were loaded."""
        self._reader.clear()
        forget_derived(self)
        for part in self._recorded:
            part.clear()

    def _track_objects(self, state: State, frame_idx: int, reverse: bool) -> list[Tracked]:
        """As the base class, objects that read alike together."""
        if self.options.exact or self.non_overlap_masks_for_mem_enc:
            return super()._track_objects(state, frame_idx, reverse)
        results: dict[int, Tracked] = {}
        groups: dict[Reading, list[int]] = {}
        for obj_idx, outputs in state["output_dict_per_obj"].items():
            if shown := self._on_prompted_frame(state, obj_idx, frame_idx):
                results[obj_idx] = shown
            else:
                reading = self._reader.reading(outputs, frame_idx, state["num_frames"], reverse)
                groups.setdefault(reading, []).append(obj_idx)
        for reading, alike in groups.items():
            for first in range(0, len(alike), MOST_TOGETHER):
                members = alike[first : first + MOST_TOGETHER]
                group = Group(reading, tuple(state["output_dict_per_obj"][i] for i in members))
                tracked = self._track_together(state, members, group, frame_idx, reverse)
                results.update(zip(members, tracked, strict=True))
        self._remember_only_what_is_read(state, frame_idx, reverse)
        return [results[obj_idx] for obj_idx in sorted(results)]

    def _track_together(self, state: State, obj_indices: Any, *args: Any) -> list[Tracked]:
        """As the base class; then the memory policy looks at every object."""
        self._tracked = state, obj_indices, args[1]
        try:
            tracked = super()._track_together(state, obj_indices, *args)
        finally:
            self._tracked = None
        if self._candidates is not None:
            masks_bmhw, best_b = (each.cpu().numpy() for each in self._candidates)
            for i, (obj_idx, (_, out)) in enumerate(zip(obj_indices, tracked, strict=True)):
                candidates = Candidates(
                    masks_mhw=masks_bmhw[i],
                    chosen=int(best_b[i]),
                    predicted_iou=float(out["predicted_iou"]),
                    object_score=float(out["object_score_logits"]),
                )
                self._policy.note(state["output_dict_per_obj"][obj_idx], args[1], candidates)
        return tracked

    def encode_ahead(self, state: State, frames: range) -> None:
        """Encode the first of `frames`, and as many of the next as the switches say, at once.

        Unless they say so, never from a source that is not read ahead. Batches end at multiples of
        their size, so that a pass that goes on from a snapshot makes the same ones.

        Raises:
            EndOfVideo: when the source does not have the first one.
        """
        batch = self._batch_frames
        waits = self.options.batch_frames is None and not state["images"].reads_ahead
        if batch == 1 or waits or not frames or frames[0] in state["cached_features"]:
            return
        past = frames[0] if frames.step == 1 else -1 - frames[0]
        images = []
        for frame_idx in frames[: batch - past % batch]:
            try:
                images.append(state["images"][frame_idx].to(state["device"]))
            except (EndOfVideo, VideoError):
                if not images:
                    raise
                break  # until it is that frame's turn
        encoded = self.forward_image(torch.stack(images))
        maps = ("backbone_fpn", "vision_pos_enc")
        state["cached_features"] = {
            frame_idx: (image[None], {key: [m[i : i + 1] for m in encoded[key]] for key in maps})
            for i, (frame_idx, image) in enumerate(zip(frames, images, strict=False))
        }

    def _get_orig_video_res_output(
        self, inference_state: State, any_res_masks: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As VP:383; on a CPU with OpenCV, five times as fast and the same to the fifth digit."""
        size_hw = inference_state["video_height"], inference_state["video_width"]
        masks = any_res_masks
        if not self.options.exact and masks.device.type == "cpu":
            masks = enlarged(masks, size_hw)
        _, video_masks = super()._get_orig_video_res_output(inference_state, masks)
        return any_res_masks, video_masks

    def forward_image(self, img_batch: torch.Tensor) -> Any:
        """As SB:466, in the precision of the switches."""
        with computing_in(self.compute_dtype, self.device):
            return self._encode_image(img_batch)

    def track_step(self, *args: Any, **kwargs: Any) -> Any:
        """As SB:816, in the precision of the switches."""
        with computing_in(self.compute_dtype, self.device):
            return super().track_step(*args, **kwargs)

    def _encode_new_memory(
        self,
        current_vision_feats: list[torch.Tensor],
        feat_sizes: list[tuple[int, int]],
        pred_masks_high_res: torch.Tensor,
        object_score_logits: torch.Tensor,
        is_mask_from_pts: bool,
    ) -> Any:
        """As SB:676, in the precision of the switches. Of the feature maps the last is read."""
        maps, sizes = current_vision_feats[-1:], feat_sizes[-1:]
        inputs = (maps, sizes, pred_masks_high_res, object_score_logits, is_mask_from_pts)
        with computing_in(self.compute_dtype, self.device):
            if not is_mask_from_pts:
                return self._remember(*inputs)
            with self._uncompiled():
                return super()._encode_new_memory(*inputs)

    def _uncompiled(self) -> AbstractContextManager[Any]:
        """For prompts, whose shapes come and go: to compile for each would take too long."""
        return torch.compiler.set_stance("force_eager") if self.options.compile else nullcontext()

    def _track_step(self, *args: Any, **kwargs: Any) -> Any:
        """As the base class; a memory policy that looks at the candidate masks finds them here."""
        self._taken_b = None
        result = super()._track_step(*args, **kwargs)
        masks_bmhw, _, ious_bm = result[1][:3]
        taken_b = ious_bm.argmax(dim=-1) if self._taken_b is None else self._taken_b
        result[0]["predicted_iou"] = ious_bm.gather(1, taken_b[:, None])[:, 0]
        if self._policy.needs_candidates:
            self._candidates = (masks_bmhw > 0, taken_b)
        return result

    def _prepare_memory_conditioned_features(
        self, frame_idx: int, output_dict: Any, **kwargs: Any
    ) -> torch.Tensor:
        """As SB:497, for a `Group`, or one object's outputs; (b, c, h, w)."""
        without_memory = kwargs["is_init_cond_frame"] or self.num_maskmem == 0
        if self.options.exact or without_memory:
            return super()._prepare_memory_conditioned_features(
                frame_idx=frame_idx, output_dict=output_dict, **kwargs
            )
        frame_count, reverse = kwargs["num_frames"], kwargs["track_in_reverse"]
        if not isinstance(output_dict, Group):
            reading = self._reader.reading(output_dict, frame_idx, frame_count, reverse)
            output_dict = Group(reading, (output_dict,))
        reading = output_dict.reading
        memory = self._reader.tokens(output_dict.members, reading, frame_count)
        image_1nc = kwargs["current_vision_feats"][-1].transpose(0, 1)
        positions_1nc = kwargs["current_vision_pos_embeds"][-1].transpose(0, 1)
        attention = self._attend if self._reader.is_full(reading) else attend
        out_bnc = attention(self.memory_attention, image_1nc, positions_1nc, memory)
        return out_bnc.transpose(1, 2).unflatten(2, kwargs["feat_sizes"][-1])

    def _forward_sam_heads(
        self,
        backbone_features: torch.Tensor,
        point_inputs: Any = None,
        mask_inputs: Any = None,
        high_res_features: Any = None,
        multimask_output: bool = False,
    ) -> HeadOutputs:
        """As SB:247, but for rounding with less work."""
        inputs = (backbone_features, point_inputs, mask_inputs, high_res_features, multimask_output)
        if self.options.exact:
            heads: HeadOutputs = super()._forward_sam_heads(*inputs)
            return heads
        if point_inputs is not None or mask_inputs is not None:
            with self._uncompiled():
                return decode_masks(self, *inputs)
        if not self.asks_picture:
            return self._decode(*inputs)
        proposals = self._decode(*inputs)
        self._taken_b = self._preferred(proposals)
        return settle(self, proposals, self._taken_b)

    def _preferred(self, proposals: Proposals) -> torch.Tensor:
        """The candidate to take of every object that is tracked, int64 (b,)."""
        taken_b = proposals.ious_bm.argmax(dim=-1)
        if self._tracked is None or proposals.ious_bm.shape[1] == 1:
            return taken_b
        state, obj_indices, frame_idx = self._tracked
        bins_hw = colour_bins(in_square(state["images"].source[frame_idx]))
        masks_bmhw = proposals.masks_bmhw.cpu().numpy()
        ious_bm = proposals.ious_bm.float().cpu().numpy()
        for i, obj_idx in enumerate(obj_indices):
            prompted = state["output_dict_per_obj"][obj_idx]["cond_frame_outputs"]
            if colours := remembered_colours(prompted.values()):
                taken_b[i] = choose(masks_bmhw[i], ious_bm[i], colours, bins_hw)
        return taken_b
