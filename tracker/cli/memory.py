"""`track memory`: looking after the references that objects are found with."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from tracker import locations
from tracker.cli.prompt_options import parse_prompts
from tracker.errors import PromptError, ReferenceMemoryError, TrackError
from tracker.masks import BoolMask
from tracker.memory.store import SHORT_ID, ReferenceMemory, own_feature_model

# Whatever needs torch is imported in the functions that use it: `list` and its like answer at once.
if TYPE_CHECKING:
    from tracker.models.dinov2 import FeatureExtractor

Command = TypeVar("Command", bound=Callable[..., Any])

_PATH = click.Path(path_type=Path)


def _memory_option(command: Command) -> Command:
    help_text = "The reference memory. [default: the user's own]"
    return click.option("--memory", "folder", type=_PATH, metavar="DIR", help=help_text)(command)


def _model_options(command: Command) -> Command:
    """`--memory`, and which feature model describes images and where it runs."""
    features = click.option(
        "--features", default="auto", metavar="NAME", help="A feature model; auto is the memory's."
    )
    device = click.option("--device", default="auto", metavar="NAME", help="auto, cpu, cuda …")
    return _memory_option(features(device(command)))


@click.group()
def memory() -> None:
    """Keep the references that objects are found with: images with a mask and a label.

    An ID may be shortened to its first digits as long as they are clear.
    """


@memory.command()
@click.argument("image", type=_PATH, required=False)
@click.option("--label", metavar="NAME", help="The object's name. [default for a run: its own]")
@click.option("--mask", type=_PATH, metavar="FILE", help="A mask image of the object.")
@click.option("--point", "points", multiple=True, metavar="X,Y[,-]", help="A pixel on it, or not.")
@click.option("--box", "boxes", multiple=True, metavar="X1,Y1,X2,Y2", help="A box around it.")
@click.option("--from-run", "run", type=_PATH, metavar="RUN", help="Take it from a run folder.")
@click.option("--frame", type=int, metavar="N", help="With --from-run: the frame, from 0.")
@click.option(
    "--object", "object_id", type=int, metavar="ID", help="Which object of mask or run, if several."
)
@click.option("--model", default="auto", metavar="NAME", help="The SAM2 model for points and box.")
@_model_options
def add(
    image: Path | None,
    label: str | None,
    mask: Path | None,
    points: tuple[str, ...],
    boxes: tuple[str, ...],
    run: Path | None,
    frame: int | None,
    object_id: int | None,
    model: str,
    folder: Path | None,
    features: str,
    device: str,
) -> None:
    """Add a reference: IMAGE with a mask, a point or a box; or an object of a run.

    Adding the same image, mask and label again changes nothing.
    """
    ways = [image is not None and mask is not None, bool(points or boxes), run is not None]
    if sum(ways) != 1 or (run is None) == (image is None) or (run is None) != (frame is None):
        raise click.UsageError(
            "give IMAGE with --mask, or IMAGE with --point and --box, or --from-run with --frame"
        )
    if run is not None and frame is not None:
        image_hwc, mask_hw, run_label = _from_run(run, object_id, frame)
        label = label or run_label
    elif image is not None:
        image_hwc, mask_hw = _from_image(image, mask, object_id, (points, boxes), (model, device))
    if not label:
        raise click.UsageError("the reference needs a name: --label NAME")
    opened, _ = _open(folder, features, device, create=True)
    reference = opened.add(image_hwc, mask_hw, label)
    count = len(opened.list())
    click.echo(f"{reference.id[:SHORT_ID]}  {reference.label}  ({count} in {opened.folder})")


@memory.command("list")
@_memory_option
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def list_references(folder: Path | None, as_json: bool) -> None:
    """List all references."""
    entries = _look_after(folder).list()
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in entries], indent=2))
        return
    table = Table("id", "label", "image", "object", "added", box=None)
    for entry in entries:
        share = entry.area_px / (entry.width * entry.height)
        size = f"{entry.width}x{entry.height}"
        day = entry.added_at.replace("T", " ").removesuffix("+00:00")
        table.add_row(entry.id[:SHORT_ID], Text(entry.label), size, f"{share:.1%}", day)
    _print(table)


@memory.command()
@click.argument("reference", metavar="ID")
@click.option("--output", type=_PATH, metavar="PNG", help="[default: a temporary file]")
@_memory_option
def show(reference: str, output: Path | None, folder: Path | None) -> None:
    """Write a picture of a reference with its object marked, and print its path."""
    from tracker.memory.pictures import mark_object

    found = _look_after(folder).get(reference)
    if output is None:
        output = Path(tempfile.mkdtemp(prefix="track-")) / f"{found.id[:SHORT_ID]}.png"
    _write_picture(output, mark_object(found.image_hwc, found.mask_hw))


@memory.command()
@click.argument("references", nargs=-1, required=True, metavar="ID...")
@_memory_option
def remove(references: tuple[str, ...], folder: Path | None) -> None:
    """Remove references and their files."""
    opened = _look_after(folder)
    ids = [opened.find(reference) for reference in references]  # all clear before the first goes
    for full_id in dict.fromkeys(ids):
        opened.remove(full_id)
        click.echo(f"removed {full_id[:SHORT_ID]}")


@memory.command()
@click.argument("image", type=_PATH)
@click.option("-k", type=click.IntRange(min=1), default=5, show_default=True, help="How many.")
@click.option("--label", "labels", multiple=True, metavar="NAME", help="Only this label.")
@click.option("--json", "as_json", is_flag=True, help="Print the ranking as JSON.")
@_model_options
def search(
    image: Path,
    k: int,
    labels: tuple[str, ...],
    as_json: bool,
    folder: Path | None,
    features: str,
    device: str,
) -> None:
    """Rank the references that look like IMAGE, best first.

    The K nearest by the global feature are matched patch by patch: foreground and background are
    the sparse similarities inside and outside the reference's mask, combined 0.7 to 0.3.
    """
    from tracker.memory.retrieval import search as ranked
    from tracker.video import read_image

    opened, extractor = _open(folder, features, device)
    matches = ranked(opened, extractor.extract(read_image(image)), k, labels or None)
    if as_json:
        click.echo(json.dumps([asdict(match) for match in matches], indent=2))
        return
    columns = ("similarity", "foreground", "background", "global")
    table = Table("id", "label", *columns, box=None)
    for match in matches:
        values = (match.similarity, match.foreground, match.background, match.global_similarity)
        numbers = (f"{value:.3f}" for value in values)
        table.add_row(match.reference_id[:SHORT_ID], Text(match.label), *numbers)
    _print(table)


@memory.command()
@click.argument("image", type=_PATH)
@click.argument("reference", metavar="ID")
@click.option("--output", type=_PATH, required=True, metavar="PNG", help="Where to write it.")
@_model_options
def matches(
    image: Path, reference: str, output: Path, folder: Path | None, features: str, device: str
) -> None:
    """Draw which patches of a reference's object match which of IMAGE: green near, red far."""
    from tracker.memory.pictures import draw_matches
    from tracker.memory.retrieval import match_patches
    from tracker.video import read_image

    opened, extractor = _open(folder, features, device)
    found, image_hwc = opened.get(reference), read_image(image)
    matched = match_patches(found.features, found.mask_hw, extractor.extract(image_hwc))
    _write_picture(output, draw_matches(found.image_hwc, found.mask_hw, image_hwc, matched))


