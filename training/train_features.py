"""Trains the demo feature model: a small DINOv2 that knows one object's patches from another's.

    python -m training.train_features --minutes 70 --clips CLIPS --cutouts PEOPLE --output FOLDER

Run it again to go on from the last checkpoint in FOLDER. Without folders of images everything is
painted. The model comes out in transformers' own format, weights averaged and in float16.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import normalize
from transformers import Dinov2Config, Dinov2Model

from training.assets import Assets, Folders, load_assets
from training.feature_losses import (
    ImageContrast,
    find_matches,
    object_loss,
    patch_loss,
    region_loss,
)
from training.feature_scores import generated_cases, score, to_input
from training.feature_start import free_parameters, start_from_colours
from training.feature_views import Batches, ViewPairs, random_patches

DEMO = Dinov2Config(
    hidden_size=192,
    num_hidden_layers=6,
    num_attention_heads=3,
    patch_size=14,
    image_size=224,
    mlp_ratio=4,
    attn_implementation="eager",  # on a CPU faster to train than the fused one, at these sizes
)
# To tell objects apart matters more here than to tell the places on one object apart.
_PATCH_WEIGHT = 0.1
_REGION_WEIGHT = 0.7
_OBJECT_WEIGHT = 1.0
_IMAGE_WEIGHT = 0.3
_ANCHORS = 48  # per view
_EMA = 0.995


@dataclass(frozen=True)
class Plan:
    """How long, how much at a time, and where to.

    Attributes:
        minutes, steps: the length; `steps` wins when both are given. The cosine schedule and the
            size of the views follow the share that is done.
        pairs: of views per step.
        save_minutes: between checkpoints, exports and scores.
        log_steps: between lines of `output/log.jsonl`; each holds the mean since the last.
        export: a second folder that gets every export (the first is `output/export`).
        workers: processes that make batches; 0 makes them in this one.
    """

    output: Path
    minutes: float = 70.0
    steps: int | None = None
    pairs: int = 8
    learning_rate: float = 3e-4
    weight_decay: float = 0.05
    save_minutes: float = 10.0
    log_steps: int = 25
    export: Path | None = None
    device: str = "cpu"
    workers: int = 0
    sprites: int = 300
    cases: int = 30
    seed: int = 0


class Trainer:
    """The model, its average, and everything needed to stop and go on."""

    def __init__(self, plan: Plan, config: Dinov2Config, folders: Folders) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.device = plan, torch.device(plan.device)
        self.model = Dinov2Model(config).to(self.device)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.optimizer = _optimizer(free_parameters(self.model), plan)
        self.step, self.elapsed_s = 0, 0.0
        self._checkpoint = plan.output / "checkpoint.pt"
        self._progress = torch.zeros(()).share_memory_()
        plan.output.mkdir(parents=True, exist_ok=True)
        assets = _assets(folders, plan, "train")
        if self._checkpoint.exists():
            self._restore()
        else:
            rng = np.random.default_rng(plan.seed)
            start_from_colours(self.model, random_patches(assets, rng), rng)
            self.average.load_state_dict(self.model.state_dict())
        self.generator = torch.Generator().manual_seed(plan.seed + self.step)
        self._images = ImageContrast(config.hidden_size, self.device)
        batches = Batches(assets, plan.pairs, plan.seed + self.step, self._progress)
        self._batches = torch.utils.data.DataLoader(
            batches,
            batch_size=None,
            num_workers=plan.workers,
            # Spawned: OpenCV's threads do not survive a fork.
            multiprocessing_context="spawn" if plan.workers else None,
        )
        held_back = _assets(folders, plan, "val")
        self._cases = generated_cases(np.random.default_rng(1), held_back, plan.cases)

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
        since: list[dict[str, float]] = []
        for views in self._batches:
            if self.progress >= 1:
                break
            since.append(self._learn(views))
            self.step += 1
            self.elapsed_s = time.monotonic() - started
            self._progress.fill_(self.progress)
            if len(since) == self.plan.log_steps:
                self._log({k: float(np.mean([f[k] for f in since])) for k in since[0]})
                since.clear()
            if self.elapsed_s - saved > 60 * self.plan.save_minutes:
                saved = self.elapsed_s
                self.save()
        self.save()

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
        if self._cases:
            self._log({f"val_{k}": v for k, v in score(self.average, self._cases).items()})

    def _restore(self) -> None:
        state = torch.load(self._checkpoint, map_location=self.device, weights_only=True)
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._progress.fill_(self.progress)

    def _learn(self, views: ViewPairs) -> dict[str, float]:
        self.model.train()
        views = ViewPairs(*(t.to(self.device) for t in vars(views).values()))
        matches = find_matches(views, _ANCHORS, self.generator)
        with torch.autocast(self.device.type, torch.bfloat16):
            tokens = self.model(pixel_values=to_input(views.pixels_vhwc)).last_hidden_state
        tokens = normalize(tokens.float(), dim=-1)
        patches = tokens[:, 1:].flatten(0, 1)
        by_patch, cosines = patch_loss(patches, matches)
        by_region = region_loss(patches, views, matches)
        by_object = object_loss(patches, views)
        by_image = self._images(tokens[:, 0], views.scene_v)
        loss = (
            _PATCH_WEIGHT * by_patch
            + _REGION_WEIGHT * by_region
            + _OBJECT_WEIGHT * by_object
            + _IMAGE_WEIGHT * by_image
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        rate = self.plan.learning_rate * schedule(self.progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self._follow()
        positive = cosines[torch.arange(len(cosines)), matches.positive_k]
        found = (cosines + matches.bias_km).argmax(1) == matches.positive_k
        return {
            "loss": loss.item(),
            "patch": by_patch.item(),
            "region": by_region.item(),
            "object": by_object.item(),
            "image": by_image.item(),
            "found": found.float().mean().item(),
            "positive_cosine": positive.mean().item(),
            "negative_cosine": cosines[matches.bias_km > -9].mean().item(),
            "rate": rate,
        }

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the averaged weights; slowly only once there is something to average."""
        keep = min(_EMA, (1 + self.step) / (10 + self.step))
        for mean, new in zip(self.average.parameters(), self.model.parameters(), strict=True):
            mean.lerp_(new, 1 - keep)

    def _log(self, figures: dict[str, float]) -> None:
        line = {"step": self.step, "minutes": self.elapsed_s / 60, **figures}
        rounded = {k: v if isinstance(v, int) else float(f"{v:.5g}") for k, v in line.items()}
        text = json.dumps(rounded)
        with (self.plan.output / "log.jsonl").open("a") as log:
            log.write(text + "\n")
        print(text, flush=True)


