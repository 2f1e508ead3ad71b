"""The state of a running node as plain data, for `homing tree` and `homing tree --json`.

Environments are left out: they may hold secrets.
"""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Awaitable, Mapping
from dataclasses import asdict, fields
from math import isfinite
from typing import Any

from .. import gen
from ..gen.foreign import is_instance, safe_repr, safe_str
from ..node import Node

INSPECT_TIMEOUT = 0.5
"""Seconds that a process may take to answer `inspect`. All are asked at once: stuck processes delay the result once."""

LONGEST_TEXT = 256
"""Most characters of one fact. Longer facts returned by `handle_inspect` are cut."""

MOST_FACTS = 64
"""Most facts of one process or meta-process."""

Snapshot = dict[str, Any]


async def look(node: Node, children: int | None = None) -> Snapshot:
    """Returns the node, its applications, and its processes depth first, each with its meta-processes.

    children: most children of each parent; `more` is the number of those left out. None: all.
    """
    tree = node.tree(children)
    places = [application.processes for application in tree.applications]
    branches = [_flat(place) for place in (*places, tree.processes)]
    facts = await _inspect(node, [process for branch in branches for process, _ in branch])
    rows = [[_process(process, depth, facts) for process, depth in branch] for branch in branches]
    return {
        "node": _node(tree.info),
        "applications": [
            {**_application(application.info), "processes": row, "more": application.more}
            for application, row in zip(tree.applications, rows, strict=False)
        ],
        "processes": rows[-1],
        "more": tree.more,
    }


def _flat(trees: tuple[gen.ProcessTree, ...]) -> list[tuple[gen.ProcessTree, int]]:
    """Returns the processes depth first, each with its depth. Without recursion: a chain of processes may be long."""
    found = []
    rest = [(tree, 0) for tree in reversed(trees)]
    while rest:
        tree, depth = rest.pop()
        found.append((tree, depth))
        rest += [(child, depth + 1) for child in reversed(tree.children)]
    return found


# --- the facts returned by programs -----------------------------------------------------------------------


async def _inspect(node: Node, processes: list[gen.ProcessTree]) -> dict[object, Snapshot | None]:
    """Returns the facts of supervisors, pools and meta-processes, by PID and alias; None for one that does not answer.
    Other processes are not inspected: that would run user code in each of them."""
    asked: dict[object, Awaitable[Any]] = {}
    for process in processes:
        if process.info.kind != "actor":
            asked[process.info.pid] = node.inspect(process.info.pid, timeout=INSPECT_TIMEOUT)
        for meta in process.metas:
            asked[meta.id] = node.inspect_meta(meta.id, timeout=INSPECT_TIMEOUT)
    answers = await asyncio.gather(*asked.values(), return_exceptions=True)
    return {address: _facts(answer) for address, answer in zip(asked, answers, strict=True)}


def _facts(answer: object) -> Snapshot | None:
    try:
        return _told(answer) if isinstance(answer, Mapping) else None
    except Exception:
        return None  # a program may return objects of any class: an unreadable one must not hide the other facts


def _told(answer: Mapping[Any, Any]) -> Snapshot:
    return {safe_str(key)[:LONGEST_TEXT]: _plain(value) for key, value in list(answer.items())[:MOST_FACTS]}


def _plain(value: object) -> Any:
    """Returns `value` if JSON has its type and it is short, otherwise a short text."""
    if value is None or is_instance(value, (bool, int)):
        return value
    if is_instance(value, float):
        return value if isfinite(value) else None
    if is_instance(value, str):
        return value[:LONGEST_TEXT]
    if is_instance(value, Mapping) and all(is_instance(number, int) for number in value.values()):
        return {safe_str(key)[:LONGEST_TEXT]: value[key] for key in list(value)[:MOST_FACTS]}
    return safe_repr(value, LONGEST_TEXT)[:LONGEST_TEXT]


# --- the records ------------------------------------------------------------------------------------------


def _node(info: gen.NodeInfo) -> Snapshot:
    counters = [field.name for field in fields(info) if field.name not in ("env", "pid", "uptime", "loop")]
    return {
        **{name: getattr(info, name) for name in counters},
        "uptime": round(info.uptime, 3),
        "os_pid": os.getpid(),
        "python": platform.python_version(),
        "loop": info.loop.partition(".")[0],
    }


def _application(info: gen.ApplicationInfo) -> Snapshot:
    return {
        "name": info.name,
        "state": info.state.value,
        "mode": info.mode.value,
        "uptime": round(info.uptime, 3),
        "description": info.description,
        "version": info.version,
        "depends": list(info.depends),
        "members": [str(pid) for pid in info.members],
        "reason": None if info.reason is None else _plain(safe_repr(info.reason)),
    }


def _process(tree: gen.ProcessTree, depth: int, facts: dict[object, Snapshot | None]) -> Snapshot:
    info = tree.info
    return {
        "pid": str(info.pid),
        "id": info.pid.id,
        "name": info.name,
        "kind": info.kind,
        "parent": str(info.parent),
        "application": info.application,
        "depth": depth,
        **_activity(info),
        "facts": facts.get(info.pid),
        "metas": [_meta(meta, facts) for meta in tree.metas],
        "more": tree.more,
    }


def _meta(info: gen.MetaInfo, facts: dict[object, Snapshot | None]) -> Snapshot:
    return {"alias": str(info.id), "id": info.id.id, **_activity(info), "facts": facts.get(info.id)}


def _activity(info: gen.ProcessInfo | gen.MetaInfo) -> Snapshot:
    lanes = asdict(info.mailbox)
    return {
        "behavior": info.behavior,
        "state": info.state.value,
        "uptime": round(info.uptime, 3),
        "running_time": round(info.running_time, 6),
        "messages_in": info.messages_in,
        "messages_out": info.messages_out,
        "waiting": sum(lanes.values()),
        "mailbox": lanes,
        "mailbox_size": info.mailbox_size,
    }
