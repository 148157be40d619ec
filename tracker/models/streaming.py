"""SAM2's video predictor with lazy frames and a state that does not grow with the video.

The masks are those of `sam2.sam2_video_predictor.SAM2VideoPredictor`, bit for bit; a script written
for it runs on this one unchanged. Comments name the lines they mirror of sam2 1.1.0: VP is
sam2/sam2_video_predictor.py, SB is sam2/modeling/sam2_base.py. `docs/streaming.md` says what is
kept, and where the two differ on purpose.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.build_sam import HF_MODEL_ID_TO_FILENAMES

from tracker.edges import fit_all_to_edges
from tracker.errors import ModelError, PromptError, SettingsError, VideoError
from tracker.masks import BoolMask
from tracker.models.bounded_predictor import State
from tracker.models.bounded_state import GIVEN, Output
from tracker.models.building import build_from_config, load_weights
from tracker.models.colour_memory import colours_of_objects, remember_colours
from tracker.models.device import pick_device
from tracker.models.engine_options import MAX_COND_FRAMES, EngineOptions
from tracker.models.frames import EndOfVideo, FrameSource, FrameTensors, open_frames
from tracker.models.grouped_predictor import GroupedPredictor
from tracker.models.prompt_checks import check_frame_index, check_mask, check_points_and_box
from tracker.models.registry import resolve
from tracker.prompted_colours import Colours
from tracker.settings import Candidates, Edges, Precision
from tracker.types import ObjectMask

VideoMasks = tuple[int, list[Any], torch.Tensor]
"""SAM2's answer: frame index, object ids, mask logits (objects, 1, height, width), float32."""

_CLASS_OVERRIDE = "++model._target_=tracker.models.streaming.StreamingVideoPredictor"

# build_sam.py:119-130. They stand here because there they would overrule the caller's overrides.
POSTPROCESSING = (
    "++model.sam_mask_decoder_extra_args.dynamic_multimask_via_stability=true",
    "++model.sam_mask_decoder_extra_args.dynamic_multimask_stability_delta=0.05",
    "++model.sam_mask_decoder_extra_args.dynamic_multimask_stability_thresh=0.98",
    "++model.binarize_mask_from_pts_for_mem_enc=true",
    "++model.fill_hole_area=8",
)

_log = logging.getLogger(__name__)


def build_streaming_video_predictor(
    config_file: str | PathLike[str],
    ckpt_path: str | PathLike[str] | None = None,
    device: str | torch.device = "cuda",
    mode: str = "eval",
    hydra_overrides_extra: Sequence[str] = (),
    apply_postprocessing: bool = True,
    *,
    exact: bool | None = None,
    precision: Precision = "auto",
    compile: bool = False,
    batch_frames: int | None = None,
    memory_policy: str = "sam2",
    max_cond_frames: int | None = MAX_COND_FRAMES,
    graphs: bool = False,
    edges: Edges = "model",
    candidates: Candidates = "model",
    **kwargs: Any,
) -> StreamingVideoPredictor:
    """As `sam2.build_sam.build_sam2_video_predictor`, which it calls, for the streaming predictor.

    Args:
        config_file: a config of the package sam2, such as `configs/sam2.1/sam2.1_hiera_t.yaml`, or
            the path of a YAML file of the same form.
        ckpt_path: weights in SAM2's form, `{"model": state dict}`, in any float type. Code inside
            is never run. None leaves the weights random.
        device: as `tracker.models.device.pick_device`. The default, `cuda`, means `auto` on a
            machine without CUDA, so that scripts written for SAM2 run there too.
        mode: `eval`, or anything else for training mode.
        hydra_overrides_extra: Hydra overrides. They win over all that is set here.
        apply_postprocessing: SAM2's own set of overrides, which fills holes up to 8 low-resolution
            pixels and falls back to one of three masks when the single one is unstable.
        exact: None keeps SAM2's bits unless another switch is given, which says that they need not
            be kept; False groups objects, which is faster and differs by rounding.
        precision, compile, batch_frames, memory_policy, max_cond_frames, graphs, edges, candidates:
            see `tracker.models.engine_options.EngineOptions`.

    Raises:
        ModelError: for a config that cannot be found or built, or weights that cannot be read or do
            not fit it; the message names what was expected and what was found.
        SettingsError: for a device that is not here, a switch that is not known or contradicts
            another, or `vos_optimized=True` (`compile=True` takes its place).
    """
    if kwargs.get("vos_optimized"):
        raise SettingsError("the streaming predictor has no vos_optimized; give compile=True")
    options = EngineOptions(
        precision=precision,
        compile=compile,
        batch_frames=batch_frames,
        memory_policy=memory_policy,
        max_cond_frames=max_cond_frames,
        graphs=graphs,
        edges=edges,
        candidates=candidates,
    )
    options = replace(options, exact=options == EngineOptions() if exact is None else exact)
    if device == "cuda" and not torch.cuda.is_available():
        device = "auto"
        _log.info("no CUDA device here; running on %s", pick_device(device))
    postprocessing = POSTPROCESSING if apply_postprocessing else ()
    overrides = [_CLASS_OVERRIDE, *postprocessing, *hydra_overrides_extra]
    predictor = build_from_config(config_file, pick_device(device), mode, overrides, **kwargs)
    if ckpt_path is not None:
        load_weights(predictor, Path(ckpt_path), str(config_file))
    predictor.configure(options)
    return predictor


