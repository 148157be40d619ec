"""Measurements of the engine in a process of their own: reads cases, prints their figures as JSON.

Started by `benchmarks.engine`, once for each run, so that no run warms or bloats another. Several
cases of a group are tracked frame by frame in turn, so that other work disturbs all alike; several
groups follow one another, and share what was built. One line of figures for each group.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sam2.build_sam import build_sam2_video_predictor

from benchmarks.engine_cases import Case
from tracker.locations import shipped
from tracker.masks import Box, iou
from tracker.models.building import build_from_config, load_weights
from tracker.models.streaming import POSTPROCESSING, build_streaming_video_predictor

DEMO = shipped("configs") / "sam2" / "demo.yaml"
DEMO_WEIGHTS = shipped("checkpoints") / "sam2_demo.pt"
PROFILED_FRAMES = 4


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
        with compiling_in(case.switches.get("mode")):
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


@contextlib.contextmanager
def compiling_in(mode: str | None) -> Iterator[None]:
    """A context in which torch.compile takes this mode, whatever it is asked for."""
    compile_as_asked = torch.compile
    if mode:
        torch.compile = lambda *args, **given: compile_as_asked(*args, **{**given, "mode": mode})
    try:
        yield
    finally:
        torch.compile = compile_as_asked


def synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def boxes(count: int, width: int, height: int) -> Iterator[tuple[int, Box]]:
    """Object ids with boxes that are spread over the frame."""
    for number in range(count):
        x, y = width * (number % 5) / 6, height * (number // 5) / 3
        yield number + 1, (x, y, x + width / 6, y + height / 3)


def prompted(predictor: Any, case: Case, source: Any) -> Any:
    """A state with its prompts."""
    state = predictor.init_state(source)
    for object_id, box in boxes(case.objects, state["video_width"], state["video_height"]):
        predictor.add_new_points_or_box(state, 0, object_id, box=list(box))
    synchronise(case.device)
    return state


def running(case: Case) -> Any:
    """The context in which a case's predictor runs, as its authors run it."""
    lowered = case.engine != "ours" and case.precision != "fp32"
    return torch.autocast(case.device, torch.bfloat16) if lowered else contextlib.nullcontext()


def measure(case: Case) -> dict[str, Any]:
    """Figures of one case, in seconds and MB."""
    predictor = build(case)
    tasks = {"frames": frames, "first": first, "whole": whole, "memory": memory}
    with torch.inference_mode(), running(case):
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


class Decoded:
    """A folder of JPEGs as a FrameSource that has them all in memory; read ahead as a file is."""

    read_ahead = 2

    def __init__(self, folder: str) -> None:
        paths = sorted(Path(folder).iterdir())
        self._images = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
        self.height, self.width = self._images[0].shape[:2]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._images[index]


class Steps:
    """Tracks a frame at a time, and notes how long each takes until its masks are on the host."""

    def __init__(self, predictor: Any, case: Case) -> None:
        self._case = case
        source = Decoded(case.source) if case.decoded and case.engine == "ours" else case.source
        with running(case):
            self.state = prompted(predictor, case, source)
        count = case.frames + PROFILED_FRAMES * case.profile
        self._steps = predictor.propagate_in_video(self.state, max_frame_num_to_track=count)
        self._walls: list[float] = []
        self._cpus: list[float] = []
        self.logits = torch.empty(0)

    def masks(self) -> np.ndarray:
        """Those of the next frame, bool, one per object."""
        wall, cpu = time.perf_counter(), time.process_time()
        with running(self._case):
            _, _, self.logits = next(self._steps)
            masks_nhw: np.ndarray = (self.logits[:, 0] > 0).cpu().numpy()
        self._walls.append(time.perf_counter() - wall)
        self._cpus.append(time.process_time() - cpu)
        return masks_nhw

    def figures(self) -> dict[str, Any]:
        warm = warm_frames(self._case)
        return {"frame_s": self._walls[warm:], "frame_cpu_s": self._cpus[warm:]}


def warm_frames(case: Case) -> int:
    """How many frames are not timed; the shapes that are compiled settle on the 16th."""
    return 2 if case.device == "cpu" else 20


def frames(predictor: Any, case: Case) -> dict[str, Any]:
    return in_turn([case], [predictor])[0]


