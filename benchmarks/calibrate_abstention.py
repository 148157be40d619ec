"""Choose the score below which `--auto-prompt` abstains, on generated clips.

    python -m benchmarks.calibrate_abstention [--cases 150] [--write]

Scores each clip with a reference of its own object and with a foreign one. The threshold is the
highest that still accepts 98 % of the own ones, for to abstain costs a message, and to follow
something else costs the run; or higher, where that would refuse less than 93 % of the foreign
ones. The clips are others than those that `benchmarks.demo_models` scores. With --write it goes
into `configs/abstention.json`.
"""

from __future__ import annotations

import json

import click
import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.demo_models import Bench
from benchmarks.generated_cases import cases
from tracker.locations import shipped
from tracker.masks import iou

_REFUSED, _ACCEPTED = 0.93, 0.98


@click.command()
@click.option("--cases", "count", default=150, show_default=True)
@click.option("--write", is_flag=True, help="Write the threshold into configs/abstention.json.")
def main(count: int, write: bool) -> None:
    """Calibrate abstention for the demo models."""
    bench = Bench()
    own, foreign, quality = [], [], []
    for case in cases(count, seed=1):
        decision = bench.ask(case.frames[0], case.own, 0.0)
        own.append(decision.score)
        quality.append(
            0.0 if decision.mask_hw is None else iou(decision.mask_hw, case.truth_thw[0])
        )
        foreign.append(bench.ask(case.frames[0], case.foreign, 0.0).score)
    refusing, accepting = np.quantile(foreign, _REFUSED), np.quantile(own, 1 - _ACCEPTED)
    threshold = round(float(max(refusing, accepting)), 3)
    auroc = roc_auc_score([1] * len(own) + [0] * len(foreign), own + foreign)
    accepted = np.array(own) >= threshold
    click.echo(f"own object against foreign: AUROC {auroc:.3f}")
    refused = np.array(foreign) < threshold
    click.echo(f"threshold {threshold}: own accepted {accepted.mean():.3f}")
    click.echo(f"foreign refused {refused.mean():.3f}")
    click.echo(f"IoU of the first mask: all {np.mean(quality):.3f}")
    click.echo(f"IoU where accepted {np.mean(np.array(quality)[accepted]):.3f}")
    if write:
        path = shipped("configs") / "abstention.json"
        known = json.loads(path.read_text())
        known["demo"] = {
            "threshold": threshold,
            "data": f"{count} generated clips with painted objects (benchmarks/generated_cases.py)",
            "command": f"python -m benchmarks.calibrate_abstention --cases {count} --write",
        }
        path.write_text(json.dumps(known, indent=2) + "\n")


if __name__ == "__main__":
    main()