@memory.command()
@click.option("--clean", is_flag=True, help="Delete files that no reference names.")
@_memory_option
def verify(clean: bool, folder: Path | None) -> None:
    """Check every file against the hash in the index."""
    opened = _look_after(folder)
    for path in opened.remove_orphans() if clean else ():
        click.echo(f"deleted {path}")
    problems = opened.verify()
    if not problems:
        click.echo(f"{len(opened.list())} references in {opened.folder}, all files intact")
        return
    table = Table("problem", "reference", "file", "remedy", box=None)
    for problem in problems:
        name = str(problem.path.relative_to(opened.folder))
        short = (problem.reference_id or "")[:SHORT_ID]
        table.add_row(problem.kind, short, Text(name, overflow="fold"), problem.remedy)
    _print(table)
    raise ReferenceMemoryError(f"{len(problems)} problems in {opened.folder}")


@memory.command()
@_model_options
def reembed(folder: Path | None, features: str, device: str) -> None:
    """Describe all references with another feature model (--features; auto: the best installed)."""
    from tracker.models.dinov2 import load_features

    opened, extractor = _look_after(folder), load_features(features, device)
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("describing", total=None)
        count = opened.reembed(
            extractor, lambda done, total: bar.update(task, completed=done, total=total)
        )
    click.echo(f"{count} references described with {extractor.name}")


