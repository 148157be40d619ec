"""`track label FOLDER`: a data set from a folder of images and the reference memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tracker.cli.image_options import (
    default_folder,
    finish,
    memory_options,
    output_options,
    wanted,
)
from tracker.cli.progress import ProgressBar


@click.command(short_help="Label a folder of images by the reference memory.")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@memory_options
@output_options("coco,yolo")
def label(
    images: tuple[Path, ...],
    output: Path | None,
    overwrite: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Label IMAGES, files or folders: every object that the reference memory knows, with its score.

    An image may have several objects of one label. review.csv lists the images that a person
    should look at, and why. What is done is not done again.
    """
    from tracker.session.images.batch import segment_images
    from tracker.session.images.settings import ImageSettings

    what = wanted(options, review=True)
    settings = ImageSettings.from_options(auto_prompt=True, **options)
    folder = output or default_folder(images, "labels")
    with ProgressBar() as progress:
        batch = segment_images(
            images, folder, settings, (), what, overwrite=overwrite, progress=progress
        )
    finish(batch, as_json, asked_memory=True)
