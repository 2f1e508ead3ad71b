"""The requests `processes` and `process`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..gen import ProcessState
from ..gen.foreign import class_name, safe_str
from ..node.processes.census import shown_trap_exit
from ..node.processes.meta_process import MetaRunner
from ..node.processes.process import Process
from .fields import TARGET, Field, table_fields
from .inspecting import inspect
from .plain import as_json
from .records import Detail, Processes, Resolved
from .rows import meta_record, process_record, restarts_of
from .sampler import Sampler
from .selecting import built, contains, select
from .socket_requests import socket_record
from .targets import find

if TYPE_CHECKING:
    from .observer import Observer

MOST_LISTED = 100
"""Most addresses and records in each list about one process."""

TEXTS = ("name", "behavior", "state", "application")
"""Orders that begin with the smallest; all others, numbers, begin with the largest."""

STATES = tuple(state.value for state in ProcessState)
KINDS = ("actor", "pool", "router", "supervisor")


def _orders(sampler: Sampler) -> dict[str, Callable[[Process], Any]]:
    """The orders of the table. A value that is not known comes last."""

    def sampled(name: str) -> Callable[[Process], Any]:
        def value(process: Process) -> float:
            sample = sampler.sample(process)
            found = None if sample is None else getattr(sample, name)
            return -1.0 if found is None else found

        return value

    def oldest(process: Process) -> float:
        age = sampler.age(process)
        return -1.0 if age is None else age.seconds

    def restarts(process: Process) -> int:
        restarted = restarts_of(process.core, process)
        return -1 if restarted is None else restarted[0]

    return {
        "id": lambda process: process.id.id,
        "name": lambda process: (process.name is None, process.name or ""),
        "behavior": lambda process: class_name(process.behavior),
        "state": lambda process: process.state.value,
        "application": lambda process: (process.application is None, process.application or ""),
        "uptime": lambda process: -process.started_at,
        "running_time": lambda process: process.running_time,
        "running": sampled("running"),
        "stalls": lambda process: process.stalls,
        "messages_in": lambda process: process.messages_in,
        "messages_out": lambda process: process.messages_out,
        "in_rate": sampled("in_rate"),
        "out_rate": sampled("out_rate"),
        "waiting": lambda process: process.waiting,
        "oldest": oldest,
        "restarts": restarts,
        "dropped": lambda process: process.dropped_newest + process.dropped_oldest,
        "holds": lambda process: process.holds,
        "in_flight": lambda process: process.in_flight,
    }


SORTS = (
    *("id", *TEXTS, "uptime", "running_time", "running", "stalls", "messages_in", "messages_out", "in_rate"),
    *("out_rate", "waiting", "oldest", "restarts", "dropped", "holds", "in_flight"),
)

FIELDS = {
    **table_fields(SORTS),
    "state": Field(kind="choice", choices=STATES, nullable=True, text="Only processes in this state."),
    "kind": Field(kind="choice", choices=KINDS, nullable=True, text="Only processes of this kind."),
    "application": Field(kind="text", nullable=True, text="Only processes of this application."),
}


async def processes(observer: Observer, query: dict[str, Any]) -> Processes:
    """Returns a part of the table of processes."""
    sampler = observer.sampler
    await sampler.ready()
    sort = query["sort"]
    descending = (sort not in TEXTS and sort != "id") != query["reverse"]
    chosen, total = await select(
        observer.core.processes.values(),
        _orders(sampler)[sort],
        matches=_filter(query),
        limit=query["limit"],
        descending=descending,
        last=query["last"],
    )
    rows = await built(chosen, lambda process: process_record(process, sampler))
    return {"processes": rows, "total": total, "more": total - len(rows)}


def _filter(query: dict[str, Any]) -> Callable[[Process], bool]:
    text, state, kind, application = query["filter"].lower(), query["state"], query["kind"], query["application"]
    if not text and state is None and kind is None and application is None:
        return lambda process: process.state is not ProcessState.TERMINATED

    def matches(process: Process) -> bool:
        if process.state is ProcessState.TERMINATED:
            return False
        if state is not None and process.state.value != state:
            return False
        if kind is not None and process.hooks.kind != kind:
            return False
        if application is not None and process.application != application:
            return False
        words = (process.name, class_name(process.behavior), process.application)
        return not text or contains(text, words, process.id)

    return matches


# --- one process --------------------------------------------------------------------------------------------

PROCESS_FIELDS = {"target": TARGET}


async def resolve(observer: Observer, query: dict[str, Any]) -> Resolved:
    """Returns the address of a target, without asking the process anything."""
    found = find(observer.node, query["target"])
    kind = "meta" if isinstance(found, MetaRunner) else found.hooks.kind
    return {"node": observer.core.name, "address": str(found.id), "id": found.id.id, "kind": kind}


async def process(observer: Observer, query: dict[str, Any]) -> Detail:
    """Returns all facts of one process or meta-process."""
    found = find(observer.node, query["target"])
    await observer.sampler.ready()
    facts, error = await inspect(observer.node, found)
    if isinstance(found, MetaRunner):
        return _meta_detail(observer, found, facts, error)
    children, total = await select(
        observer.core.processes.values(), None, matches=lambda other: other.parent == found.id, limit=MOST_LISTED
    )
    return _process_detail(observer, found, facts, error, children, total)


def _meta_detail(observer: Observer, meta: MetaRunner, facts: dict[str, Any] | None, error: str | None) -> Detail:
    return {
        "process": None,
        "meta": meta_record(meta, observer.sampler),
        "facts": facts,
        "facts_error": error,
        "group": None,
        "socket": socket_record(meta, observer.sampler),
        "aliases": [],
        "events": [],
        "links": [],
        "monitors": [],
        "metas": [],
        "children": [],
        "more": {},
        "trap_exit": None,
        "leader": None,
        "env": [],
    }


def _process_detail(
    observer: Observer,
    found: Process,
    facts: dict[str, Any] | None,
    error: str | None,
    children: list[Process],
    total: int,
) -> Detail:
    """children: the first children; `total`: how many there are."""
    sampler = observer.sampler
    lists: dict[str, Any] = {
        "aliases": found.aliases,
        "events": found.events,
        "links": found.links,
        "monitors": found.monitors,
        "metas": found.metas,
    }
    more = {name: max(0, len(items or ()) - MOST_LISTED) for name, items in lists.items()}
    more["children"] = total - len(children)
    group = found.hooks.facts(MOST_LISTED)
    return {
        "process": process_record(found, sampler),
        "meta": None,
        "facts": facts,
        "facts_error": error,
        "group": as_json(group),
        "socket": None,
        "aliases": _texts(found.aliases),
        "events": _texts(found.events),
        "links": _texts(found.links),
        "monitors": _texts(found.monitors),
        "metas": [meta_record(meta, sampler) for meta in islice((found.metas or {}).values(), MOST_LISTED)],
        "children": [process_record(child, sampler) for child in children],
        "more": more,
        "trap_exit": shown_trap_exit(found),
        "leader": str(found.leader),
        "env": sorted(map(safe_str, found.env))[:MOST_LISTED],
    }


def _texts(items: Any) -> list[str]:
    return sorted(str(item) for item in islice(items or (), MOST_LISTED))
