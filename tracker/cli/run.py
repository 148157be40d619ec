"""`track run VIDEO`: the main job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from tracker.cli.progress import ProgressBar
from tracker.cli.prompt_options import parse_prompts, prompt_options
from tracker.cli.setting_options import settings_of
from tracker.cli.summary import print_summary
from tracker.errors import SettingsError
from tracker.session.prompts_file import read_prompts
from tracker.settings import DEFAULTS, TrackSettings

_PATH = click.Path(path_type=Path)


_setting = settings_of(DEFAULTS)


@click.command(short_help="Track objects through a video (the default command).")
@click.argument("video", type=click.Path(path_type=Path))
@_setting("auto_prompt", "Find the objects by the reference memory.")
@prompt_options
@click.option("--prompts", "files", multiple=True, metavar="FILE.json", help="Prompts from a file.")
@_setting("memory", "The reference memory. [default: the user's own]", "DIR")
@_setting("labels", "Look for this label only; repeatable.")
@_setting("prompt_kind", "What a match becomes; auto tries all and keeps the best.")
@_setting("max_per_label", "Objects per label, at most.", "N")
@_setting("search_frames", "Look for objects in the first N frames. [default: all]", "N")
@_setting("fallback", "When nothing matches, prompt the middle of the first frame.")
@_setting("remember", "Add the first accepted mask to the memory.")
@click.option(
    *("--boxes", "boxes_from"),
    type=click.Path(resolve_path=True),
    metavar="FILE",
    help="Boxes of a detector on the first frame: JSON, COCO or YOLO.",
)
@_setting("text", "Such boxes by words: phrases, each ended by a full stop.", "'A DOG . A BALL .'")
@_setting("detector", "Finds the words: a model of kind detector, or a folder.")
@_setting("box_threshold", "Drop a detector's boxes with a lower score.", "X")
@_setting("detect_every", "Ask for boxes again every N frames: what is new joins.", "N")
@_setting(
    "redetect", "Look for lost objects again. [default: auto; off with --exact, --detect-every]"
)
@_setting("redetect_after", "Look when an object was lost or doubtful on N frames.", "N")
@_setting("redetect_every", "Look on every Nth frame while it is lost.", "N")
@_setting("appearance_every", "Compare objects with what was prompted every N frames.", "N")
@_setting("model", "A SAM2 model, see `track models list`; auto: the best installed.")
@_setting("features", "A feature model; auto: the memory's own.")
@_setting("device", "auto, cpu, cuda, cuda:N or mps.")
@_setting("image_size", "Side of the model's image, a multiple of 32. [default: its own]", "N")
@click.option("--preset", metavar="NAME", help="fast or quality; other options win over it.")
@_setting("reader", "What decodes the video.")
@_setting("start", "First frame to process.", "N")
@_setting("end", "Frame to stop before. [default: the end]", "N")
@_setting("stride", "Process every Nth frame.", "N")
@_setting("direction", "Where masks are carried from the prompts.")
@_setting("exact", "One object at a time by SAM2's own code, for its bits.")
@_setting("precision", "The model's float type; auto: bfloat16 where it pays.")
@_setting("compile", "Compile the model; pays for long videos on a GPU.")
@_setting("graphs", "Record and replay a GPU's kernels: same masks, faster on CUDA.")
@_setting("batch_frames", "Frames that the image encoder takes at once. [default: what pays]", "N")
@_setting("memory_policy", "Which past frames the model reads.")
@_setting("edges", "Whose edges masks have; auto: the picture's if the image size is small.")
@_setting("candidates", "What picks among a frame's masks; picture: colours too; auto: as --edges.")
@_setting("seed", "For everything that draws random numbers.", "N")
@click.option(
    "--output", type=_PATH, metavar="DIR", help="The run folder. [default: runs/<name of VIDEO>]"
)
@click.option("--overwrite", is_flag=True, help="Replace the run that is in the run folder.")
@click.option(
    "--resume", is_flag=True, help="Go on with the run that is there, if it was interrupted."
)
@click.option("--no-video", is_flag=True, help="Write masks and scores, but no pictures.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON, nothing else.")
def run(
    video: Path,
    points: tuple[str, ...],
    boxes: tuple[str, ...],
    masks: tuple[str, ...],
    files: tuple[str, ...],
    boxes_from: str | None,
    output: Path | None,
    overwrite: bool,
    resume: bool,
    no_video: bool,
    preset: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Track objects through VIDEO, a file or a folder of images.

    Objects are found by the reference memory (--auto-prompt) or by a detector (--boxes, --text), or
    shown by prompts in pixels of the upright video; OBJ is the object's number (default 1), FRAME
    counts from 0. Masks, scores and the annotated video are kept in the run folder.
    """
    settings = TrackSettings.from_options(preset, video=not no_video, boxes=boxes_from, **options)
    prompts = parse_prompts(points, boxes, masks)
    for file in files:
        prompts += read_prompts(file)
    if resume and overwrite:
        raise SettingsError("give --resume or --overwrite, not both")
    from tracker.session.resume.resuming import track_or_resume
    from tracker.session.summary import summarise
    from tracker.session.tracking import track

    with ProgressBar() as progress:
        if resume:
            done = track_or_resume(video, settings, prompts, output, progress=progress)
        else:
            done = track(video, settings, prompts, output, overwrite=overwrite, progress=progress)
    summary = summarise(done)
    if as_json:
        click.echo(json.dumps(summary.to_json(), indent=2))
    else:
        print_summary(summary)
