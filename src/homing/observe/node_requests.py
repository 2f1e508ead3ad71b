"""The requests about the node as a whole: `node`, `applications`, `events`, `pools`, `routers`, `supervisors`."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Awaitable, Callable
from dataclasses import fields
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, cast

from ..gen import Event, NodeInfo
from ..gen.foreign import class_name
from ..node.processes.process import Process
from .cluster_requests import cluster_of
from .fields import FILTER, LIMIT, Field
from .plain import as_json, reason_of
from .records import ApplicationRecord, Applications, EventRecord, Events, GroupRecord, Groups, NodeRecord
from .selecting import built, contains, select

if TYPE_CHECKING:
    from .observer import Observer

MOST_MEMBERS = 100
"""Most members of an application that are named."""

_OWN = ("env", "pid", "uptime", "loop", "longest_stall", "spin_seconds")
_COUNTERS = tuple(field.name for field in fields(NodeInfo) if field.name not in _OWN)


def node_record(observer: Observer) -> NodeRecord:
    """Returns the record of the node."""
    info = observer.node.info()
    lag = observer.sampler.lag
    cluster = cluster_of(observer.node)
    return cast(
        NodeRecord,
        {
            **{name: getattr(info, name) for name in _COUNTERS},
            "uptime": round(info.uptime, 3),
            "longest_stall": round(info.longest_stall, 6),
            "spin_seconds": round(info.spin_seconds, 6),
            "os_pid": os.getpid(),
            "python": platform.python_version(),
            "version": _version(),
            "loop": info.loop.partition(".")[0],
            "memory": resident_memory(),
            "loop_lag": None if lag is None else round(lag, 6),
            "draining": info.state == "stopping",
            "allow": observer.allow,
            "time": round(time.time(), 3),
            "cluster": None if cluster is None else cluster.name,
        },
    )


@cache
def _version() -> str:
    try:
        return version("homing")
    except PackageNotFoundError:  # run from its sources
        return ""


def resident_memory() -> int | None:
    """Returns the bytes of memory that the OS process has now (proc(5)); None if the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


async def node(observer: Observer, query: dict[str, Any]) -> NodeRecord:
    """Returns the counters of the node."""
    observer.sampler.keep()
    return node_record(observer)


# --- applications and events --------------------------------------------------------------------------------

APPLICATION_FIELDS = {"limit": LIMIT, "members": Field(kind="integer", default=MOST_MEMBERS, low=0, high=10_000)}


def application_record(observer: Observer, name: str, members: int = MOST_MEMBERS) -> ApplicationRecord:
    """Returns the record of an application. Raises `ApplicationUnknown`."""
    info = observer.core.applications.find(name).info()
    return {
        "node": observer.core.name,
        "name": info.name,
        "state": info.state.value,
        "mode": info.mode.value,
        "uptime": round(info.uptime, 3),
        "description": info.description,
        "version": info.version,
        "depends": list(info.depends),
        "members": [str(pid) for pid in info.members[:members]],
        "more": max(0, len(info.members) - members),
        "reason": reason_of(info.reason),
    }


async def applications(observer: Observer, query: dict[str, Any]) -> Applications:
    """Returns the loaded applications."""
    names = observer.node.applications()
    rows = [application_record(observer, name, query["members"]) for name in names[: query["limit"]]]
    return {"applications": rows, "total": len(names), "more": len(names) - len(rows)}


EVENT_FIELDS = {"limit": LIMIT, "filter": FILTER}


async def events(observer: Observer, query: dict[str, Any]) -> Events:
    """Returns the registered events."""
    core, text = observer.core, query["filter"].lower()
    chosen, total = await select(
        core.events, None, matches=lambda event: text in event.name.lower(), limit=query["limit"]
    )
    rows = await built(chosen, lambda event: _event(observer, event))
    return {"events": rows, "total": total, "more": total - len(rows)}


def _event(observer: Observer, event: Event) -> EventRecord | None:
    facts = observer.core.events.facts(event)
    if facts is None:
        return None  # unregistered meanwhile
    return cast(EventRecord, {"node": event.node, **facts._asdict(), "owner": str(facts.owner)})


# --- pools, routers, supervisors ------------------------------------------------------------------------------

GROUP_FIELDS = {
    "limit": LIMIT,
    "filter": FILTER,
    "children": Field(
        kind="integer", default=20, low=0, high=1000, text="Most workers, routes or children of each that are named."
    ),
}


def groups(kind: str) -> Callable[[Observer, dict[str, Any]], Awaitable[Groups]]:
    """Returns the handler of a request for all pools, routers or supervisors."""

    async def answer(observer: Observer, query: dict[str, Any]) -> Groups:
        text, most = query["filter"].lower(), query["children"]

        def matches(process: Process) -> bool:
            words = (process.name, class_name(process.behavior), process.application)
            return process.hooks.kind == kind and (not text or contains(text, words, process.id))

        values = observer.core.processes.values()
        chosen, total = await select(values, None, matches=matches, limit=query["limit"])
        rows = await built(chosen, lambda process: _group(process, most))
        return {"groups": rows, "total": total, "more": total - len(rows)}

    return answer


def _group(process: Process, most: int) -> GroupRecord:
    return {
        "node": process.id.node,
        "pid": str(process.id),
        "id": process.id.id,
        "name": process.name,
        "behavior": class_name(process.behavior),
        "kind": process.hooks.kind,
        "application": process.application,
        "state": process.state.value,
        "waiting": process.waiting,
        "facts": as_json(process.hooks.facts(most)),
    }
