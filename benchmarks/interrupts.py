"""How long does a run take to end after Ctrl-C, whatever it is at?

    python -m benchmarks.interrupts

Each time `track` follows the sample `crossing` by its reference in a process of its own, gets
SIGINT at another moment, and is timed until it is gone. It must end with 130 (or, while Python
loads it, by the signal itself, which shells report as 130), and what had begun must say that it
was interrupted, or look like a run that was killed if it was just beginning. Writes
`benchmarks/results/interrupts.{md,json}`.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.results import Row, write_table
from tests.interrupts import heed_interrupts
from tracker.session.run_folder import RunFolder

ROOT = Path(__file__).parent.parent
INTERRUPTED, LIMIT_S = 130, 5
SAMPLE = [ROOT / "samples/crossing/crossing.mp4", "--auto-prompt", "--memory"]

Moment = Callable[[Path, float], bool]
"""Whether it has come, by the run folder and the seconds since the process began."""

MOMENTS: dict[str, Moment] = {
    "1 s after the start": lambda _, seconds: seconds > 1,
    "3 s after the start": lambda _, seconds: seconds > 3,
    "6 s after the start": lambda _, seconds: seconds > 6,
    "when tracking begins": lambda run, _: (run / "masklets").exists(),
    "after the first snapshot": lambda run, _: any(run.glob("snapshots/0-*-0*")),
    "after the first chunk": lambda run, _: (run / "masklets/000000.jsonl").exists(),
    "when outputs are begun": lambda run, _: any(run.glob(".masks*")),
    "when the video is written": lambda run, _: any(run.glob("*annotated*")),
}


def interrupted(moment: Moment, run: Path) -> float:
    """Seconds from the signal to the end of the process."""
    command = [sys.executable, ROOT / "cli.py", *SAMPLE, ROOT / "samples/memory", "--output", run]
    begun = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=heed_interrupts
    )
    while process.poll() is None and not moment(run, time.monotonic() - begun):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    if process.wait() not in (INTERRUPTED, -signal.SIGINT):
        raise SystemExit(f"ended with {process.returncode}, not {INTERRUPTED}")
    seconds = time.monotonic() - sent
    if run.exists() and RunFolder(run).info.status != "interrupted":
        raise SystemExit(f"{run} is {RunFolder(run).info.status}")
    return seconds


def main() -> None:
    rows = []
    for name, moment in MOMENTS.items():
        with tempfile.TemporaryDirectory() as folder:
            seconds = interrupted(moment, Path(folder) / "run")
        rows.append(Row(f"{name}: seconds to the end", seconds, f"{LIMIT_S} are allowed"))
        print(f"{rows[-1].what}: {seconds:.2f}")
    write_table("interrupts", "A run that gets Ctrl-C", rows)


if __name__ == "__main__":
    main()
