"""Train the demo SAM2 model, from nothing or from given weights.

    python -m training.train_sam2 --minutes 75 --bank bank.npz --output FOLDER

Single frames first, then clips that grow longer and larger, all drawn on the device that trains;
the learning rate follows a cosine over the given time (or steps). Every few minutes the averaged
weights are checked on held-out clips, written beside a log, and the state is saved so that the same
command goes on after an interruption.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from sam2.modeling.sam2_base import SAM2Base
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tracker.locations import shipped
from tracker.models.precision import cpu_multiplies_bf16
from training.bank import load_bank
from training.clip_forward import ClipRunner
from training.clips import ClipShape, ClipSource, DrawnClips, Shown
from training.losses import weighted
from training.prompts import PromptKind

_KINDS: tuple[PromptKind, ...] = ("mask", "box", "points", "box+points")
_UNIT = 192  # side of the frames that `--load` counts


@dataclass(frozen=True)
class Stage:
    """A part of the schedule: until which share of the run, with which batches and prompts."""

    until: float
    shapes: tuple[ClipShape, ...]
    kind_shares: tuple[float, float, float, float]  # mask, box, points, box+points


def demo_stages(load: float) -> tuple[Stage, ...]:
    """The schedule of the demo model.

    Small frames cost a fraction of the model's own size and teach the same mechanisms (what a
    prompt means, what a memory is for), so the first half sees them; the end sees the full size.

    Args:
        load: of a batch, in frames of `_UNIT` pixels with one object.
    """

    def shape(frames: int, objects: int, size: int, shown: Shown = "scenes") -> ClipShape:
        clips = load / (frames * objects * (size / _UNIT) ** 2)
        return ClipShape(max(round(clips), 1), frames, objects, size, shown)

    alone, small = shape(1, 4, 192), shape(1, 4, 256)
    still, large_still = shape(1, 4, 224, "pictures"), shape(1, 4, 288, "pictures")
    return (
        Stage(0.15, (alone, small, still, still), (0.0, 0.5, 0.3, 0.2)),
        Stage(
            0.3,
            (alone, small, still, large_still, shape(3, 3, 192), shape(4, 3, 192)),
            (0.45, 0.3, 0.15, 0.1),
        ),
        Stage(
            0.6,
            (
                *(small, still, large_still, shape(4, 3, 224), shape(6, 3, 192), shape(8, 3, 192)),
                *(shape(6, 3, 256), shape(3, 3, 256, "pictures"), shape(6, 3, 224, "regions")),
                shape(6, 3, 224, "things"),
            ),
            (0.35, 0.37, 0.14, 0.14),
        ),
        Stage(
            1.0,
            (
                *(small, large_still, shape(1, 4, 320, "pictures"), shape(4, 3, 320)),
                *(shape(8, 3, 256), shape(8, 3, 288), shape(6, 3, 320)),
                *(shape(3, 3, 288, "pictures"), shape(8, 3, 256, "regions")),
                *(shape(8, 3, 256, "things"), shape(6, 3, 320, "things")),
            ),
            (0.35, 0.37, 0.14, 0.14),
        ),
    )


@dataclass(frozen=True)
class Budget:
    """How long to train, in wall-clock minutes or steps, and where in the schedule to begin."""

    minutes: float | None
    steps: int | None
    begin: float = 0.0

    def share(self, seconds: float, step: int) -> float:
        """The place in the schedule, `begin` to 1."""
        done = step / self.steps if self.steps else seconds / (60 * (self.minutes or 1))
        return min(self.begin + (1 - self.begin) * done, 1.0)


@dataclass
class Trainer:
    """Model, optimiser and everything that a resumed run needs."""

    model: SAM2Base
    source: ClipSource
    budget: Budget
    stages: tuple[Stage, ...]
    seed: int
    learning_rate: float
    step: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.device = next(self.model.parameters()).device
        # A CPU that has no bfloat16 imitates it at a tenth of the speed of float32.
        self.lowered = self.device.type == "cuda" or cpu_multiplies_bf16()
        self.generator = torch.Generator(self.device)
        self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(0.995))
        self.runner = ClipRunner(self.model, self.generator)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        decayed = [p for p in trained if p.ndim > 1]
        plain = [p for p in trained if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(
            groups, lr=self.learning_rate, betas=(0.9, 0.98), fused=self.device.type == "cuda"
        )

    def train_step(self) -> dict[str, torch.Tensor]:
        """One update; returns the mean losses, still on the device."""
        rng = np.random.default_rng((self.seed, self.step))
        self.generator.manual_seed(int(rng.integers(2**31)))
        share = self.budget.share(self.seconds, self.step)
        stage = next(s for s in self.stages if share <= s.until)
        shape = stage.shapes[int(rng.integers(len(stage.shapes)))]
        shares = np.array(stage.kind_shares)
        if shape.frames == 1:
            shares = shares * [0, 1, 1, 1]
        if shape.shown == "regions":  # a region is no object: only its mask says what is meant
            shares = np.array([1.0, 0, 0, 0])
        kind = _KINDS[int(rng.choice(4, p=shares / shares.sum()))]
        corrections = int(shape.frames == 1 and rng.random() < 0.4)
        late = shape.frames > 2 and rng.random() < 0.25
        correct_frame = int(rng.integers(1, shape.frames)) if late else -1
        warm = min(1.0, (self.step + 1) / 150)
        rate = self.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        started = time.monotonic()
        self.model.train()
        batch = self.source.batch(shape, self.step)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.lowered):
            losses, _ = self.runner.run(
                batch, kind, corrections=corrections, correct_frame=correct_frame
            )
        loss = weighted(losses)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.average.update_parameters(self.model)
        self.step += 1
        self.seconds += time.monotonic() - started
        return {k: torch.stack([x[k].detach() for x in losses]).mean() for k in losses[0]}

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]


@torch.inference_mode()
def validate(model: SAM2Base, source: ClipSource, shape: ClipShape) -> dict[str, float]:
    """Mean J (over frames after the first, objects in view) on the first batch, by prompt."""
    model.eval()
    device = next(model.parameters()).device
    runner = ClipRunner(model, torch.Generator(device).manual_seed(0))
    batch = source.batch(shape, 0)
    truth = batch.masks_bkthw
    seen = truth.flatten(3).any(3)
    scores = {}
    for kind in ("mask", "box"):
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            _, predicted = runner.run(batch, kind)
        union = (predicted | truth).flatten(3).sum(3)
        ious = (predicted & truth).flatten(3).sum(3) / union.clamp(min=1)
        scores[kind] = float(ious[:, :, 1:][seen[:, :, 1:]].mean())
        if kind == "box":
            scores["box first frame"] = float(ious[:, :, 0][seen[:, :, 0]].mean())
    model.sam_mask_decoder._forward_hooks.clear()
    return scores


def new_model(device: str, seed: int, path: Path | None = None) -> SAM2Base:
    """The demo architecture (or that of `path`) with random weights.

    Its object score starts at `present`.
    """
    torch.manual_seed(seed)
    config = OmegaConf.load(path or shipped("configs") / "sam2" / "demo.yaml")
    model: SAM2Base = instantiate(config.model).to(device)
    # A score below zero gates the mask away and no gradient would ever bring it back.
    torch.nn.init.constant_(model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias, 5.0)
    return model


def load_start(model: SAM2Base, path: Path) -> None:
    """Start from a checkpoint of this architecture, or of a shallower one.

    What the checkpoint lacks are blocks at the end of a stage; they begin by passing on what they
    get, so that the deeper model starts as good as the other was.
    """
    weights = torch.load(path, weights_only=True)["model"]
    missing, unexpected = model.load_state_dict(weights, strict=False)
    if unexpected:
        raise ValueError(f"{path} has weights that the model does not: {unexpected[:3]}")
    added = set(missing)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            silent = name.endswith(".scale"), ".out_proj." in name, ".linear2." in name
            if name in added and any(silent):
                parameter.fill_(0.02 if silent[0] else 0.0)


def export(average: AveragedModel, path: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write the averaged weights in SAM2's checkpoint form."""
    weights = {k: v.to("cpu", dtype) for k, v in average.module.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    torch.save({"model": weights}, partial)
    partial.replace(path)


def train(
    trainer: Trainer,
    held_out: ClipSource,
    output: Path,
    *,
    check_minutes: float,
    check_shape: ClipShape,
    exported: str = "sam2_demo.pt",
    dtype: torch.dtype = torch.float16,
) -> None:
    """Train until the budget is spent; log, check on `held_out`, export and save on the way."""
    output.mkdir(parents=True, exist_ok=True)
    saved = output / "state.pt"
    if saved.exists():
        trainer.restore(torch.load(saved, weights_only=True))
    checked, recent = trainer.seconds, []
    while trainer.budget.share(trainer.seconds, trainer.step) < 1:
        recent.append(trainer.train_step())
        done = trainer.budget.share(trainer.seconds, trainer.step) >= 1
        if len(recent) == 50 or done:
            means = {k: float(torch.stack([r[k] for r in recent]).mean()) for k in recent[0]}
            _log(output, trainer, means)
            recent = []
        if trainer.seconds - checked > 60 * check_minutes or done:
            checked = trainer.seconds
            export(trainer.average, output / exported, dtype)
            torch.save(trainer.state(), output / "state.part")
            (output / "state.part").replace(saved)
            _log(output, trainer, validate(trainer.average.module, held_out, check_shape))


def _log(output: Path, trainer: Trainer, values: dict[str, float]) -> None:
    entry = {"step": trainer.step, "minutes": round(trainer.seconds / 60, 2)}
    entry |= {k: round(v, 4) for k, v in values.items()}
    with (output / "log.jsonl").open("a") as log:
        log.write(json.dumps(entry) + "\n")
    click.echo(json.dumps(entry))


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--minutes", type=float, help="Train for this long (wall clock).")
@click.option("--steps", type=int, help="Train for this many steps instead; repeatable exactly.")
@click.option("--bank", type=_FILE, help="Packed by `training.bank`; without, all is painted.")
@click.option("--output", type=click.Path(path_type=Path), required=True)
@click.option("--config", type=_FILE, help="Another architecture than the demo model's.")
@click.option("--weights", type=_FILE, help="Start from this checkpoint instead of from nothing.")
@click.option("--begin", default=0.0, show_default=True, help="Place in the schedule, 0 to 1.")
@click.option("--sprites", default=1500, show_default=True, help="Painted objects.")
@click.option("--load", default=40.0, show_default=True, help="Frames of 192 px in a batch.")
@click.option("--learning-rate", default=8e-4, show_default=True)
@click.option("--check-minutes", default=8.0, show_default=True)
@click.option("--check-clips", default=8, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(
    minutes: float | None,
    steps: int | None,
    bank: Path | None,
    output: Path,
    config: Path | None,
    weights: Path | None,
    begin: float,
    sprites: int,
    load: float,
    learning_rate: float,
    check_minutes: float,
    check_clips: int,
    threads: int,
    device: str,
    seed: int,
) -> None:
    """Train the demo SAM2 model."""
    if (minutes is None) == (steps is None):
        raise click.UsageError("give --minutes or --steps")
    torch.set_num_threads(threads)
    model = new_model(device, seed, config)
    if weights is not None:
        load_start(model, weights)
    learned, checked = (
        load_bank(bank, sprites=n, textures=n // 5, seed=seed, split=split, device=device)
        for n, split in ((sprites, "train"), (max(sprites // 5, 20), "val"))
    )
    trainer = Trainer(
        model=model,
        source=DrawnClips(learned, seed),
        budget=Budget(minutes, steps, begin),
        stages=demo_stages(load),
        seed=seed,
        learning_rate=learning_rate,
    )
    train(
        trainer,
        DrawnClips(checked, 12345),
        output,
        check_minutes=check_minutes,
        check_shape=ClipShape(check_clips, 8, 3, model.image_size),
    )


if __name__ == "__main__":
    main()
