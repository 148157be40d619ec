"""Options for the fields of a settings class, which know its defaults and its choices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import click

from tracker.settings import CHOICES, option

Command = TypeVar("Command", bound=Callable[..., Any])
SettingOption = Callable[..., Callable[[Command], Command]]

_KINDS: dict[str, type] = {"N": int, "X": float}


def settings_of(defaults: Mapping[str, Any]) -> SettingOption:
    """The decorator `setting(field, help text, metavar)` for a settings class with these defaults.

    `N` as metavar takes whole numbers and `X` real ones.
    """
    return partial(_setting, defaults)


def _setting(
    defaults: Mapping[str, Any], name: str, text: str, metavar: str = "NAME"
) -> Callable[[Command], Command]:
    default = defaults[name]
    if default is False:
        return click.option(option(name), name, is_flag=True, help=text)
    kind = click.Choice(CHOICES[name]) if name in CHOICES else _KINDS.get(metavar, str)
    return click.option(
        option(name),
        name,
        type=kind,
        metavar=None if name in CHOICES else metavar,
        multiple=default == (),
        help=text if default in (None, ()) else f"{text} [default: {default}]",
    )