class StreamingVideoPredictor(GroupedPredictor):
    """`SAM2VideoPredictor` for videos of any length.

    Same methods, same masks. Corrections of frames that were tracked before are lasting:
    `add_all_frames_to_correct_as_cond` is true unless an override sets it. Prompts are checked
    before anything changes. No progress bar is printed.
    """

    def __init__(self, *, add_all_frames_to_correct_as_cond: bool = True, **kwargs: Any) -> None:
        super().__init__(
            add_all_frames_to_correct_as_cond=add_all_frames_to_correct_as_cond, **kwargs
        )

    @classmethod
    def from_pretrained(cls, model_id: str, **kwargs: Any) -> StreamingVideoPredictor:
        """The pulled model of a hub id such as `facebook/sam2.1-hiera-tiny`.

        Nothing is downloaded: raises ModelError, naming the command that would, unless installed.
        """
        if model_id not in HF_MODEL_ID_TO_FILENAMES:
            known = ", ".join(HF_MODEL_ID_TO_FILENAMES)
            raise ModelError(f"unknown hub id {model_id!r}; known: {known}")
        files = resolve(HF_MODEL_ID_TO_FILENAMES[model_id][1].removesuffix(".pt"), "sam2")
        return build_streaming_video_predictor(files.config, files.path, **kwargs)

    @torch.inference_mode()
    def init_state(
        self,
        video_path: str | PathLike[str] | FrameSource | Iterable[NDArray[np.uint8]],
        offload_video_to_cpu: bool = False,
        offload_state_to_cpu: bool = False,
        async_loading_frames: bool = False,
    ) -> State:
        """A new inference state over a video, of which the first frame alone is read.

        Args:
            video_path: a video file, a folder of images, a FrameSource, or RGB uint8 frames that
                come one by one, from a camera say; of these the newest alone are kept.
            offload_video_to_cpu: normalise frames on the CPU instead of the model's device.
            offload_state_to_cpu: keep memories on the CPU.
            async_loading_frames: without effect; frames are always read when needed.

        Raises:
            VideoError: for a video that cannot be opened or has no frames.
        """
        source = open_frames(video_path)
        device = torch.device("cpu") if offload_video_to_cpu else self.device
        state: State = {
            "images": FrameTensors(source, self.image_size, device),
            "num_frames": len(source),
            "offload_video_to_cpu": offload_video_to_cpu,
            "offload_state_to_cpu": offload_state_to_cpu,
            "video_height": source.height,
            "video_width": source.width,
            "device": self.device,
            "storage_device": torch.device("cpu") if offload_state_to_cpu else self.device,
            "cached_features": {},
            "constants": {},
            "obj_id_to_idx": {},
            "obj_idx_to_id": {},
            "obj_ids": [],
            "point_inputs_per_obj": {},
            "mask_inputs_per_obj": {},
            "output_dict_per_obj": {},
            "temp_output_dict_per_obj": {},
            "frames_tracked_per_obj": {},
        }
        try:
            self._get_image_feature(state, frame_idx=0, batch_size=1)
        except EndOfVideo as error:
            raise VideoError("the video has no frames") from error
        return state

    @torch.inference_mode()
    def add_new_points_or_box(
        self,
        inference_state: State,
        frame_idx: int,
        obj_id: Any,
        points: Any = None,
        labels: Any = None,
        clear_old_points: bool = True,
        normalize_coords: bool = True,
        box: Any = None,
    ) -> VideoMasks:
        """As SAM2's. A prompt that cannot be meant is a PromptError and changes nothing.

        Coordinates are pixels of the video, or fractions of it with `normalize_coords=False`.
        """
        name = f"prompt for object {obj_id} on frame {frame_idx}"
        size = (inference_state["video_width"], inference_state["video_height"])
        size = size if normalize_coords else (1, 1)
        points, labels, box = check_points_and_box(points, labels, box, size, name)
        if box is not None and not clear_old_points:
            raise PromptError(f"{name}: a box replaces earlier points; set clear_old_points=True")
        frame_idx = self._check_frame(inference_state, frame_idx, name)
        return super().add_new_points_or_box(
            inference_state,
            frame_idx,
            obj_id,
            points=points,
            labels=labels,
            clear_old_points=clear_old_points,
            normalize_coords=normalize_coords,
            box=box,
        )

    @torch.inference_mode()
    def add_new_mask(
        self,
        inference_state: State,
        frame_idx: int,
        obj_id: Any,
        mask: Any,
        predicted_iou: float = 1.0,
    ) -> VideoMasks:
        """As SAM2's. The mask has the video's size or the model's; every non-zero value is object.

        `track` hands out a mask of the video's size as it was given, unless `exact`.

        Args:
            predicted_iou: how sure the mask is, where a model has made it.

        Raises:
            PromptError: for an empty mask, one of another size, or a frame that is not there;
                nothing has changed then.
        """
        name = f"prompt for object {obj_id} on frame {frame_idx}"
        video_hw = (inference_state["video_height"], inference_state["video_width"])
        model_hw = (self.image_size, self.image_size)
        given_hw = torch.from_numpy(check_mask(mask, (video_hw, model_hw), name))
        mask_hw = given_hw.to(self.device)
        if mask_hw.shape != model_hw:
            mask_hw = _resized_mask(mask_hw, model_hw)
            if not mask_hw.any():
                raise PromptError(
                    f"{name}: the mask is too small to be seen at the model's image size of "
                    f"{self.image_size} pixels; take a larger image size, or give a box"
                )
        frame_idx = self._check_frame(inference_state, frame_idx, name)
        answer: VideoMasks = super().add_new_mask(inference_state, frame_idx, obj_id, mask_hw)
        new = inference_state["temp_output_dict_per_obj"]
        of_object = new[inference_state["obj_id_to_idx"][obj_id]]
        (out,) = (outs[frame_idx] for outs in of_object.values() if frame_idx in outs)
        out["predicted_iou"] = torch.full_like(out["predicted_iou"], predicted_iou)
        if given_hw.shape == video_hw and not self.options.exact:
            out[GIVEN] = torch.from_numpy(np.packbits(given_hw.numpy()))
        return answer

    def can_see(self, mask_hw: BoolMask) -> bool:
        """Whether a mask of the video's size has a pixel at the model's image size."""
        side = self.image_size
        return bool(_resized_mask(torch.from_numpy(mask_hw), (side, side)).any())

    def clear_all_prompts_in_frame(
        self, inference_state: State, frame_idx: int, obj_id: Any, need_output: bool = True
    ) -> VideoMasks | None:
        """As SAM2's; an unknown object is a PromptError."""
        if obj_id not in inference_state["obj_id_to_idx"]:
            raise PromptError(f"there is no object {obj_id}")
        return super().clear_all_prompts_in_frame(inference_state, frame_idx, obj_id, need_output)

    @torch.inference_mode()
    def propagate_in_video(
        self,
        inference_state: State,
        start_frame_idx: int | None = None,
        max_frame_num_to_track: int | None = None,
        reverse: bool = False,
    ) -> Iterator[VideoMasks]:
        """As SAM2's: yields frame index, object ids and mask logits at video resolution.

        Ends where the source ends. Raises PromptError if an object has no prompt.
        """
        steps = self._walk(inference_state, start_frame_idx, max_frame_num_to_track, reverse)
        for frame_idx, obj_ids, video_masks, _ in steps:
            yield frame_idx, obj_ids, video_masks

    @torch.inference_mode()
    def track(
        self,
        inference_state: State,
        start_frame_idx: int | None = None,
        max_frame_num_to_track: int | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[int, tuple[ObjectMask, ...]]]:
        """`propagate_in_video` in this package's form: masks with object score and predicted IoU.

        Yields the frame index and one ObjectMask per object, object ids ascending. Masks are fitted
        to the picture if the switches say so; a mask that was given for a frame stands there.
        """
        steps = self._walk(inference_state, start_frame_idx, max_frame_num_to_track, reverse)
        for frame_idx, obj_ids, video_masks, outs in steps:
            colours_n = colours_of_objects(inference_state["output_dict_per_obj"], outs)
            masks_nhw = self._handed_out(
                inference_state, frame_idx, video_masks[:, 0], outs, colours_n
            )
            # One transfer for all objects: on a GPU each is a wait.
            scores = torch.cat([out["object_score_logits"].reshape(1) for out in outs]).tolist()
            ious = torch.cat([out["predicted_iou"].reshape(1) for out in outs]).clamp(0, 1).tolist()
            rows = zip(obj_ids, masks_nhw, scores, ious, strict=True)
            objects = [
                ObjectMask(object_id=obj_id, mask_hw=mask_hw, object_score=score, predicted_iou=iou)
                for obj_id, mask_hw, score, iou in rows
            ]
            yield frame_idx, tuple(sorted(objects, key=lambda each: each.object_id))

    def _handed_out(
        self,
        state: State,
        frame_idx: int,
        logits_nhw: torch.Tensor,
        outs: list[Output],
        colours_n: Sequence[Colours | None],
    ) -> list[BoolMask]:
        """The masks of a frame: as given, else its logits', fitted if the switches say so."""
        given = [_given(out, logits_nhw.shape[1:]) for out in outs]
        standing = [mask_hw for mask_hw in given if mask_hw is not None]
        if len(standing) == len(outs):
            return standing
        if self.fits_edges:
            image_hwc = state["images"].source[frame_idx]
            made = fit_all_to_edges(image_hwc, logits_nhw.float().cpu().numpy(), colours_n)
        else:
            made = list((logits_nhw > 0).cpu().numpy())
        return [b if a is None else a for a, b in zip(given, made, strict=True)]

    def _walk(
        self, state: State, start: int | None, max_frames: int | None, reverse: bool
    ) -> Iterator[tuple[int, list[Any], torch.Tensor, list[Output]]]:
        """One pass over the video, as VP:546-630; also yields each object's output."""
        self.propagate_in_video_preflight(state)
        obj_ids = state["obj_ids"]
        order = _processing_order(state, start, max_frames, reverse)
        with state["images"].follow(order):
            for number, frame_idx in enumerate(order):
                try:
                    self.encode_ahead(state, order[number:])
                    steps = self._track_objects(state, frame_idx, reverse)
                except EndOfVideo:
                    return
                pred_masks = torch.cat([masks for masks, _ in steps])
                _, video_masks = self._get_orig_video_res_output(state, pred_masks)
                yield frame_idx, obj_ids, video_masks, [out for _, out in steps]

    def _check_frame(self, state: State, frame_idx: Any, name: str) -> int:
        """The frame's index, once the frame was read; its features are then in the cache."""
        frame_idx = check_frame_index(frame_idx, state["num_frames"], name)
        try:
            self._get_image_feature(state, frame_idx, batch_size=1)
        except EndOfVideo as error:
            raise PromptError(f"{name}: the video ends before") from error
        return frame_idx

    @torch.inference_mode()
    def propagate_in_video_preflight(self, inference_state: State) -> None:
        """As VP:480; an object without a prompt is a PromptError."""
        if not inference_state["obj_ids"]:
            raise PromptError("nothing to track: give points, a box or a mask for an object first")
        for obj_id, obj_idx in inference_state["obj_id_to_idx"].items():
            stored = inference_state["output_dict_per_obj"][obj_idx]["cond_frame_outputs"]
            new = inference_state["temp_output_dict_per_obj"][obj_idx]["cond_frame_outputs"]
            if not stored and not new:
                raise PromptError(f"object {obj_id} has no prompt: give points, a box or a mask")
        if self.asks_picture or self.fits_edges:
            self._take_in_new_prompts(inference_state)
        super().propagate_in_video_preflight(inference_state)

    def _take_in_new_prompts(self, state: State) -> None:
        """What the switches want of the masks that are handed out for new prompts."""
        for frame_idx, out in _new_prompts(state):
            _, video_masks = self._get_orig_video_res_output(state, out["pred_masks"])
            (mask_hw,) = self._handed_out(state, frame_idx, video_masks[:, 0], [out], [None])
            remember_colours(out, state["images"].source[frame_idx], mask_hw)
            if self.fits_edges:
                self._remember_as_handed_out(state, frame_idx, out, mask_hw)

    def _remember_as_handed_out(
        self, state: State, frame_idx: int, out: Output, mask_hw: BoolMask
    ) -> None:
        """Remember a new prompt by the mask that is handed out for it, as if that was given.

        Without SAM2's detour over a mask of a quarter of the image size. What is shown of the frame
        stays; its memory and its object pointer become those of that mask.
        """
        model_hw = (self.image_size, self.image_size)
        seen_hw = _resized_mask(torch.from_numpy(mask_hw).to(self.device), model_hw)
        given, _ = self._run_single_frame_inference(
            state,
            {},
            frame_idx,
            batch_size=1,
            is_init_cond_frame=True,
            point_inputs=None,
            mask_inputs=seen_hw[None, None].float(),
            reverse=False,
            run_mem_encoder=True,
        )
        out |= {key: given[key] for key in ("maskmem_features", "maskmem_pos_enc", "obj_ptr")}