@memory.command("import")
@click.argument("source", type=_PATH, metavar="FOLDER")
@click.option("--label", default="object", show_default=True, help="For what comes without one.")
@_model_options
def import_folder(
    source: Path, label: str, folder: Path | None, features: str, device: str
) -> None:
    """Add every reference in FOLDER.

    FOLDER holds images/<label>/* and masks/<label>/* with the same names, or is a memory of
    Memory-SAM: index.json with item_N/image.png and item_N/mask.png.
    """
    from tracker.memory.importing import find_references

    found = find_references(source)
    opened, _ = _open(folder, features, device, create=True)
    refused = 0
    for entry in found:
        try:
            opened.add(*entry.read(), entry.label or label)
        except TrackError as error:
            refused += 1
            click.echo(f"refused {entry.image_path}: {error}", err=True)
    if refused:
        raise ReferenceMemoryError(f"{refused} of {len(found)} references were refused, see above")
    click.echo(f"{len(found)} references imported; {len(opened.list())} in {opened.folder}")


def _look_after(folder: Path | None) -> ReferenceMemory:
    """The memory without a feature model: enough for everything that describes no image."""
    return ReferenceMemory.open(folder or locations.user_memory())


def _open(
    folder: Path | None, features: str, device: str, create: bool = False
) -> tuple[ReferenceMemory, FeatureExtractor]:
    """The memory and its feature model; `auto` is the one that its references have."""
    from tracker.models.dinov2 import load_features

    folder = folder or locations.user_memory()
    if not create:
        ReferenceMemory.open(folder)  # if there is none, that is said before a model is loaded
    if features == "auto":
        features = own_feature_model(folder) or features
    extractor = load_features(features, device)
    return ReferenceMemory.open(folder, extractor, create), extractor


def _from_image(
    image: Path,
    mask: Path | None,
    object_id: int | None,
    marks: tuple[tuple[str, ...], tuple[str, ...]],
    model_and_device: tuple[str, str],
) -> tuple[NDArray[np.uint8], BoolMask]:
    """An image and its object's mask: from a file, or as SAM2 sees it at the points and box."""
    from tracker.memory.importing import read_object_mask
    from tracker.video import read_image

    image_hwc = read_image(image)
    if mask is not None:
        return image_hwc, read_object_mask(mask, object_id)
    from tracker.models.sam2 import ImagePrompter, load_video_predictor

    prompts = parse_prompts(*marks, ())
    if len(prompts) != 1 or (prompts[0].object_id, prompts[0].frame) != (1, 0):
        raise PromptError("a reference is one object in one image; leave OBJ@FRAME: out")
    prompter = ImagePrompter(load_video_predictor(*model_and_device))
    prompter.set_image(image_hwc)
    best = prompter.answer(prompts[0])
    if not best.mask_hw.any():
        raise PromptError(f"SAM2 finds no object there in {image}; try other points, or a box")
    return image_hwc, best.mask_hw


def _from_run(
    path: Path, object_id: int | None, frame: int
) -> tuple[NDArray[np.uint8], BoolMask, str | None]:
    """The image, the object's mask and its label in a run."""
    from tracker.session.exchange.exporting import open_again
    from tracker.session.run_folder import RunFolder

    run = RunFolder(path)
    stored = run.frame_masks(frame).objects
    masks = {mask.object_id: mask.mask_hw for mask in stored if mask.mask_hw.any()}
    if object_id is None and len(masks) == 1:
        (object_id,) = masks
    if object_id is None or object_id not in masks:
        visible = ", ".join(map(str, masks)) or "none"
        raise ReferenceMemoryError(
            f"name an object that is visible on frame {frame} of {path} (--object ID): {visible}"
        )
    with open_again(run) as video:
        image_hwc = video.read(frame).image_hwc
    return image_hwc, masks[object_id], run.info.labels.get(object_id)


def _write_picture(path: Path, image_hwc: NDArray[np.uint8]) -> None:
    try:
        Image.fromarray(image_hwc).save(path, format="PNG")
    except OSError as error:
        raise ReferenceMemoryError(f"cannot write {path}: {error.strerror or error}") from error
    click.echo(path)


def _print(table: Table) -> None:
    for column in table.columns[:2]:
        column.no_wrap = True
    Console().print(table)
