"""The inner steps of SAM2's video predictor, on a state that does not grow with the video.

Comments name the lines they mirror of sam2 1.1.0: VP is sam2/sam2_video_predictor.py, SB is
sam2/modeling/sam2_base.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from sam2.sam2_video_predictor import SAM2VideoPredictor

from tracker.models.bounded_state import (
    Output,
    Outputs,
    Reach,
    TrackedFrames,
    forget,
    nearest_prompted,
    passed_prompts,
    prompted_frames,
    readable,
)
from tracker.models.holes import fill_holes

State = dict[str, Any]
"""SAM2's `inference_state`."""

Tracked = tuple[torch.Tensor, Output]
"""One object on one frame: mask logits (1, 1, h, w) at the decoder's resolution, and its output."""


class BoundedPredictor(SAM2VideoPredictor):
    """`SAM2VideoPredictor` that forgets what it cannot read again, and keeps the predicted IoU.

    The public methods are those of `tracker.models.streaming.StreamingVideoPredictor`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._reach = Reach.of(self)
        self._max_cond_frames: int | None = None

    def _track_objects(self, state: State, frame_idx: int, reverse: bool) -> list[Tracked]:
        """Every object on one frame, in their order, as VP:585-614; then forget what is not read.

        Raises:
            EndOfVideo: when the source has no such frame.
        """
        results = [
            self._on_prompted_frame(state, obj_idx, frame_idx)
            or self._track_together(state, [obj_idx], outputs, frame_idx, reverse)[0]
            for obj_idx, outputs in sorted(state["output_dict_per_obj"].items())
        ]
        self._remember_only_what_is_read(state, frame_idx, reverse)
        return results

    def _on_prompted_frame(self, state: State, obj_idx: int, frame_idx: int) -> Tracked | None:
        """What the prompt gave, if the object has one on this frame."""
        out = state["output_dict_per_obj"][obj_idx]["cond_frame_outputs"].get(frame_idx)
        if out is None:
            return None
        if self.clear_non_cond_mem_around_input:
            self._clear_obj_non_cond_mem_around_input(state, frame_idx, obj_idx)
        return out["pred_masks"].to(state["device"]), out

    def _track_together(
        self, state: State, obj_indices: Sequence[int], past: Any, frame_idx: int, reverse: bool
    ) -> list[Tracked]:
        """Objects that are not prompted on this frame, in one pass; their outputs are stored.

        Args:
            past: what `_prepare_memory_conditioned_features` gets as `output_dict`.
        """
        out, pred_masks = self._run_single_frame_inference(
            inference_state=state,
            output_dict=past,
            frame_idx=frame_idx,
            batch_size=1,
            is_init_cond_frame=False,
            point_inputs=None,
            mask_inputs=None,
            reverse=reverse,
            run_mem_encoder=True,
        )
        outs = [out] if len(obj_indices) == 1 else split_objects(out, len(obj_indices))
        for obj_idx, one in zip(obj_indices, outs, strict=True):
            outputs = state["output_dict_per_obj"][obj_idx]
            outputs["non_cond_frame_outputs"][frame_idx] = one
        return list(zip(pred_masks.split(1), outs, strict=True))

    def _remember_only_what_is_read(self, state: State, frame_idx: int, reverse: bool) -> None:
        outputs_of_objects = state["output_dict_per_obj"]
        for obj_idx, outputs in outputs_of_objects.items():
            state["frames_tracked_per_obj"][obj_idx][frame_idx] = {"reverse": reverse}
            for t in passed_prompts(outputs, frame_idx, reverse, self._max_cond_frames):
                del outputs["cond_frame_outputs"][t]
                state["point_inputs_per_obj"][obj_idx].pop(t, None)
                state["mask_inputs_per_obj"][obj_idx].pop(t, None)
        prompted = sorted(prompted_frames(outputs_of_objects.values()))
        anchors = {*nearest_prompted(prompted, frame_idx, self._max_cond_frames), frame_idx}
        for outputs in outputs_of_objects.values():
            forget(outputs, anchors, self._reach)

    def _obj_id_to_idx(self, inference_state: State, obj_id: Any) -> int:
        """As VP:118, with room for any number of tracked frames."""
        obj_idx = super()._obj_id_to_idx(inference_state, obj_id)
        tracked = inference_state["frames_tracked_per_obj"]
        if not isinstance(tracked[obj_idx], TrackedFrames):
            tracked[obj_idx] = TrackedFrames()
        return obj_idx

    def _clear_obj_non_cond_mem_around_input(
        self, state: State, frame_idx: int, obj_idx: int
    ) -> None:
        """The method that VP:526 and VP:598 call and sam2 lacks: VP:956-974 for one object."""
        reach = self.memory_temporal_stride_for_eval * self.num_maskmem
        outputs = state["output_dict_per_obj"][obj_idx]["non_cond_frame_outputs"]
        for frame in range(frame_idx - reach, frame_idx + reach + 1):
            outputs.pop(frame, None)

    def _run_single_frame_inference(
        self,
        inference_state: State,
        output_dict: Outputs,
        frame_idx: int,
        batch_size: int,
        is_init_cond_frame: bool,
        point_inputs: Any,
        mask_inputs: Any,
        reverse: bool,
        run_mem_encoder: bool,
        prev_sam_mask_logits: torch.Tensor | None = None,
    ) -> tuple[Output, torch.Tensor]:
        """As VP:737-803, with the predicted IoU, and holes filled without SAM2's extension."""
        _, _, features, position_encodings, sizes = self._get_image_feature(
            inference_state, frame_idx, batch_size
        )
        out = self.track_step(
            frame_idx=frame_idx,
            is_init_cond_frame=is_init_cond_frame,
            current_vision_feats=features,
            current_vision_pos_embeds=position_encodings,
            feat_sizes=sizes,
            point_inputs=point_inputs,
            mask_inputs=mask_inputs,
            output_dict=output_dict,
            num_frames=inference_state["num_frames"],
            track_in_reverse=reverse,
            run_mem_encoder=run_mem_encoder,
            prev_sam_mask_logits=prev_sam_mask_logits,
        )
        storage = inference_state["storage_device"]
        memory = out["maskmem_features"]
        pred_masks = fill_holes(out["pred_masks"], self.fill_hole_area)
        compact = {
            "maskmem_features": None if memory is None else memory.to(storage, torch.bfloat16),
            "maskmem_pos_enc": self._get_maskmem_pos_enc(inference_state, out),
            "pred_masks": pred_masks.to(storage),
            "obj_ptr": out["obj_ptr"],
            "object_score_logits": out["object_score_logits"],
            "predicted_iou": out["predicted_iou"].float(),
        }
        return compact, pred_masks

    def _track_step(self, *args: Any, **kwargs: Any) -> Any:
        """As SB:728, which throws the predicted IoUs away. SB:383 takes the mask of the largest."""
        current_out, sam_outputs, *features = super()._track_step(*args, **kwargs)
        ious_bm = sam_outputs[2]
        current_out["predicted_iou"] = ious_bm.max(dim=-1).values
        return current_out, sam_outputs, *features

    def _prepare_memory_conditioned_features(
        self, frame_idx: int, output_dict: Outputs, **kwargs: Any
    ) -> torch.Tensor:
        """As SB:497; outputs that have kept only their pointer are not taken for memories.

        Memories are stored in bfloat16. SAM2 leaves it to an object pointer among them to bring the
        weights' type back, and crashes without autocast when there is none: when an object is only
        prompted later on. A conversion of the prompted ones changes no bits and covers that.
        """
        outputs = readable(output_dict, frame_idx, self._reach)
        dtype = self.maskmem_tpos_enc.dtype
        outputs["cond_frame_outputs"] = {
            frame: {**out, "maskmem_features": out["maskmem_features"].to(dtype)}
            for frame, out in outputs["cond_frame_outputs"].items()
        }
        return super()._prepare_memory_conditioned_features(
            frame_idx=frame_idx, output_dict=outputs, **kwargs
        )

    def _consolidate_temp_output_across_obj(
        self, inference_state: State, frame_idx: int, *args: Any, **kwargs: Any
    ) -> Output:
        """As VP:405; an object whose mask on this frame was dropped is shown as absent."""
        shown = {
            obj_idx: {
                kind: {t: out for t, out in outs.items() if out["pred_masks"] is not None}
                for kind, outs in outputs.items()
            }
            for obj_idx, outputs in inference_state["output_dict_per_obj"].items()
        }
        state = {**inference_state, "output_dict_per_obj": shown}
        return super()._consolidate_temp_output_across_obj(state, frame_idx, *args, **kwargs)


def split_objects(out: Output, count: int) -> list[Output]:
    """The outputs of objects that were tracked together, each with memory of its own."""
    own = ("maskmem_features", "pred_masks", "obj_ptr", "object_score_logits", "predicted_iou")
    positions = out["maskmem_pos_enc"]
    return [
        {
            **{key: out[key][i : i + 1].clone() for key in own},
            "maskmem_pos_enc": [table[:1] for table in positions],
        }
        for i in range(count)
    ]