def schedule(progress: float, warm_up: float = 0.03) -> float:
    """The learning rate's factor: a linear start, then a cosine down to 2 %."""
    if progress < warm_up:
        return (progress + 1e-3) / (warm_up + 1e-3)
    turn = (progress - warm_up) / (1 - warm_up)
    return 0.02 + 0.98 * (1 + math.cos(math.pi * turn)) / 2


def export(model: Dinov2Model, folder: Path) -> None:
    """Write `config.json` and `model.safetensors` (float16); a reader never sees half a file."""
    partial = folder / ".partial"
    copy.deepcopy(model).half().save_pretrained(partial)
    for name in ("config.json", "model.safetensors"):
        os.replace(partial / name, folder / name)
    partial.rmdir()


def _optimizer(parameters: list[torch.nn.Parameter], plan: Plan) -> torch.optim.AdamW:
    """AdamW that decays matrices only."""
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": plan.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=plan.learning_rate, betas=(0.9, 0.98))


def _assets(folders: Folders, plan: Plan, split: str) -> Assets:
    """Material of one split."""
    sprites = plan.sprites if split == "train" else max(plan.sprites // 4, 10)
    return load_assets(folders, sprites=sprites, seed=plan.seed, split=split)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, action="append", default=[])
    parser.add_argument("--clips", type=Path, action="append", default=[])
    parser.add_argument("--cutouts", type=Path, action="append", default=[])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--export", type=Path)
    parser.add_argument("--minutes", type=float, default=Plan.minutes)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--pairs", type=int, default=Plan.pairs)
    parser.add_argument("--save-minutes", type=float, default=Plan.save_minutes)
    parser.add_argument("--device", default=Plan.device)
    parser.add_argument("--workers", type=int, default=Plan.workers)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    options = vars(parser.parse_args(arguments))
    torch.set_num_threads(options.pop("threads"))
    folders = Folders(*(tuple(options.pop(kind)) for kind in ("images", "clips", "cutouts")))
    Trainer(Plan(**options), DEMO, folders).run()


if __name__ == "__main__":
    main()
