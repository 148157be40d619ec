"""Options and rendering that `track segment` and `track label` share."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tracker.cli.setting_options import Command, settings_of
from tracker.errors import NoMatchError, VideoError
from tracker.output.export.options import Pictures
from tracker.session.images.settings import DEFAULTS

if TYPE_CHECKING:
    from tracker.session.images.batch import Batch, Wanted
    from tracker.session.images.table import ObjectTable

SHOWN = 30  # objects in the table on the terminal; files hold all
_PATH = click.Path(path_type=Path)


setting = settings_of(DEFAULTS)


def memory_options(command: Command) -> Command:
    """How the reference memory is asked."""
    for add in reversed(
        (
            setting("memory", "The reference memory. [default: the user's own]", "DIR"),
            setting("labels", "Look for this label only; repeatable."),
            setting("prompt_kind", "What a match becomes; auto tries all and keeps the best."),
            setting("max_per_label", "Objects of one label on one image, at most.", "N"),
            setting("min_score", "Accept from this score. [default: calibrated]", "X"),
            setting(
                "beside_best", "Share of the best one's score that others of a label need.", "X"
            ),
            setting("features", "A feature model; auto: the memory's own."),
        )
    ):
        command = add(command)
    return command


def output_options(formats: str) -> Callable[[Command], Command]:
    """What is written and where; `formats` is the default."""

    def add(command: Command) -> Command:
        for each in reversed(
            (
                setting("model", "A SAM2 model, see `track models list`; auto: the best."),
                setting("device", "auto, cpu, cuda, cuda:N or mps."),
                setting("image_size", "Side of the model's image. [default: its own]", "N"),
                setting("edges", "Whose edges masks have; auto: the picture's if that is small."),
                click.option(
                    *("--format", "formats"),
                    default=formats,
                    show_default=True,
                    metavar="NAME,…",
                    help="Outputs: png, png-per-object, coco, yolo, yolo-detect, voc, labelme, "
                    "cutout.",
                ),
                click.option(
                    "--frames",
                    type=click.Choice(get_args(Pictures)),
                    default="jpg",
                    show_default=True,
                    help="How data sets store the images; none writes the annotations alone.",
                ),
                click.option(
                    "--split",
                    metavar="A,B,C",
                    help="Shares of train, val and test, in the images' order: coco, yolo, voc.",
                ),
                click.option("--polygons", is_flag=True, help="COCO as polygons, not run lengths."),
                click.option("--background", metavar="COLOUR|FILE", help="Of cut-outs."),
                click.option("--feather", type=float, metavar="PX", help="Of cut-outs' edges."),
                click.option("--no-overlay", is_flag=True, help="Write no pictures with masks."),
                click.option(
                    "--measure", type=_PATH, metavar="FILE.yaml", help="Areas and quantities."
                ),
                click.option("--output", type=_PATH, metavar="DIR", help="Folder for the results."),
                click.option("--overwrite", is_flag=True, help="Start over what is in the folder."),
                click.option("--json", "as_json", is_flag=True, help="Print JSON, nothing else."),
            )
        ):
            command = each(command)
        return command

    return add


def wanted(options: dict[str, Any], review: bool) -> Wanted:
    """What the options ask to be written, taken out of `options`: settings are what is left.

    Raises:
        SettingsError: for what cannot be written.
    """
    from tracker.output.export import ExportOptions
    from tracker.output.export.options import parse_split
    from tracker.session.images.batch import Wanted
    from tracker.session.images.measuring import read_measures
    from tracker.session.images.outputs import check_formats

    formats, split, measure = (options.pop(name) for name in ("formats", "split", "measure"))
    named = [name.strip() for name in formats.split(",") if name.strip()]
    chosen = tuple(dict.fromkeys([*named, *([] if options.pop("no_overlay") else ["overlay"])]))
    check_formats(chosen)
    export = ExportOptions(
        frames=options.pop("frames"),
        split=parse_split(split) if split else None,
        polygons=options.pop("polygons"),
        background=options.pop("background"),
        feather=options.pop("feather") or 0.0,
    )
    return Wanted(chosen, export, read_measures(measure) if measure else None, review)


def default_folder(paths: Sequence[Path], kind: str) -> Path:
    """`runs/<name of the first image or folder>-<kind>`."""
    first = paths[0].resolve()
    return Path("runs") / f"{first.name if first.is_dir() else first.stem}-{kind}"


def finish(batch: Batch, as_json: bool, asked_memory: bool) -> None:
    """Print a batch, then fail if an image failed, or nothing was found in the memory.

    Raises:
        VideoError: names the images that failed.
        NoMatchError: when no image has an object that the memory knows.
    """
    if as_json:
        click.echo(json.dumps(_to_json(batch), indent=2, ensure_ascii=False))
    else:
        _print(batch)
    if batch.failures:
        names = ", ".join(failure.path.name for failure in batch.failures[:8])
        more = f" and {len(batch.failures) - 8} more" if len(batch.failures) > 8 else ""
        raise VideoError(
            f"{len(batch.failures)} of {batch.images} images failed: {names}{more}; the others "
            "are done"
        )
    if asked_memory and not batch.table.rows:
        raise NoMatchError("nothing in the reference memory matches any of the images")


def _to_json(batch: Batch) -> dict[str, Any]:
    return {
        "folder": str(batch.folder),
        "images": batch.images,
        "done_before": batch.done_before,
        "failures": [{"image": str(f.path), "why": f.message} for f in batch.failures],
        "doubtful": batch.doubtful,
        "outputs": {name: str(path) for name, path in batch.outputs.items()},
        "found": batch.table.to_json(),
    }


def _print(batch: Batch) -> None:
    console = Console(soft_wrap=True)
    console.print(_table(batch.table))
    hidden = len(batch.table.rows) - SHOWN
    if hidden > 0:
        console.print(f"… and {hidden} more in {batch.folder / 'objects.csv'}")
    console.print()
    done = batch.images - len(batch.failures)
    before = f", {batch.done_before} of them before" if batch.done_before else ""
    facts = [("images", f"{done} of {batch.images} done{before}"), ("results", str(batch.folder))]
    facts += [(name, str(path)) for name, path in batch.outputs.items()]
    if batch.doubtful is not None:
        facts.append(("doubtful", f"{batch.doubtful} images, see {batch.folder / 'review.csv'}"))
    facts += [("failed", f"{f.path.name}: {f.message}") for f in batch.failures]
    for name, text in facts:
        console.print(Text(f"{name:<15}", style="bold"), Text(text), sep="")


def _table(found: ObjectTable) -> Table:
    table = Table("image", "object", "label", box=None)
    amounts = () if found.quantities is None else ("cm²", *found.quantities)
    for name in ("score", "area px", "area %", *amounts):
        table.add_column(name, justify="right")
    for row in found.rows[:SHOWN]:
        values = row.values
        cells = [
            *(str(values["image"]), str(values["object"]), values["label"]),
            *(f"{values['score']:.2f}", str(values["area_px"])),
            f"{100 * values['area_share']:.1f}",
        ]
        table.add_row(*(Text(cell) for cell in cells), *_amount_cells(found, row.measured))
    if found.quantities is not None:
        table.add_section()
        sums = [*found.totals()]
        everything = ("all", sum(count for _, count, _ in sums), found.total)
        for name, count, total in [*sums[:SHOWN], *([everything] if len(sums) > 1 else [])]:
            cells = _amount_cells(found, total)
            table.add_row(Text(name), "", f"total of {count}", "", "", "", *cells)
    return table


def _amount_cells(found: ObjectTable, measured: Any) -> list[str]:
    """Area and quantities; a dash where there is no scale, nothing where there is no quantity."""
    if found.quantities is None or measured is None:
        return []
    area = "-" if measured.area_cm2 is None else f"{measured.area_cm2:.1f}"
    amounts = (measured.quantities.get(name) for name in found.quantities)
    return [area, *("" if amount is None else f"{amount:.1f}" for amount in amounts)]
