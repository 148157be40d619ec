"""Train the demo SAM2 model from nothing.

    python -m training.train_sam2 --minutes 75 --clips DIR --cutouts DIR --output FOLDER

Single frames first, then clips that grow longer; the learning rate follows a cosine over the given
time (or steps). Every few minutes the averaged weights are checked on held-out clips, written
beside a log, and the state is saved so that the same command goes on after an interruption.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from sam2.modeling.sam2_base import SAM2Base
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from tracker.locations import shipped
from training.assets import Assets, Folders, load_assets
from training.clip_forward import ClipRunner
from training.clips import ClipBatch, ClipShape, ClipStream, make_clip
from training.losses import weighted
from training.prompts import PromptKind

_KINDS: tuple[PromptKind, ...] = ("mask", "box", "points", "box+points")


@dataclass(frozen=True)
class Stage:
    """A part of the schedule: until which share of the run, with which batches and prompts."""

    until: float
    shapes: tuple[ClipShape, ...]
    kind_shares: tuple[float, float, float, float]  # mask, box, points, box+points


# Small frames cost a fraction of the model's own size and teach the same mechanisms (what a prompt
# means, what a memory is for), so most of the run sees them; the end sees the full size.
_SINGLES = ClipShape(clips=10, frames=1, objects=4, size=192)
_SMALL_SINGLES = ClipShape(clips=20, frames=1, objects=4, size=128)
STAGES = (
    Stage(0.2, (_SINGLES,), (0.0, 0.5, 0.3, 0.2)),
    Stage(0.3, (ClipShape(4, 3, 3, 192), _SINGLES), (0.45, 0.3, 0.15, 0.1)),
    Stage(
        0.5,
        (
            *(_SMALL_SINGLES, ClipShape(6, 3, 3, 128), ClipShape(6, 3, 3, 128)),
            *(ClipShape(4, 5, 3, 128), ClipShape(3, 4, 3, 192)),
        ),
        (0.4, 0.4, 0.1, 0.1),
    ),
    Stage(
        0.7,
        (
            *(_SINGLES, ClipShape(4, 4, 3, 192), ClipShape(3, 6, 3, 192)),
            *(ClipShape(2, 8, 3, 192), ClipShape(2, 6, 3, 256), ClipShape(3, 6, 3, 192, real=True)),
        ),
        (0.3, 0.42, 0.16, 0.12),
    ),
    Stage(
        1.0,
        (
            *(ClipShape(2, 4, 3, 320), ClipShape(1, 8, 3, 320), ClipShape(2, 6, 3, 256)),
            *(ClipShape(4, 1, 4, 320), ClipShape(2, 5, 3, 320, real=True)),
        ),
        (0.3, 0.42, 0.16, 0.12),
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
    assets: Assets
    budget: Budget
    seed: int
    learning_rate: float
    workers: int = 0
    stages: tuple[Stage, ...] = STAGES
    step: int = 0
    seconds: float = 0.0
    _streams: dict[ClipShape, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.device = next(self.model.parameters()).device
        self.generator = torch.Generator(self.device).manual_seed(self.seed)
        self.rng = np.random.default_rng(self.seed)
        self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(0.995))
        self.runner = ClipRunner(self.model, self.generator)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        decayed = [p for p in trained if p.ndim > 1]
        plain = [p for p in trained if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=self.learning_rate, betas=(0.9, 0.98))

    def next_batch(self, shape: ClipShape) -> ClipBatch:
        if shape not in self._streams:
            stream = ClipStream(self.assets, shape, self.seed + 1000 * self.step)
            # Spawned: OpenCV's threads do not survive a fork.
            context = "spawn" if self.workers else None
            loader = DataLoader(
                stream, batch_size=None, num_workers=self.workers, multiprocessing_context=context
            )
            self._streams[shape] = iter(loader)
        batch = next(self._streams[shape])
        return ClipBatch(batch.images_bthwc.to(self.device), batch.masks_bkthw.to(self.device))

    def train_step(self) -> dict[str, float]:
        """One update; returns the mean losses."""
        share = self.budget.share(self.seconds, self.step)
        stage = next(s for s in self.stages if share <= s.until)
        shape = stage.shapes[int(self.rng.integers(len(stage.shapes)))]
        shares = np.array(stage.kind_shares)
        if shape.frames == 1:
            shares = shares * [0, 1, 1, 1]
        if shape.real:  # a region is no object: only its mask says what is meant
            shares = np.array([1.0, 0, 0, 0])
        kind = _KINDS[int(self.rng.choice(4, p=shares / shares.sum()))]
        corrections = int(shape.frames == 1 and self.rng.random() < 0.4)
        late = shape.frames > 2 and self.rng.random() < 0.25
        correct_frame = int(self.rng.integers(1, shape.frames)) if late else -1
        warm = min(1.0, (self.step + 1) / 150)
        rate = self.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        started = time.monotonic()
        self.model.train()
        batch = self.next_batch(shape)
        with torch.autocast(self.device.type, torch.bfloat16):
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
        return {k: float(np.mean([float(x[k].detach()) for x in losses])) for k in losses[0]}

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
def validate(model: SAM2Base, assets: Assets, clips: int = 8, size: int = 320) -> dict[str, float]:
    """Mean J (over frames after the first, objects in view) on fixed held-out clips, by prompt."""
    model.eval()
    device = next(model.parameters()).device
    runner = ClipRunner(model, torch.Generator(device).manual_seed(0))
    rng = np.random.default_rng(12345)
    shape = ClipShape(clips=1, frames=8, objects=3, size=size)
    scores: dict[str, list[float]] = {"mask": [], "box": [], "box first frame": []}
    for _ in range(clips):
        images, masks = make_clip(rng, assets, shape)
        both = (torch.from_numpy(part)[None].to(device) for part in (images, masks))
        batch = ClipBatch(*both)
        for kind in ("mask", "box"):
            _, predicted = runner.run(batch, kind)
            truth = batch.masks_bkthw
            union = (predicted | truth).flatten(3).sum(3)
            ious = (predicted & truth).flatten(3).sum(3) / union.clamp(min=1)
            seen = truth.flatten(3).any(3)
            scores[kind] += ious[:, :, 1:][seen[:, :, 1:]].tolist()
            if kind == "box":
                scores["box first frame"] += ious[:, :, 0][seen[:, :, 0]].tolist()
    model.sam_mask_decoder._forward_hooks.clear()
    return {kind: float(np.mean(values)) for kind, values in scores.items()}


def new_model(device: str, seed: int) -> SAM2Base:
    """The demo architecture with random weights, its object score starting at `present`."""
    torch.manual_seed(seed)
    config = OmegaConf.load(shipped("configs") / "sam2" / "demo.yaml")
    model: SAM2Base = instantiate(config.model).to(device)
    # A score below zero gates the mask away and no gradient would ever bring it back.
    torch.nn.init.constant_(model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias, 5.0)
    return model


def export(average: AveragedModel, path: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write the averaged weights in SAM2's checkpoint form."""
    weights = {k: v.to("cpu", dtype) for k, v in average.module.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    torch.save({"model": weights}, partial)
    partial.replace(path)


def train(
    trainer: Trainer,
    val_assets: Assets,
    output: Path,
    *,
    check_minutes: float,
    check_clips: int = 8,
    check_size: int = 320,
    exported: str = "sam2_demo.pt",
    dtype: torch.dtype = torch.float16,
) -> None:
    """Train until the budget is spent; log, check, export and save on the way."""
    output.mkdir(parents=True, exist_ok=True)
    saved = output / "state.pt"
    if saved.exists():
        trainer.restore(torch.load(saved, weights_only=True))
    checked, recent = trainer.seconds, []
    while trainer.budget.share(trainer.seconds, trainer.step) < 1:
        recent.append(trainer.train_step())
        done = trainer.budget.share(trainer.seconds, trainer.step) >= 1
        if len(recent) == 50 or (done and recent):
            means = {k: float(np.mean([r[k] for r in recent])) for k in recent[0]}
            _log(output, trainer, means)
            recent = []
        if trainer.seconds - checked > 60 * check_minutes or done:
            checked = trainer.seconds
            export(trainer.average, output / exported, dtype)
            torch.save(trainer.state(), output / "state.part")
            (output / "state.part").replace(saved)
            scores = validate(trainer.average.module, val_assets, check_clips, check_size)
            _log(output, trainer, scores)


def _log(output: Path, trainer: Trainer, values: dict[str, float]) -> None:
    entry = {"step": trainer.step, "minutes": round(trainer.seconds / 60, 2)}
    entry |= {k: round(v, 4) for k, v in values.items()}
    with (output / "log.jsonl").open("a") as log:
        log.write(json.dumps(entry) + "\n")
    click.echo(json.dumps(entry))


_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--minutes", type=float, help="Train for this long (wall clock).")
@click.option("--steps", type=int, help="Train for this many steps instead; repeatable exactly.")
@click.option("--images", multiple=True, type=_FOLDER, help="A folder of photographs.")
@click.option("--clips", multiple=True, type=_FOLDER, help="A folder of MP4 clips.")
@click.option("--cutouts", multiple=True, type=_FOLDER, help="A folder of cut-outs.")
@click.option("--output", type=click.Path(path_type=Path), required=True)
@click.option("--weights", type=_FILE, help="Start from this checkpoint instead of from nothing.")
@click.option("--begin", default=0.0, show_default=True, help="Place in the schedule, 0 to 1.")
@click.option("--sprites", default=1500, show_default=True, help="Painted objects to begin with.")
@click.option("--learning-rate", default=8e-4, show_default=True)
@click.option("--check-minutes", default=8.0, show_default=True)
@click.option("--workers", default=0, show_default=True, help="Processes that make clips.")
@click.option("--threads", default=2, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(
    minutes: float | None,
    steps: int | None,
    images: tuple[Path, ...],
    clips: tuple[Path, ...],
    cutouts: tuple[Path, ...],
    output: Path,
    weights: Path | None,
    begin: float,
    sprites: int,
    learning_rate: float,
    check_minutes: float,
    workers: int,
    threads: int,
    device: str,
    seed: int,
) -> None:
    """Train the demo SAM2 model."""
    if (minutes is None) == (steps is None):
        raise click.UsageError("give --minutes or --steps")
    torch.set_num_threads(threads)
    folders = Folders(images, clips, cutouts)
    model = new_model(device, seed)
    if weights is not None:
        model.load_state_dict(torch.load(weights, weights_only=True)["model"])
    trainer = Trainer(
        model=model,
        assets=load_assets(folders, sprites=sprites, seed=seed, split="train"),
        budget=Budget(minutes, steps, begin),
        seed=seed,
        learning_rate=learning_rate,
        workers=workers,
    )
    val_assets = load_assets(folders, sprites=max(sprites // 5, 20), seed=seed, split="val")
    train(trainer, val_assets, output, check_minutes=check_minutes)


if __name__ == "__main__":
    main()