def in_turn(cases: list[Case], predictors: list[Any]) -> list[dict[str, Any]]:
    """The figures of each; `least_iou` is that of its masks with those of the first case.

    `same_bits` is the share of frames on which its logits are those of the first case. No holes are
    filled: the reference needs an extension for it, which is seldom built.
    """
    for predictor in predictors:
        predictor.fill_hole_area = 0
    with torch.inference_mode():
        runs = [Steps(each, case) for each, case in zip(predictors, cases, strict=True)]
        warm = warm_frames(cases[0])
        compared = [compare(runs) for _ in range(warm)]
        with alone(cases[0].lock):
            compared += [compare(runs) for _ in range(cases[0].frames + 1 - warm)]
        figures = [run.figures() for run in runs]
        for number, (run, case) in enumerate(zip(runs, cases, strict=True)):
            ious, same = zip(*[frame[number] for frame in compared], strict=True)
            figures[number] |= {"least_iou": min(ious), "same_bits": sum(same) / len(same)}
            if case.profile:
                figures[number]["profile"] = profiled(run, case)
    return figures


def compare(runs: list[Steps]) -> list[tuple[float, bool]]:
    """Of the next frame, for each run: least IoU with the first one's masks, and equal logits."""
    shown = [run.masks() for run in runs]
    return [
        (
            min(iou(a, b) for a, b in zip(shown[0], masks_nhw, strict=True)),
            torch.equal(runs[0].logits, run.logits),
        )
        for run, masks_nhw in zip(runs, shown, strict=True)
    ]


@contextlib.contextmanager
def alone(lock: str) -> Iterator[None]:
    """A context in which no other process holds this file; of no effect without one."""
    if not lock:
        yield
        return
    with open(lock, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def profiled(steps: Steps, case: Case) -> str:
    from torch.profiler import profile

    with profile() as found:
        for _ in range(PROFILED_FRAMES):
            steps.masks()
    key = "self_cuda_time_total" if case.device == "cuda" else "self_cpu_time_total"
    return str(found.key_averages().table(sort_by=key, row_limit=16, max_name_column_width=48))


def whole(predictor: Any, case: Case) -> dict[str, Any]:
    """A video file in, an annotated one out: what SAM2's users write, and what `track` does."""
    started, cpu = time.perf_counter(), time.process_time()
    (whole_ours if case.engine == "ours" else whole_classic)(predictor, case)
    return {"whole_s": time.perf_counter() - started, "whole_cpu_s": time.process_time() - cpu}


def whole_classic(predictor: Any, case: Case) -> None:
    """SAM2's loop, supervision's masks, OpenCV's writer: an MPEG-4 video and nothing else."""
    import cv2
    import supervision as sv

    target = Path(case.source).with_name("classic.mp4")
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


def whole_ours(predictor: Any, case: Case) -> None:
    """A run as the command line makes it: H.264, index masks, scores, overview, and its folder."""
    from tracker.session.tracking import track
    from tracker.settings import TrackSettings
    from tracker.types import Prompt
    from tracker.video import open_video

    with open_video(case.source) as video:
        width, height = video.info.width, video.info.height
    prompts = [Prompt(0, i, box_xyxy=box) for i, box in boxes(case.objects, width, height)]
    settings = TrackSettings(device=case.device, redetect="off")
    run = Path(case.source).with_name("run")
    track(case.source, settings, prompts, run, overwrite=True, predictor=predictor)


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


def measured(groups: list[list[Case]]) -> Iterator[list[dict[str, Any]]]:
    """The figures of each group; predictors are built once."""
    built: dict[str, Any] = {}
    for cases in groups:
        if len(cases) == 1:
            yield [measure(cases[0])]
            continue
        engines = [(c.engine, c.model, c.image_size, c.precision, c.switches) for c in cases]
        keys = [json.dumps(each) for each in engines]
        for key, case in zip(keys, cases, strict=True):
            if key not in built:
                built[key] = build(case)
        yield in_turn(cases, [built[key] for key in keys])


if __name__ == "__main__":
    given = [[Case(**each) for each in group] for group in json.loads(sys.argv[1])]
    figures_of = measured(given)
    while True:
        with contextlib.redirect_stdout(io.StringIO()):
            line = next(figures_of, None)
        if line is None:
            break
        print(json.dumps(line), flush=True)
