"""Trains the demo feature model: a small DINOv2 that knows one object's patches from another's.

    python -m training.train_features --bank bank.npz --minutes 5 --device cuda --output FOLDER

Run it again to go on from the last checkpoint in FOLDER. Without a bank everything is painted. The
model comes out in transformers' own format, weights averaged and in float16.
"""

from __future__ import annotations

import copy
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from transformers import Dinov2Config, Dinov2Model

from training.bank import Bank, load_bank
from training.feature_losses import (
    draw_rivals,
    gather_tokens,
    image_loss,
    object_loss,
    patch_loss,
    region_loss,
)
from training.feature_scores import drawn_cases, followed_cases, score, to_input
from training.feature_start import start_from_components
from training.feature_views import PATCH, DrawnViews, Views

DEMO = Dinov2Config(
    hidden_size=192,
    num_hidden_layers=8,
    num_attention_heads=3,
    patch_size=PATCH,
    image_size=224,
    mlp_ratio=4,
    attn_implementation="sdpa",
    colour_share=0.5,  # read by tracker.models.dinov2, which puts colours beside the tokens
)
# To tell objects apart matters more here than to tell the places on one object apart.
_PATCH_WEIGHT = 0.5
_REGION_WEIGHT = 0.7
_OBJECT_WEIGHT = 1.0
_IMAGE_WEIGHT = 0.3
_ANCHORS = 24  # per view
_RIVALS = 8192
_EMA = 0.995
_CENTRING = 0.1  # of the way to a mean patch of 0, at each step
# Patches down and across, by progress: small views first, which are cheap, then those of a video.
_GRIDS = (
    (0.35, ((10, 10), (12, 12), (10, 14))),
    (0.75, ((12, 12), (14, 14), (12, 18))),
    (1.01, ((14, 14), (16, 16), (14, 24), (18, 32))),
)


@dataclass(frozen=True)
class Plan:
    """How long, how much at a time, and where to.

    Attributes:
        minutes, steps: the length; `steps` wins when both are given. The cosine schedule and the
            size of the views follow the share that is done.
        patches: of all views of a step.
        save_minutes: between checkpoints, exports and scores.
        log_steps: between lines of `output/log.jsonl`; each holds the mean since the last.
        export: a second folder that gets every export (the first is `output/export`).
    """

    output: Path
    bank: Path | None = None
    minutes: float = 30.0
    steps: int | None = None
    patches: int = 32768
    learning_rate: float = 8e-4
    weight_decay: float = 0.05
    save_minutes: float = 1.0
    log_steps: int = 50
    export: Path | None = None
    device: str = "cpu"
    sprites: int = 300
    textures: int = 120
    cases: int = 30
    seed: int = 0


