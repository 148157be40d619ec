"""Where figures go: one Markdown table and one JSON file per benchmark, with what made them."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One figure."""

    what: str
    value: float
    note: str = ""


def _machine() -> str:
    import torch  # takes seconds, in which a benchmark may have started its work

    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    cores = torch.get_num_threads()
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{platform.machine()}, {cores} threads{gpu}, {versions}"


def _command() -> str:
    """The command line that repeats this, without the folders of this machine."""
    arguments = ["DIR" if "/" in a else a for a in sys.argv[1:]]
    return " ".join(["python -m", f"benchmarks.{Path(sys.argv[0]).stem}", *arguments])


def write_table(name: str, title: str, rows: list[Row], folder: Path = FOLDER) -> None:
    """Write `<folder>/<name>.md` and `.json`."""
    folder.mkdir(exist_ok=True)
    date, machine, command = datetime.now(UTC).date().isoformat(), _machine(), _command()
    lines = [f"# {title}", "", f"{date} · {machine} · `{command}`", ""]
    lines += ["| what | figure | on |", "|---|---|---|"]
    lines += [f"| {row.what} | {row.value:.3f} | {row.note} |" for row in rows]
    (folder / f"{name}.md").write_text("\n".join(lines) + "\n")
    record = {"date": date, "machine": machine, "command": command}
    record |= {"rows": [asdict(row) for row in rows]}  # type: ignore[dict-item]
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
