"""`track refine RUN`: correct a finished run, and take corrections back."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracker.cli.progress import ProgressBar
from tracker.cli.prompt_options import parse_prompts, prompt_options
from tracker.errors import PromptError, SettingsError
from tracker.session.prompts_file import read_prompts

if TYPE_CHECKING:
    from tracker.session.refine.refining import Refined

_PATH = click.Path(path_type=Path)


@click.command(short_help="Correct a finished run where it went wrong.")
@click.argument("run", type=_PATH)
@prompt_options
@click.option("--prompts", "file", metavar="FILE.json", help="All prompts as they should be.")
@click.option("--remove", multiple=True, metavar="OBJ@FRAME", help="Take a prompt away.")
@click.option(
    "--drop-object", "dropped", type=int, multiple=True, metavar="OBJ", help="Take an object away."
)
@click.option("--rename", multiple=True, metavar="OBJ=NAME", help="Give an object a name.")
@click.option(
    "--settle",
    default=5,
    metavar="N",
    show_default=True,
    help="Stop where new masks agree with the old ones on N frames in a row; 0: never.",
)
@click.option("--preview", type=_PATH, metavar="PNG", help="Only draw the corrected frame.")
@click.option("--undo", is_flag=True, help="Take the newest revision back.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def refine(
    run: Path,
    points: tuple[str, ...],
    boxes: tuple[str, ...],
    masks: tuple[str, ...],
    file: str | None,
    remove: tuple[str, ...],
    dropped: tuple[int, ...],
    rename: tuple[str, ...],
    settle: int,
    preview: Path | None,
    undo: bool,
    as_json: bool,
) -> None:
    """Correct RUN, the folder of a finished run, where it went wrong.

    A prompt on a frame takes effect from there to the next prompt of the object, or until the masks
    are again what they were, and backward to the frame before it that can be trusted. All other
    masks keep their bytes. Each correction is a revision that --undo takes back.
    """
    from tracker.session.refine import refining
    from tracker.session.refine.corrections import Corrections
    from tracker.session.refine.recomputing import Settling

    corrections = Corrections(
        prompts=tuple(parse_prompts(points, boxes, masks)),
        removed=tuple(_place(text) for text in remove),
        dropped=dropped,
        labels=dict(_name(text) for text in rename),
        replacement=read_prompts(file) if file else None,
    )
    if undo and (corrections.asked or preview):
        raise SettingsError("--undo stands alone")
    if not undo and not corrections.asked:
        raise SettingsError(
            "nothing to correct: give --point, --box, --mask, --prompts, --remove, --drop-object, "
            "--rename or --undo"
        )
    settling = Settling(frames=settle)
    if preview:
        refining.preview(run, corrections, preview)
        click.echo(json.dumps({"preview": str(preview)}) if as_json else preview)
        return
    with ProgressBar() as progress:
        if undo:
            done = refining.undo(run, progress=progress)
        else:
            done = refining.refine(run, corrections, settling, progress=progress)
    _print(done, undo, as_json)


def _place(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)@(\d+)", text)
    if match is None:
        raise PromptError(f"--remove {text}: expected OBJ@FRAME")
    return int(match[1]), int(match[2])


def _name(text: str) -> tuple[int, str]:
    object_id, _, name = text.partition("=")
    if not object_id.isdecimal() or not name.strip():
        raise PromptError(f"--rename {text}: expected OBJ=NAME")
    return int(object_id), name.strip()


def _print(done: Refined, undone: bool, as_json: bool) -> None:
    revision = done.revision
    if as_json:
        value = {
            "run": str(done.run.path),
            "revision": revision.number,
            "undone": undone,
            "frames": done.frames,
            "frames_tracked": revision.frames_tracked,
            "changed": {str(i): list(frames) for i, frames in revision.changed.items()},
            "outdated": list(done.outdated),
        }
        click.echo(json.dumps(value, indent=2))
        return
    what = "undone" if undone else f"{revision.frames_tracked} frames tracked of {done.frames}"
    click.echo(f"revision {revision.number}: {what}")
    for object_id, frames in revision.changed.items():
        click.echo(f"object {object_id}: masks changed on {len(frames)} frames{_spans(frames)}")
    for path in done.outdated:
        click.echo(f"made before, not made again: {path}")


def _spans(frames: Sequence[int]) -> str:
    return f", {frames[0]} to {frames[-1]}" if frames else ""
