"""Fine-tune a SAM2 on one's own annotated clips.

    track export RUN --format davis --output MINE
    python -m training.finetune_sam2 MINE --model sam2.1_hiera_tiny --steps 500 --output FOLDER

MINE may hold many clips, and several folders may be named. Every fifth clip is kept for checking.
The weights that come out load wherever the model's own do.
"""

from __future__ import annotations

from pathlib import Path

import click
import torch
from sam2.modeling.sam2_base import SAM2Base

from tracker.errors import TrackError
from tracker.models.building import build_from_config, load_weights
from tracker.models.registry import resolve
from training.annotated import AnnotatedClip, annotated_clips
from training.clips import AnnotatedClips, ClipShape
from training.train_sam2 import Budget, Stage, Trainer, train

_PARTS = {
    "decoder": ("sam_mask_decoder", "sam_prompt_encoder", "obj_ptr_", "no_obj_"),
    "memory": ("memory_", "maskmem_", "mask_downsample", "no_mem_"),
    "trunk": ("image_encoder",),
}
"""The beginnings of SAM2's parameter names (sam2/modeling/sam2_base.py), by part."""


def tuned_model(name: str, parts: tuple[str, ...], device: str) -> SAM2Base:
    """The installed model `name`, of which only `parts` learn.

    Raises:
        ModelError: for a model that is unknown, not installed or damaged.
    """
    files = resolve(name, "sam2")
    target = "++model._target_=sam2.modeling.sam2_base.SAM2Base"
    model: SAM2Base = build_from_config(files.config, torch.device(device), "train", [target])
    load_weights(model, files.path, str(files.config))
    beginnings = tuple(beginning for part in parts for beginning in _PARTS[part])
    for parameter_name, parameter in model.named_parameters():
        parameter.requires_grad = parameter_name.startswith(beginnings)
    return model


def stages(size: int, clips: int, frames: int) -> tuple[Stage, ...]:
    """Single frames now and then, and clips prompted by a mask, a box or points."""
    shapes = (
        *(ClipShape(clips, frames, 3, size), ClipShape(clips, max(frames // 2, 2), 3, size)),
        ClipShape(2 * clips, 1, 3, size),
    )
    return (Stage(1.0, shapes, (0.4, 0.35, 0.1, 0.15)),)


def split(clips: list[AnnotatedClip]) -> tuple[list[AnnotatedClip], list[AnnotatedClip]]:
    """Clips to learn from and clips to check on, the same ones when there are fewer than five."""
    if len(clips) < 5:
        return clips, clips
    return [c for i, c in enumerate(clips) if i % 5 != 4], clips[4::5]


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--model", default="sam2.1_hiera_tiny", show_default=True, help="An installed model.")
@click.option(
    "--train",
    "parts",
    multiple=True,
    type=click.Choice(list(_PARTS)),
    default=("decoder", "memory"),
    show_default=True,
    help="What learns. The trunk takes more memory and many more clips.",
)
@click.option("--minutes", type=float, help="Train for this long (wall clock).")
@click.option("--steps", type=int, help="Train for this many steps instead; repeatable exactly.")
@click.option("--output", type=click.Path(path_type=Path), required=True)
@click.option("--size", default=512, show_default=True, help="Side of the frames in pixels.")
@click.option("--frames", default=6, show_default=True, help="Frames of a clip.")
@click.option("--clips", default=1, show_default=True, help="Clips of a batch.")
@click.option("--learning-rate", default=2e-5, show_default=True)
@click.option("--check-minutes", default=10.0, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(
    folders: tuple[Path, ...],
    model: str,
    parts: tuple[str, ...],
    minutes: float | None,
    steps: int | None,
    output: Path,
    size: int,
    frames: int,
    clips: int,
    learning_rate: float,
    check_minutes: float,
    device: str,
    seed: int,
) -> None:
    """Fine-tune a SAM2 on FOLDERS in DAVIS's layout."""
    if (minutes is None) == (steps is None):
        raise click.UsageError("give --minutes or --steps")
    try:
        found = [clip for folder in folders for clip in annotated_clips(folder)]
        tuned = tuned_model(model, parts, device)
    except (ValueError, TrackError) as error:
        raise click.UsageError(str(error)) from error
    learned, checked = split(found)
    trainer = Trainer(
        model=tuned,
        source=AnnotatedClips(learned, seed, device),
        budget=Budget(minutes, steps),
        stages=stages(size, clips, frames),
        seed=seed,
        learning_rate=learning_rate,
    )
    train(
        trainer,
        AnnotatedClips(checked, 12345, device),
        output,
        check_minutes=check_minutes,
        check_shape=ClipShape(8, 8, 3, size),
        exported=f"{model}_tuned.pt",
        dtype=torch.float32,
    )
    click.echo(f"weights: {output / f'{model}_tuned.pt'}")


if __name__ == "__main__":
    main()
