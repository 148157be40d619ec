"""`track run VIDEO`: the main job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import click

from tracker import settings as choices
from tracker.cli.progress import ProgressBar
from tracker.cli.prompt_options import parse_prompts, prompt_options
from tracker.cli.summary import print_summary
from tracker.session.prompts_file import read_prompts
from tracker.settings import TrackSettings


def _choice(kind: Any) -> click.Choice[str]:
    return click.Choice(get_args(kind))


@click.command(short_help="Track objects through a video (the default command).")
@click.argument("video", type=click.Path(path_type=Path))
@click.option("--auto-prompt", is_flag=True, help="Find the object by the reference memory.")
@prompt_options
@click.option("--prompts", "files", multiple=True, metavar="FILE.json", help="Prompts from a file.")
@click.option("--memory", metavar="DIR", help="The reference memory. [default: the user's own]")
@click.option("--label", "labels", multiple=True, metavar="NAME", help="Look for this label only.")
@click.option("--prompt-kind", type=_choice(choices.PromptKind), help="What a match becomes.")
@click.option("--max-per-label", type=int, metavar="N", help="Objects per label. [default: 1]")
@click.option(
    "--search-frames", type=int, metavar="N", help="Look for the object in the first N frames only."
)
@click.option(
    "--fallback", type=_choice(choices.Fallback), help="What to prompt when nothing matches."
)
@click.option("--remember", is_flag=True, help="Add the first accepted mask to the memory.")
@click.option("--model", metavar="NAME", help="A SAM2 model: auto, demo, sam2.1_hiera_tiny …")
@click.option("--features", metavar="NAME", help="A feature model: auto, demo, dinov2_small …")
@click.option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--image-size", type=int, metavar="N", help="Side of the model's image, in pixels.")
@click.option("--preset", metavar="NAME", help="fast or quality: a set of settings.")
@click.option("--reader", type=_choice(choices.Reader), help="The video reader.")
@click.option("--start", type=int, metavar="N", help="First frame, from 0.")
@click.option("--end", type=int, metavar="N", help="Frame to stop before.")
@click.option("--stride", type=int, metavar="N", help="Process every Nth frame.")
@click.option("--direction", type=_choice(choices.Direction), help="Where to track from a prompt.")
@click.option("--seed", type=int, metavar="N", help="For everything random.")
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR", help="The run folder.")
@click.option("--overwrite", is_flag=True, help="Replace the run that is in the run folder.")
@click.option("--no-video", is_flag=True, help="Write no annotated video.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON, nothing else.")
def run(
    video: Path,
    points: tuple[str, ...],
    boxes: tuple[str, ...],
    masks: tuple[str, ...],
    files: tuple[str, ...],
    output: Path | None,
    overwrite: bool,
    no_video: bool,
    preset: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Track objects through VIDEO, a file or a folder of images.

    Objects are found by the reference memory (--auto-prompt) or by prompts, in pixels of the
    upright video; OBJ is the object's number (default 1), FRAME counts from 0. Everything is kept
    in the run folder, runs/<name of the video> by default.
    """
    settings = TrackSettings.from_options(preset, video=not no_video, **options)
    prompts = parse_prompts(points, boxes, masks)
    for file in files:
        prompts += read_prompts(file)
    from tracker.session.summary import summarise
    from tracker.session.tracking import track

    with ProgressBar() as progress:
        done = track(video, settings, prompts, output, overwrite=overwrite, progress=progress)
    summary = summarise(done)
    if as_json:
        click.echo(json.dumps(summary.to_json(), indent=2))
    else:
        print_summary(summary)
