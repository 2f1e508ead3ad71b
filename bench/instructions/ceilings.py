"""The ceilings: the most instructions that an operation may take, by the kind of interpreter and machine."""

from __future__ import annotations

import json
import platform
import sys
import sysconfig
import tomllib
from pathlib import Path

from .. import machine
from .catalog import PROGRAMS

FILE = Path(__file__).with_name("ceilings.toml")

OVER = 1.03
"""A count above its ceiling by more than this factor fails."""

FAR_BELOW = 0.95
"""A count below its ceiling by more than this factor deserves a lower ceiling."""

_HEAD = """\
# The most instructions in user space that an operation may take. A section holds for one kind of interpreter and
# machine, and only if its `built` is that of the interpreter: another compiler makes other instructions.
# Written by `make instructions ARGS=--set-ceilings`, which replaces the section of the interpreter that runs it.
"""


def section() -> str:
    """Returns the name of the section that holds here, such as "cpython-3.11-x86_64"."""
    return f"{sys.implementation.name}-{sys.version_info[0]}.{sys.version_info[1]}-{platform.machine().lower()}"


def built() -> str:
    """Describes how this interpreter was built, and which datagram backend it has."""
    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
    options = [word for word in ("--enable-optimizations", "--with-lto", "--enable-shared") if word in arguments]
    return ", ".join([platform.python_version(), platform.python_compiler().strip(), *options, machine.backend()])


def load() -> dict[str, int]:
    """Returns the ceilings that hold here, by the program's name; none if no section holds."""
    found = sections().get(section(), {})
    if found.get("built") != built():
        return {}
    return {name: value for name, value in found.items() if isinstance(value, int)}


def save(counts: dict[str, float]) -> None:
    """Makes `counts` the ceilings that hold here. Those of other programs stay."""
    every = sections()
    new = {**load(), **{name: round(count) for name, count in counts.items() if PROGRAMS[name].judged}}
    every[section()] = {"built": built(), **{name: new[name] for name in PROGRAMS if name in new}}
    text = _HEAD
    for name, values in sorted(every.items()):
        text += f'\n["{name}"]\n'
        for key, value in values.items():
            text += f"{key} = {json.dumps(value)}\n"
    FILE.write_text(text)


def verdict(name: str, count: float, ceiling: int | None) -> tuple[bool, str]:
    """Returns True if `count` is over its ceiling, and a line about that; "" if there is nothing to say."""
    if ceiling is None:
        return False, ""
    change = f"{ceiling:,} instructions before, {count:,.0f} now ({count / ceiling - 1:+.1%})"
    if count > ceiling * OVER:
        return True, f"{name} is over its ceiling: {change}"
    if count < ceiling * FAR_BELOW:
        return False, f"{name} is far below its ceiling: {change}; lower it with --set-ceilings"
    return False, ""


def sections() -> dict[str, dict[str, str | int]]:
    """Returns all sections of the file."""
    return tomllib.loads(FILE.read_text()) if FILE.exists() else {}
