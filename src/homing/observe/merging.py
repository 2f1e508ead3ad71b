"""Merges the answers of several nodes into one, as if they were one node: sums, and lists with the nodes' names."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from .process_requests import TEXTS as PROCESS_TEXTS
from .socket_requests import TEXTS as SOCKET_TEXTS
from .watching import PARTS

Answer = dict[str, Any]
Answers = Mapping[str, Answer]

_LARGEST = ("uptime", "longest_stall", "loop_lag")
_FIRST = ("python", "version", "loop")
_STATES = ("running", "stopping", "stopped")

LISTS = {what: name for what, name in PARTS.items() if name is not None}
"""The requests for tables, and the list in their answers."""


def merge(name: str, query: Answer, answers: Answers) -> Answer:
    """Returns the answers to one request as one. name: that of the application. query: the fields of the request, and
    `what`."""
    what = query["what"]
    if what == "nodes":
        return {
            "cluster": next(filter(None, (answer["cluster"] for answer in answers.values())), None),
            **_rows(query, answers),
        }
    if what in LISTS:
        return _rows(query, answers)
    if what == "node":
        return _node(name, answers)
    if what == "tree":
        return _tree(name, answers)
    return {"nodes": dict(answers)}


# --- the node -----------------------------------------------------------------------------------------------


def _node(name: str, answers: Answers) -> Answer:
    records = list(answers.values())
    merged = {key: _value(key, [record.get(key) for record in records]) for key in records[0]}
    return {**merged, "name": name, "os_pid": os.getpid(), "time": round(time.time(), 3), "nodes": records}


def _value(key: str, values: list[Any]) -> Any:
    known = [value for value in values if value is not None]
    if not known or key in _FIRST:
        return known[0] if known else None
    if key == "state":
        return max(known, key=_STATES.index)
    if key == "allow":
        return all(known)
    if all(type(value) is bool for value in known):
        return any(known)
    if all(type(value) in (int, float) for value in known):
        return max(known) if key in _LARGEST else sum(known)
    return known[0]


# --- tables -------------------------------------------------------------------------------------------------


def _rows(query: Answer, answers: Answers) -> Answer:
    name = LISTS[query["what"]]
    rows = [row for answer in answers.values() for row in answer[name]]
    total = sum(answer["total"] for answer in answers.values())
    if "sort" in query:
        sort = query["sort"]
        texts = SOCKET_TEXTS if query["what"] == "sockets" else ("id", *PROCESS_TEXTS)
        rows.sort(key=_place)  # equal rows keep this order, whatever the other
        rows.sort(key=_order(sort, texts), reverse=(sort not in texts) != query["reverse"])
    limit = query["limit"]
    shown = rows[max(0, len(rows) - limit) :] if query.get("last") else rows[:limit]
    return {name: shown, "total": total, "more": total - len(shown)}


def _place(row: Answer) -> Any:
    return row["node"], row["id"]


def _order(sort: str, texts: tuple[str, ...]) -> Callable[[Answer], Any]:
    def key(row: Answer) -> Any:
        if sort == "id":
            return _place(row)
        value = row["dropped_newest"] + row["dropped_oldest"] if sort == "dropped" else row[sort]
        if sort in texts:
            return value is None, str(value or "")
        return -1.0 if value is None else value

    return key


def _tree(name: str, answers: Answers) -> Answer:
    nodes = {node: answer["node"] for node, answer in answers.items()}
    return {
        "node": _node(name, nodes),
        "applications": [item for answer in answers.values() for item in answer["applications"]],
        "processes": [item for answer in answers.values() for item in answer["processes"]],
        "more": sum(answer["more"] for answer in answers.values()),
    }
