"""The keys of the file, made from the options themselves: so it has every option, and no other."""

from __future__ import annotations

import typing
from dataclasses import fields
from functools import cache
from typing import Any, get_args

from ...gen import ClusterOptions, NodeOptions
from ...meta import UDPServerOptions
from ..run_options import CLUSTER, RunOptions
from .build import Member, members_of, require_msgspec

NOT_IN_FILE = ("config", "reload", "takeover", "worker", *CLUSTER)
"""Options of `homing run` that belong to one command, not to a program, or that stand in a table. (`env` is one.)"""

TABLES = ("env", "node", "cluster", "servers", "app")
"""The tables of the file."""

_OF_NODE = ("env", "stop_timeout", "config")
_OF_CODE = ("name", "socket", "worker", "worker_args", "peers")
"""Options of a UDP server that need objects of the program."""


@cache
def run_members() -> dict[str, Member]:
    """Returns the keys at the top of the file: the target, and the options of `homing run`."""
    hints = typing.get_type_hints(RunOptions, include_extras=True)
    names = [each.name for each in fields(RunOptions) if each.name not in (*NOT_IN_FILE, *TABLES)]
    return {"target": Member(str, False), **{name: Member(_bounded(hints[name]), False) for name in names}}


def _bounded(kind: Any) -> Any:
    """Returns the type of an option, with the bounds that the command line has."""
    inner, *extras = get_args(kind)
    low, high = extras[0].min, extras[0].max
    if low is None and high is None:
        return inner
    return typing.Annotated[inner, require_msgspec().Meta(ge=low, le=high)]


@cache
def node_members() -> dict[str, Member]:
    """Returns the keys of `[node]`."""
    return {name: member for name, member in (members_of(NodeOptions) or {}).items() if name not in _OF_NODE}


@cache
def cluster_members() -> dict[str, Member]:
    """Returns the keys of `[cluster]`."""
    return members_of(ClusterOptions) or {}


@cache
def server_members() -> dict[str, Member]:
    """Returns the keys of `[servers.NAME]`."""
    return {name: member for name, member in (members_of(UDPServerOptions) or {}).items() if name not in _OF_CODE}
