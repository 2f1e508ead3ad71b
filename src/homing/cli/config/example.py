"""The file with all options, their defaults and their descriptions, made from the options themselves."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
import re
import textwrap
import typing
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from ...gen import ClusterOptions, NodeOptions
from ...meta import UDPServerOptions
from ..run_options import RunOptions, default_of
from .build import Member, members_of
from .schema import cluster_members, node_members, run_members, server_members

WIDTH = 100
"""Columns of the comments: they fit most editors."""

UNSET = "# not set"
"""Stands in the place of a default that a file cannot write: None."""

_ENTRY = re.compile(r"([a-z_0-9]+(?:, [a-z_0-9]+)*): (.*)")

_HEAD = """\
The configuration of `homing run --config FILE`, in TOML. A line "#key = value" shows the default: remove the "#" and \
change the value.

Each key can also be given by an environment variable, which has precedence over this file: HOMING_LOG_LEVEL, \
HOMING_NODE__TURN_MESSAGES, HOMING_SERVERS__ECHO__PORT, HOMING_APP__DATABASE__URL. The command line has precedence \
over both.

After a change, `kill -HUP` or `homing reload` applies what can change while the program runs, and reports the rest."""


def example() -> str:
    """Returns the text of the file."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from _comment(_HEAD)
    yield from _keys(run_members(), {"target": "", **_defaults(RunOptions)}, _run_texts())
    yield from ("", *_comment("The environment of all processes: `self.env`."), "[env]", '#KEY = "value"')
    yield from ("", *_comment("Options of the node."), "[node]")
    yield from _keys(node_members(), _defaults(NodeOptions), texts_of(NodeOptions))
    text = (
        "The cluster that the node joins, if it has a name here: needs homing[cluster]. Environment variables:"
        " HOMING_CLUSTER is the name, HOMING_CLUSTER_LISTEN the key listen; texts of an array have commas between."
    )
    yield from ("", *_comment(text), "[cluster]")
    yield from _keys(cluster_members(), {**_defaults(ClusterOptions), "name": ""}, texts_of(ClusterOptions))
    text = (
        "Options of a UDP server, which replace those that the program gives. NAME is the server's `name`: with"
        " `Service`, service.function; with `meta.listen_udp`, the registered name of its process; put it into quotes"
        " if it has a dot."
    )
    yield from ("", *_comment(text), "#[servers.NAME]")
    yield from _keys(server_members(), _defaults(UDPServerOptions), texts_of(UDPServerOptions))
    text = 'The program\'s own values: `self.config(Kind)`, and `self.config(Kind, "database")` for [app.database].'
    yield from ("", *_comment(text), "[app]")


def _keys(members: Mapping[str, Member], defaults: Mapping[str, Any], texts: Mapping[str, str]) -> Iterator[str]:
    for name, member in members.items():
        inner = _table_of(member.kind)
        keys = f" A table, {{ key = value }}, of: {', '.join(inner)}." if inner else ""
        text = texts.get(name, "") + keys
        yield from ("", *_comment(text[:1].upper() + text[1:]))
        written = _written(defaults[name])
        yield f"#{name} = {written}" if written is not None else f"#{name} =  {UNSET}"


def _table_of(kind: Any) -> dict[str, Member] | None:
    """Returns the keys, if a value is a table, or may be one."""
    return next(filter(None, map(members_of, (kind, *get_args(kind)))), None)


def _comment(text: str) -> list[str]:
    paragraphs = [textwrap.wrap(part, WIDTH - 2, break_on_hyphens=False) for part in text.split("\n\n")]
    return [f"# {line}".rstrip() for lines in paragraphs for line in (*lines, "")][:-1]


def _written(value: Any) -> str | None:
    """Returns a value in TOML, or None if TOML cannot write it."""
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(filter(None, map(_written, value)))}]"
    if isinstance(value, (bool, int, float, str)):
        return json.dumps(value)
    return None


def _defaults(kind: Any) -> dict[str, Any]:
    return {each.name: default_of(each) for each in dataclasses.fields(kind)}


# --- descriptions -------------------------------------------------------------------------------------------


def _run_texts() -> dict[str, str]:
    """Returns the help texts of the command line."""
    hints = typing.get_type_hints(RunOptions, include_extras=True)
    found = {
        name: getattr(get_args(hint)[1], "help", "") or "" for name, hint in hints.items() if len(get_args(hint)) > 1
    }
    return {"target": "The program: MODULE:ATTRIBUTE.", **found}


def texts_of(kind: type) -> dict[str, str]:
    """Returns the descriptions of the fields of a class of options, from its docstring and those of its bases."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        found.update(_entries(inspect.cleandoc(base.__doc__ or "") if base is not object else ""))
    return found


def _entries(text: str) -> Iterator[tuple[str, str]]:
    """Yields the entries "name: text" of a docstring. The further lines of an entry are indented."""
    names: list[str] = []
    parts: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith(" ") and names:
            parts.append(line.strip())
            continue
        yield from ((name, " ".join(parts)) for name in names)
        entry = _ENTRY.fullmatch(line)
        names, parts = (entry[1].split(", "), [entry[2]]) if entry else ([], [])