class Trainer:
    """The model, its average, and everything needed to stop and go on."""

    def __init__(self, plan: Plan, config: Dinov2Config) -> None:
        torch.manual_seed(plan.seed)
        torch.set_float32_matmul_precision("high")
        self.plan, self.device = plan, torch.device(plan.device)
        self.model = Dinov2Model(config).to(self.device).train()
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.optimizer = _optimizer(self.model, plan)
        self.step, self.skipped, self.elapsed_s = 0, 0, 0.0
        self._centre = torch.zeros(config.hidden_size, device=self.device)
        self._checkpoint = plan.output / "checkpoint.pt"
        plan.output.mkdir(parents=True, exist_ok=True)
        held_back = _bank(plan, "val")
        self._cases = {
            "val": drawn_cases(held_back, plan.cases, plan.seed),
            "real": followed_cases(held_back, plan.cases),
        }
        if self._checkpoint.exists():
            self._restore()
        # A training that goes on sees other views than it has seen.
        self._views = DrawnViews(_bank(plan, "train"), plan.seed + self.step)
        self._rng = np.random.default_rng((plan.seed, self.step))
        if not self.step:
            start_from_components(self.model, to_input(self.draw().pixels_v3hw))
            self.average.load_state_dict(self.model.state_dict())

    @property
    def progress(self) -> float:
        """The share of the training that is done, 0 to 1."""
        if self.plan.steps is not None:
            return min(self.step / self.plan.steps, 1.0)
        return min(self.elapsed_s / 60 / self.plan.minutes, 1.0)

    def run(self) -> None:
        """Train to the end of the plan; log, save, export and score on the way."""
        started = time.monotonic() - self.elapsed_s
        saved = self.elapsed_s
        since: list[dict[str, torch.Tensor]] = []
        while self.progress < 1:
            since.append(self._learn(self.draw()))
            self.step += 1
            self.elapsed_s = time.monotonic() - started
            if len(since) == self.plan.log_steps:
                means = {k: float(torch.stack([f[k] for f in since]).mean()) for k in since[0]}
                self._log({**means, "skipped": self.skipped})
                since.clear()
            if self.elapsed_s - saved > 60 * self.plan.save_minutes:
                saved = self.elapsed_s
                self.save()
        self.save()

    def draw(self) -> Views:
        """The views of one step, of a size that fits the progress."""
        grids = next(sizes for until, sizes in _GRIDS if self.progress < until)
        rows, columns = grids[int(self._rng.integers(len(grids)))]
        return self._views.batch(max(self.plan.patches // (2 * rows * columns), 2), (rows, columns))

    def save(self) -> None:
        """Write the checkpoint and the exported model, then score the averaged weights."""
        state = {
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        partial = self._checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, self._checkpoint)
        for folder in (self.plan.output / "export", self.plan.export):
            if folder is not None:
                export(self.average, folder)
        for name, cases in self._cases.items():
            if cases:
                self._log({f"{name}_{k}": v for k, v in score(self.average, cases).items()})

    def _restore(self) -> None:
        state = torch.load(self._checkpoint, map_location=self.device, weights_only=True)
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _learn(self, views: Views) -> dict[str, torch.Tensor]:
        rate = self.plan.learning_rate * schedule(self.progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, figures = self._losses(views)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        if norm.isfinite():  # one broken batch must not end the training
            self.optimizer.step()
            self._move_centre()
            self._follow()
        else:
            self.skipped += 1
        figures |= {"norm": norm, "rate": torch.tensor(rate)}
        return {name: figure.detach() for name, figure in figures.items()}

    def _losses(self, views: Views) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The weighted sum, and its parts."""
        dice = self._views.dice
        # Half precision is slower than single on most CPUs.
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            hidden = self.model(pixel_values=to_input(views.pixels_v3hw)).last_hidden_state
        # Without this everything grows alike at first, and takes long to part again.
        centre = hidden[:, 1:].float().mean((0, 1))
        self._centre = centre.detach()
        tokens = gather_tokens(hidden.float() - centre, views, temperature(self.progress))
        rivals = draw_rivals(tokens, views, _RIVALS, dice)
        by_patch, patch_figures = patch_loss(tokens, views, rivals, _ANCHORS, dice)
        by_region, region_figures = region_loss(tokens, views, _ANCHORS, dice)
        by_object = object_loss(tokens, views, rivals)
        by_image = image_loss(tokens, views)
        loss = (
            _PATCH_WEIGHT * by_patch
            + _REGION_WEIGHT * by_region
            + _OBJECT_WEIGHT * by_object
            + _IMAGE_WEIGHT * by_image
        )
        parts = {"patch": by_patch, "region": by_region, "object": by_object, "image": by_image}
        return loss, {"loss": loss, **parts, **patch_figures, **region_figures}

    @torch.no_grad()
    def _move_centre(self) -> None:
        """Let the model itself take away the mean patch that the losses are spared."""
        self.model.layernorm.bias.sub_(_CENTRING * self._centre)

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the averaged weights; slowly only once there is something to average."""
        keep = min(_EMA, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(
            list(self.average.parameters()), list(self.model.parameters()), 1 - keep
        )

    def _log(self, figures: dict[str, float]) -> None:
        line = {"step": self.step, "minutes": self.elapsed_s / 60, **figures}
        rounded = {k: v if isinstance(v, int) else float(f"{v:.5g}") for k, v in line.items()}
        text = json.dumps(rounded)
        with (self.plan.output / "log.jsonl").open("a") as log:
            log.write(text + "\n")
        print(text, flush=True)


def schedule(progress: float, warm_up: float = 0.05) -> float:
    """The learning rate's factor: a linear start, then a cosine down to 2 %."""
    if progress < warm_up:
        return (progress + 1e-3) / (warm_up + 1e-3)
    turn = (progress - warm_up) / (1 - warm_up)
    return 0.02 + 0.98 * (1 + math.cos(math.pi * turn)) / 2


def temperature(progress: float, first: float = 0.2, last: float = 0.07) -> float:
    """What cosines are divided by: it falls in the first half.

    Thousands of negatives around cosine 0 push a positive towards cosine 0.7 and more at the last
    temperature. At the start, when any two patches may be alike, it would push all together.
    """
    return first * (last / first) ** min(2 * progress, 1.0)


def export(model: Dinov2Model, folder: Path) -> None:
    """Write `config.json` and `model.safetensors` (float16); a reader never sees half a file."""
    partial = folder / ".partial"
    copy.deepcopy(model).half().save_pretrained(partial)
    for name in ("config.json", "model.safetensors"):
        os.replace(partial / name, folder / name)
    partial.rmdir()


def _optimizer(model: Dinov2Model, plan: Plan) -> torch.optim.AdamW:
    """AdamW that decays matrices only."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": plan.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    fused = plan.device.startswith("cuda")
    return torch.optim.AdamW(groups, lr=plan.learning_rate, betas=(0.9, 0.98), fused=fused)


def _bank(plan: Plan, split: str) -> Bank:
    """Material of one split."""
    share = 1 if split == "train" else 4
    return load_bank(
        plan.bank,
        sprites=plan.sprites // share,
        textures=plan.textures // share,
        seed=plan.seed,
        split=split,
        device=plan.device,
    )


@click.command()
@click.option("--bank", type=click.Path(exists=True, path_type=Path), help="Packed material.")
@click.option("--output", type=click.Path(path_type=Path), required=True)
@click.option("--export", type=click.Path(path_type=Path), help="Gets every export, too.")
@click.option("--minutes", default=Plan.minutes, show_default=True)
@click.option("--steps", type=int, help="Instead of minutes: a run that can be repeated.")
@click.option("--patches", default=Plan.patches, show_default=True, help="In the views of a step.")
@click.option("--learning-rate", default=Plan.learning_rate, show_default=True)
@click.option("--save-minutes", default=Plan.save_minutes, show_default=True)
@click.option("--device", default=Plan.device, show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--seed", default=Plan.seed, show_default=True)
def main(threads: int, **options: Any) -> None:
    """Train the demo feature model."""
    torch.set_num_threads(threads)
    Trainer(Plan(**options), DEMO).run()


if __name__ == "__main__":
    main()
