"""One measurement of the engine in a process of its own: reads a case, prints its figures as JSON.

Started by `benchmarks.engine`, once for each run, so that no run warms or bloats another.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import supervision as sv
import torch
from sam2.build_sam import build_sam2_video_predictor

from tracker.locations import shipped
from tracker.models.building import build_from_config, load_weights
from tracker.models.frames import VideoFileFrames
from tracker.models.streaming import POSTPROCESSING, build_streaming_video_predictor
from tracker.types import ObjectMask
from tracker.video import VideoWriter, open_video
from tracker.video.pipeline import WriteBehind

DEMO = shipped("configs") / "sam2" / "demo.yaml"
DEMO_WEIGHTS = shipped("checkpoints") / "sam2_demo.pt"
PROFILED_FRAMES = 4


@dataclass(frozen=True)
class Case:
    """What one process measures.

    Attributes:
        task: `frames` (time for each frame), `first` (time to the first mask), `whole` (a video
            file to an annotated one), `memory` (peak memory over frames that are made up).
        engine: `reference`, `vos` (SAM2's compiled variant) or `ours`.
        model: `demo`, or the ending of a SAM2.1 config: `t`, `s`, `b+`, `l`.
        image_size: side in pixels.
        objects: how many, all prompted on frame 0.
        frames: how many are tracked.
        source: folder of JPEGs (`frames`, `first`) or video file (`whole`).
        precision: `fp32`, or `bf16`: the reference runs under autocast, as its authors run it.
        switches: of ours.
        profile: add torch's table of operators.
    """

    task: str
    engine: str
    model: str
    image_size: int
    objects: int
    frames: int
    source: str = ""
    precision: str = "fp32"
    switches: dict[str, Any] = field(default_factory=dict)
    profile: bool = False
    device: str = "cpu"


def build(case: Case) -> Any:
    """The predictor; without weights for all but the demo model, since speed does not need them."""
    size = [f"++model.image_size={case.image_size}"]
    demo = case.model == "demo"
    config = str(DEMO) if demo else f"configs/sam2.1/sam2.1_hiera_{case.model}.yaml"
    torch.manual_seed(0)
    if case.engine == "ours":
        # Without a word on it the drop-in predictor keeps SAM2's bits, in float32.
        switches = {"exact": False, "precision": case.precision, **case.switches}
        predictor: Any = build_streaming_video_predictor(
            config,
            DEMO_WEIGHTS if demo else None,
            case.device,
            hydra_overrides_extra=size,
            **switches,
        )
    elif demo:
        target = "++model._target_=sam2.sam2_video_predictor.SAM2VideoPredictor"
        overrides = [target, *POSTPROCESSING, *size]
        predictor = build_from_config(config, torch.device(case.device), "eval", overrides)
        load_weights(predictor, DEMO_WEIGHTS, config)
    else:
        predictor = build_sam2_video_predictor(
            config,
            device=case.device,
            hydra_overrides_extra=size,
            vos_optimized=case.engine == "vos",
        )
    if not demo:  # else random weights would find no object, and every mask would be a constant
        with torch.no_grad():
            predictor.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(5.0)
    return predictor


def synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def prompted(predictor: Any, case: Case, source: Any) -> Any:
    """A state with its prompts; boxes spread over the frame."""
    state = predictor.init_state(source)
    height, width = state["video_height"], state["video_width"]
    for number in range(case.objects):
        x, y = width * (number % 5) / 6, height * (number // 5) / 3
        predictor.add_new_points_or_box(
            state, 0, number + 1, box=[x, y, x + width / 6, y + height / 3]
        )
    synchronise(case.device)
    return state


def measure(case: Case) -> dict[str, Any]:
    """Figures of one case, in seconds and MB."""
    predictor = build(case)
    lowered = case.engine != "ours" and case.precision != "fp32"
    context: Any = (
        torch.autocast(case.device, torch.bfloat16) if lowered else contextlib.nullcontext()
    )
    tasks = {"frames": frames, "first": first, "whole": whole, "memory": memory}
    with torch.inference_mode(), context:
        figures = tasks[case.task](predictor, case)
    figures["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if case.device == "cuda":
        figures["peak_vram_mb"] = torch.cuda.max_memory_allocated() / 2**20
    return figures


def first(predictor: Any, case: Case) -> dict[str, Any]:
    started, cpu = time.perf_counter(), time.process_time()
    prompted(predictor, case, case.source)
    return {
        "first_mask_s": time.perf_counter() - started,
        "first_mask_cpu_s": time.process_time() - cpu,
    }


def frames(predictor: Any, case: Case) -> dict[str, Any]:
    """Each frame's time until its masks are bool arrays on the host; the first two warm up."""
    state = prompted(predictor, case, case.source)
    walls, cpus = [], []
    steps = predictor.propagate_in_video(state, max_frame_num_to_track=case.frames)
    wall, cpu = time.perf_counter(), time.process_time()
    for _, _, logits in steps:
        (logits > 0).cpu().numpy()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
        wall, cpu = time.perf_counter(), time.process_time()
    warm = 2 if case.device == "cpu" else 20  # compiled shapes settle on the 16th frame
    figures: dict[str, Any] = {"frame_s": walls[warm:], "frame_cpu_s": cpus[warm:]}
    if case.profile:
        figures["profile"] = profiled(predictor, state, case)
    return figures


def profiled(predictor: Any, state: Any, case: Case) -> str:
    from torch.profiler import profile

    with profile() as found:
        for _ in predictor.propagate_in_video(state, 2, PROFILED_FRAMES):
            pass
    key = "self_cuda_time_total" if case.device == "cuda" else "self_cpu_time_total"
    return str(found.key_averages().table(sort_by=key, row_limit=12, max_name_column_width=48))


def whole(predictor: Any, case: Case) -> dict[str, Any]:
    """A video file in, an annotated one out: SAM2 users' script, and the same work with ours."""
    target = Path(case.source).with_name(f"annotated-{case.engine}.mp4")
    started, cpu = time.perf_counter(), time.process_time()
    (whole_ours if case.engine == "ours" else whole_classic)(predictor, case, target)
    return {"whole_s": time.perf_counter() - started, "whole_cpu_s": time.process_time() - cpu}


def whole_classic(predictor: Any, case: Case, target: Path) -> None:
    state = prompted(predictor, case, case.source)
    info = sv.VideoInfo.from_video_path(case.source)
    pictures = sv.get_video_frames_generator(case.source)
    annotator = sv.MaskAnnotator(color_lookup=sv.ColorLookup.TRACK)
    writer = cv2.VideoWriter(
        str(target), cv2.VideoWriter.fourcc(*"mp4v"), info.fps, info.resolution_wh
    )
    for (_, ids, logits), picture in zip(
        predictor.propagate_in_video(state), pictures, strict=False
    ):
        masks = (logits[:, 0] > 0).cpu().numpy()
        found = sv.Detections(sv.mask_to_xyxy(masks), masks, tracker_id=np.array(ids))
        writer.write(annotator.annotate(picture, found))
    writer.release()


def whole_ours(predictor: Any, case: Case, target: Path) -> None:
    with open_video(Path(case.source)) as reader:
        rate = reader.info.frame_rate
    source = VideoFileFrames(case.source)
    state = prompted(predictor, case, source)
    annotator = sv.MaskAnnotator(color_lookup=sv.ColorLookup.TRACK)
    size = {"width": source.width, "height": source.height}
    with VideoWriter(target, **size, frame_rate=rate, time_base=1 / rate) as writer:

        def draw(item: tuple[int, Any, tuple[ObjectMask, ...]]) -> None:
            frame, image_hwc, objects = item
            writer.write(annotator.annotate(image_hwc.copy(), detections(objects)), frame)

        with WriteBehind(draw) as behind:
            for frame, objects in predictor.track(state):
                behind.put((frame, source[frame], objects))


def detections(objects: tuple[ObjectMask, ...]) -> Any:
    masks = np.stack([each.mask_hw for each in objects])
    ids = np.array([each.object_id for each in objects])
    return sv.Detections(sv.mask_to_xyxy(masks), masks, tracker_id=ids)


class Drifting:
    """Frames made when they are asked for: a square that wanders over noise."""

    height, width = 144, 176

    def __init__(self, length: int) -> None:
        self._length = length
        rng = np.random.default_rng(5)
        self._ground = rng.integers(0, 256, (self.height, self.width, 3), dtype=np.uint8)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> np.ndarray:
        image = self._ground.copy()
        x, y = index % (self.width - 40), (index // 3) % (self.height - 40)
        image[y : y + 40, x : x + 40] = (250, 40, index % 200)
        return image


def memory(predictor: Any, case: Case) -> dict[str, Any]:
    state = prompted(predictor, case, Drifting(case.frames))
    count = sum(1 for _ in predictor.propagate_in_video(state))
    return {"frames": count}


if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()):
        result = measure(Case(**json.loads(sys.argv[1])))
    print(json.dumps(result))
