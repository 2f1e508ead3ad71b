"""The stream `watch`: a snapshot, then in each period what has changed.

A snapshot is an object. Its tables are objects too, as places in lists would change with each row:

    {"snapshot": {"node": {...}, "processes": {"order": ["<demo@localhost.1001>"],
     "rows": {"<demo@localhost.1001>": {...}}, "total": 1, "more": 0}}}

A change is a JSON merge patch (RFC 7396) to the last state: `{"delta": {"node": {"uptime": 12.0}}}`. There null removes
a field: a field that is absent is null. `apply` does it. A client that reads slowly gets fewer, larger changes.

A table that cannot be had, such as that of a process that has ended, is `{"error": {"code", "message"}}`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Protocol

from .fields import Field
from .refusals import RequestRefused
from .selecting import BUILT


class Asks(Protocol):
    """An `Observer`, or one of several nodes."""

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]: ...


State = dict[str, Any]

PARTS: dict[str, str | None] = {
    "processes": "processes",
    "sockets": "sockets",
    "tcp": "tcp",
    "pools": "groups",
    "routers": "groups",
    "supervisors": "groups",
    "applications": "applications",
    "events": "events",
    "nodes": "nodes",
    "process": None,
}
"""The requests that can be watched, beside `node`, and the name of the list in the answer that becomes a table."""

FIELDS = {
    "interval": Field(kind="number", default=1.0, low=0.1, high=3600, text="Seconds between two changes."),
    "cluster": Field(kind="flag", default=False, text="The tables of all nodes of the cluster: see `cluster`."),
    **{
        name: Field(kind="object", nullable=True, text=f"The fields of a request {name}; null: it is not watched.")
        for name in PARTS
    },
}


async def watch(observer: Asks, query: dict[str, Any]) -> AsyncGenerator[State]:
    """Yields a snapshot, then a change in each period."""
    loop, interval = asyncio.get_running_loop(), query["interval"]
    if query["cluster"]:
        observer = _OfCluster(observer)
    parts = {name: query[name] for name in PARTS if query[name] is not None}
    state = await _look(observer, parts, first=True)
    yield {"snapshot": state}
    due = loop.time()
    while True:
        due = max(due + interval, loop.time())
        await asyncio.sleep(due - loop.time())
        now = await _look(observer, parts, first=False)
        delta = await difference(state, now)
        state = now
        yield {"delta": delta}
        if state["node"]["state"] == "stopped":
            return


class _OfCluster:
    """Asks all nodes of the cluster. observer: of one of them."""

    def __init__(self, observer: Asks) -> None:
        self._observer = observer

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        return await self._observer.ask({"what": "cluster", "ask": request})


async def _look(observer: Asks, parts: dict[str, Any], *, first: bool) -> State:
    """Returns the state. The first time, a part that is refused refuses the stream."""
    asked = [observer.ask({**fields, "what": name}) for name, fields in parts.items()]
    # At once: of several nodes, one that hangs delays each answer.
    *answers, node = await asyncio.gather(*asked, observer.ask({"what": "node"}), return_exceptions=True)
    state: State = {}
    for name, answer in zip(parts, answers, strict=True):
        if isinstance(answer, BaseException):
            if first or not isinstance(answer, RequestRefused):
                raise answer
            state[name] = {"error": {"code": answer.code, "message": answer.message}}
        else:
            state[name] = _table(answer, PARTS[name])
    if isinstance(node, BaseException):
        raise node
    state["node"] = node
    return state


def _table(answer: State, rows: str | None) -> State:
    """Returns an answer with its list of records as an object of rows, and their order."""
    if rows is None:
        return answer
    records = answer[rows]
    keys = [_key(record) for record in records]
    rest = {name: value for name, value in answer.items() if name != rows}
    return {"order": keys, "rows": dict(zip(keys, records, strict=True)), **rest}


def _key(row: State) -> str:
    return str(row.get("pid") or row.get("alias") or f"{row['node']}/{row['name']}")


async def difference(before: State, now: State) -> State:
    """Returns the merge patch that makes `now` of `before`; rows are compared in portions."""
    patch: State = {}
    for number, name in enumerate({**before, **now}, 1):
        old, new = before.get(name), now.get(name)
        if type(old) is dict and type(new) is dict and _is_deep(new):
            change = await difference(old, new)
            if change:
                patch[name] = change
        else:
            _compare(patch, name, old, new)
        if number % BUILT == 0:
            await asyncio.sleep(0)
    return patch


def _is_deep(value: State) -> bool:
    """True for tables, and for their rows."""
    return "rows" in value or len(value) > BUILT


def _compare(patch: State, name: str, old: Any, new: Any) -> None:
    if old == new:
        return
    if type(old) is dict and type(new) is dict:
        patch[name] = {}
        for key in {**old, **new}:
            _compare(patch[name], key, old.get(key), new.get(key))
    else:
        patch[name] = new


def apply(state: Any, patch: Any) -> Any:
    """Returns `state` with a JSON merge patch (RFC 7396). Changes neither."""
    if type(patch) is not dict:
        return patch
    merged = dict(state) if type(state) is dict else {}
    for name, change in patch.items():
        if change is None:
            merged.pop(name, None)
        else:
            merged[name] = apply(merged.get(name), change)
    return merged
