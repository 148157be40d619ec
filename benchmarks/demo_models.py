"""Score the embedded demo models: generated clips, the samples, and real video where there is some.

    python -m benchmarks.demo_models [--data DIR] [--cases 40]

Writes `benchmarks/results/demo_models.{md,json}`. J of a run is the mean IoU over the frames after
the first; an abstention counts as 0.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch

from benchmarks.generated_cases import FrameList, cases
from benchmarks.real_cases import davis, one_shot_classes
from benchmarks.results import Row, write_table
from tracker.errors import NoMatchError
from tracker.evaluation.jf import jf
from tracker.evaluation.sequences import MaskFolder, pairs
from tracker.locations import shipped
from tracker.masks import BoolMask, iou, mask_box
from tracker.memory.prompting import Decision, find_prompts
from tracker.memory.retrieval import search
from tracker.memory.store import ReferenceMemory
from tracker.models.dinov2 import FeatureExtractor, load_features
from tracker.models.sam2 import ImagePrompter, load_video_predictor
from tracker.models.streaming import StreamingVideoPredictor
from tracker.session.propagation import apply_prompt
from tracker.session.run_folder import RunMasks
from tracker.session.tracking import track
from tracker.settings import TrackSettings
from tracker.types import Prompt
from training.textures import Image

_SAMPLES = Path(__file__).parent.parent / "samples"


class Bench:
    """The models under test and the few operations that every measurement is made of."""

    def __init__(self) -> None:
        self.predictor: StreamingVideoPredictor = load_video_predictor("demo", "cpu")
        self.prompter = ImagePrompter(self.predictor)
        self.extractor: FeatureExtractor = load_features("demo", "cpu")
        self._memories = tempfile.TemporaryDirectory(prefix="bench-memories-")

    def follow(self, frames: FrameList, prompt: Prompt) -> list[BoolMask]:
        """The masks of one object from a prompt on frame 0."""
        state = self.predictor.init_state(frames)
        apply_prompt(self.predictor, state, 0, prompt)
        return [objects[0].mask_hw for _, objects in self.predictor.track(state)]

    def memory(self, references: list[tuple[str, Image, BoolMask]]) -> ReferenceMemory:
        """A new memory, which is there as long as the bench."""
        folder = Path(tempfile.mkdtemp(dir=self._memories.name))
        memory = ReferenceMemory.open(folder, self.extractor, create=True)
        for label, image, mask in references:
            memory.add(image, mask, label)
        return memory

    def ask(
        self, image: Image, reference: tuple[Image, BoolMask], threshold: float | None
    ) -> Decision:
        """The decision about one image with a memory of one reference."""
        memory = self.memory([("object", *reference)])
        return find_prompts(image, memory, self.extractor, self.prompter, threshold=threshold)[0]


def mean_iou(predicted: list[BoolMask], truth: list[BoolMask]) -> float:
    """Mean IoU over the frames after the first."""
    return float(np.mean([iou(p, t) for p, t in zip(predicted[1:], truth[1:], strict=True)]))


def box_prompt(mask_hw: BoolMask) -> Prompt:
    return Prompt(frame=0, object_id=1, box_xyxy=mask_box(mask_hw))


def generated(bench: Bench, count: int) -> list[Row]:
    box, auto, abstained = [], [], []
    for case in cases(count):
        truth = list(case.truth_thw)
        box.append(mean_iou(bench.follow(case.frames, box_prompt(truth[0])), truth))
        own = bench.ask(case.frames[0], case.own, None)
        found = own.prompt is not None and own.accepted
        auto.append(mean_iou(bench.follow(case.frames, own.prompt), truth) if found else 0.0)
        abstained.append(not bench.ask(case.frames[0], case.foreign, None).accepted)
    note = f"{count} clips of 24 frames"
    return [
        Row("generated clips, first-frame box: mean J", float(np.mean(box)), note),
        Row("generated clips, auto-prompt: mean J", float(np.mean(auto)), note),
        Row("generated clips, foreign memory abstains", float(np.mean(abstained)), note),
    ]


def samples(_: Bench) -> list[Row]:
    """J&F of `--auto-prompt` on each sample, as `track eval` counts it."""
    rows = []
    settings = TrackSettings(
        model="demo",
        features="demo",
        device="cpu",
        auto_prompt=True,
        memory=str(_SAMPLES / "memory"),
        video=False,
    )
    for video in sorted(_SAMPLES.glob("*/*.mp4")):
        with tempfile.TemporaryDirectory() as output:
            try:
                run = track(video, settings, output=Path(output) / "run")
                score = jf(pairs(RunMasks(run), MaskFolder(video.parent / "truth"))).jf
            except NoMatchError:
                score = 0.0
        rows.append(Row(f"sample {video.stem}, auto-prompt: J&F", score))
    return rows


def real_video(bench: Bench, data: Path) -> list[Row]:
    mask, box, auto = [], [], []
    for sequence in davis(data):
        frames, truth = (
            sequence.frames(),
            [sequence.mask(i) for i in range(len(sequence.mask_paths))],
        )
        given = Prompt(frame=0, object_id=1, mask_hw=truth[0])
        mask.append(mean_iou(bench.follow(frames, given), truth))
        box.append(mean_iou(bench.follow(frames, box_prompt(truth[0])), truth))
        decision = bench.ask(frames[0], (frames[len(frames) - 1], truth[-1]), None)
        short = FrameList(frames.images[:30])
        found = decision.prompt is not None and decision.accepted
        auto.append(mean_iou(bench.follow(short, decision.prompt), truth[:30]) if found else 0.0)
    note = f"{len(mask)} DAVIS-2016 sequences"
    return [
        Row("real video, first-frame mask: mean J", float(np.mean(mask)), note),
        Row("real video, first-frame box: mean J", float(np.mean(box)), note),
        Row("real video, auto-prompt from the last frame: mean J", float(np.mean(auto)), note),
    ]


def real_retrieval(bench: Bench, data: Path) -> list[Row]:
    """Abstention with another sequence's reference, and who is retrieved first among all."""
    sequences = davis(data)
    first_frames = [sequence.image(0) for sequence in sequences]
    abstained, references = [], []
    for number, sequence in enumerate(sequences):
        other = sequences[(number + 1) % len(sequences)]
        foreign = (other.image(-1), other.mask(-1))
        abstained.append(not bench.ask(first_frames[number], foreign, None).accepted)
        last = len(sequence.image_paths) - 1
        for index in (last // 2, 3 * last // 4, last):
            references.append((sequence.name, sequence.image(index), sequence.mask(index)))
    memory = bench.memory([r for r in references if r[2].any()])
    right = []
    for sequence, image in zip(sequences, first_frames, strict=True):
        ranked = search(memory, bench.extractor.extract(image), k=len(references))
        right.append(ranked[0].label == sequence.name)
    return [
        Row("real video, foreign memory abstains", float(np.mean(abstained)), "10 pairs"),
        Row("real video, right memory first", float(np.mean(right)), "10 sequences x 3 references"),
    ]


def one_shot(bench: Bench, data: Path) -> list[Row]:
    scores = []
    for _, images in one_shot_classes(data):
        for i, reference in enumerate(images):
            for j, (image, truth) in enumerate(images):
                if i != j:
                    decision = bench.ask(image, reference, 0.0)
                    scores.append(0.0 if decision.mask_hw is None else iou(decision.mask_hw, truth))
    return [
        Row("one reference, real images: mean IoU", float(np.mean(scores)), f"{len(scores)} pairs")
    ]


def cost(bench: Bench) -> list[Row]:
    """Bytes of both models, and the median time per frame with one object."""
    files = [
        shipped("checkpoints") / "sam2_demo.pt",
        *(shipped("checkpoints") / "dinov2_demo").iterdir(),
    ]
    case = next(iter(cases(1, seed=7)))
    prompt = box_prompt(case.truth_thw[0])
    bench.follow(case.frames, prompt)
    each_ms = []
    for _ in range(7):
        started = time.perf_counter()
        bench.follow(case.frames, prompt)
        each_ms.append(1000 * (time.perf_counter() - started) / len(case.frames))
    spread = f"{min(each_ms):.0f} to {max(each_ms):.0f} in {len(each_ms)} runs"
    return [
        Row("size of both models, MB", sum(f.stat().st_size for f in files) / 1e6),
        Row(
            "time per frame and object, ms",
            float(np.median(each_ms)),
            f"{torch.get_num_threads()} threads; {spread}",
        ),
    ]


@click.command()
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="Real data with truth.")
@click.option("--cases", "count", default=40, show_default=True, help="Generated clips.")
def main(data: Path | None, count: int) -> None:
    """Score the embedded demo models."""
    bench = Bench()
    parts: list[Callable[[], list[Row]]] = [
        lambda: generated(bench, count),
        lambda: samples(bench),
        lambda: cost(bench),
    ]
    if data is not None:
        parts += [
            lambda: real_video(bench, data),
            lambda: real_retrieval(bench, data),
            lambda: one_shot(bench, data),
        ]
    rows = []
    for part in parts:
        for row in part():
            click.echo(f"{row.what}: {row.value:.3f}  {row.note}")
            rows.append(row)
    write_table("demo_models", "The embedded demo models", rows)


if __name__ == "__main__":
    main()
