"""`prompts.json`: every prompt of a run, one to a line, and the file that `--prompts` takes.

    {"format": 1, "prompts": [
      {"frame": 0, "object": 1, "box": [12, 30, 96, 120], "source": "user", "label": "cup"}
    ]}

A bare list of prompts is taken as well. The keys of a prompt are those of `Prompt.to_json`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tracker.errors import PromptError
from tracker.types import Prompt

FORMAT = 1
_MARKS = ("frame", "object", "points", "point_labels", "box", "mask", "view")


def prompts_text(prompts: Iterable[Prompt]) -> str:
    """The file's content."""
    lines = [json.dumps(prompt.to_json(), ensure_ascii=False) for prompt in prompts]
    body = ",\n".join(f"  {line}" for line in lines)
    return f'{{"format": {FORMAT}, "prompts": [\n{body}\n]}}\n'


def read_prompts(path: str | Path) -> tuple[Prompt, ...]:
    """The prompts of a file, in order.

    Raises:
        PromptError: when it cannot be read or is malformed; the message names file and prompt.
    """
    try:
        value = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise PromptError(f"cannot read prompts {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise PromptError(f"{path} is not a JSON file: {error}") from error
    if isinstance(value, dict):
        if value.get("format", FORMAT) != FORMAT:
            raise PromptError(f"{path} has format {value['format']}; this track reads {FORMAT}")
        value = value.get("prompts")
    if not isinstance(value, list):
        raise PromptError(f'{path} has no list of prompts under "prompts"')
    prompts = []
    for number, entry in enumerate(value, start=1):
        try:
            prompts.append(Prompt.from_json(entry))
        except PromptError as error:
            raise PromptError(f"{path}, prompt {number}: {error}") from error
    return tuple(prompts)


def digest(prompts: Iterable[Prompt]) -> str:
    """A number for what prompts mark, whatever they are called; their order does not count."""
    lines = sorted(json.dumps(marks(prompt), sort_keys=True) for prompt in prompts)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def marks(prompt: Prompt) -> dict[str, Any]:
    """The part of a prompt that masks depend on, as JSON."""
    value = prompt.to_json()
    return {key: value[key] for key in _MARKS if key in value}
