"""`track segment IMAGE…`: single images, the way people use SAM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tracker.cli.image_options import (
    default_folder,
    finish,
    memory_options,
    output_options,
    setting,
    wanted,
)
from tracker.cli.progress import ProgressBar
from tracker.cli.prompt_options import parse_prompts, prompt_options
from tracker.session.prompts_file import read_prompts


@click.command(short_help="Segment single images.")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@prompt_options
@click.option("--prompts", "files", multiple=True, metavar="FILE.json", help="Prompts from a file.")
@setting("auto_prompt", "Find the objects by the reference memory.")
@setting("everything", "Segment whatever stands out.")
@click.option(
    "--boxes", "boxes_from", metavar="FILE", help="A detector's boxes: JSON, COCO or YOLO."
)
@setting("text", "Boxes by words: phrases, each ended by a full stop.", "'A DOG . A BALL .'")
@setting("detector", "Finds the words: a model of kind detector, or a folder.")
@setting("box_threshold", "Drop a detector's boxes with a lower score.", "X")
@memory_options
@setting("points_per_side", "Of the grid of --everything.", "N")
@setting("min_iou", "Drop masks that the decoder trusts less.", "X")
@setting("min_stability", "Drop masks that change more with the threshold.", "X")
@setting("box_nms", "Of two masks with a greater box IoU, keep the better.", "X")
@setting("crop_layers", "Search the image again in parts of half the size, so often.", "N")
@setting("min_area", "Drop masks with fewer pixels.", "N")
@output_options("png")
def segment(
    images: tuple[Path, ...],
    points: tuple[str, ...],
    boxes: tuple[str, ...],
    masks: tuple[str, ...],
    files: tuple[str, ...],
    boxes_from: str | None,
    output: Path | None,
    overwrite: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Segment IMAGES: files, or folders of images.

    Objects are shown by prompts in pixels (FRAME is the image's place, from 0), found by the
    reference memory (--auto-prompt), boxed by a detector, or simply everything. What is done is not
    done again; an image that fails does not stop the others.
    """
    from tracker.session.images.batch import segment_images
    from tracker.session.images.settings import ImageSettings

    what = wanted(options, review=False)
    settings = ImageSettings.from_options(boxes=boxes_from, **options)
    prompts = parse_prompts(points, boxes, masks)
    for file in files:
        prompts += read_prompts(file)
    folder = output or default_folder(images, "segments")
    with ProgressBar() as progress:
        batch = segment_images(
            images, folder, settings, prompts, what, overwrite=overwrite, progress=progress
        )
    finish(batch, as_json, settings.auto_prompt)