def _new_prompts(state: State) -> list[tuple[int, Output]]:
    """Frame index and output of every prompt that was given since the last propagation."""
    kinds = [outs for each in state["temp_output_dict_per_obj"].values() for outs in each.values()]
    return [entry for outs in kinds for entry in outs.items()]


def _given(out: Output, size_hw: tuple[int, ...]) -> BoolMask | None:
    """The mask that was given for this frame, at the video's resolution."""
    if GIVEN not in out:
        return None
    bits = np.unpackbits(out[GIVEN].cpu().numpy(), count=math.prod(size_hw))
    return bits.reshape(size_hw).astype(bool)


def _resized_mask(mask_hw: torch.Tensor, size_hw: tuple[int, int]) -> torch.Tensor:
    """As VP:319-328."""
    resized = torch.nn.functional.interpolate(
        mask_hw[None, None].float(), size_hw, mode="bilinear", antialias=True
    )
    return resized[0, 0] >= 0.5


def _processing_order(
    state: State, start: int | None, max_frames: int | None, reverse: bool
) -> range:
    """The frames of a pass, as VP:561-581: up to `max_frames` beyond the start, both ends included.

    The start defaults to the earliest prompted frame. A reverse pass from frame 0 has no frames.
    """
    count = state["num_frames"]
    if start is None:
        outputs = state["output_dict_per_obj"].values()
        start = min(t for each in outputs for t in each["cond_frame_outputs"])
    start = check_frame_index(start, count, "propagation")
    steps = count if max_frames is None else max_frames
    if not reverse:
        return range(start, min(start + steps, count - 1) + 1)
    return range(start, max(start - steps, 0) - 1, -1) if start > 0 else range(0)
