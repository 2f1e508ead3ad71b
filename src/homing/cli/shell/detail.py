"""Everything about one process or meta-process, in sections of lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeAlias

from rich.cells import cell_len
from rich.text import Text

from .columns import PROCESSES, SOCKETS, address
from .table import Column, Row, layout, lines
from .values import NOTHING, rate, seconds, share, size, text, whole

Facts: TypeAlias = list[tuple[str, str]]

CHILDREN = [column for column in PROCESSES if column.title not in ("parent", "application")]
_META = ("pid", "behavior", "state", "waiting", "oldest", "in/s", "out/s", "run%", "in", "out", "up")
METAS = [column for column in PROCESSES if column.title in _META]


def detail(answer: dict[str, Any], width: int | None) -> Iterator[Text]:
    """Yields the lines about the answer to `process`. width: columns of the terminal; None: nothing is left out."""
    record = answer["process"] or answer["meta"]
    yield Text(title(record), "bold")
    for heading, facts in _sections(answer, record):
        if facts:
            yield Text()
            yield Text(heading, "bold")
            yield from _aligned(facts)
    for heading, columns, key in (("meta-processes", METAS, "metas"), ("child processes", CHILDREN, "children")):
        rows = answer[key]
        if rows:
            yield Text()
            yield Text(heading, "bold")
            yield from _table(columns, rows, width)
            if answer["more"].get(key):
                yield Text(f"  ... and {answer['more'][key]} more")


def title(record: Row) -> str:
    """Returns the heading: `echo  <demo@localhost.1002>  Echo (actor)`."""
    name = text(record.get("name"))
    words = [] if name == NOTHING else [name]
    kind = record.get("kind", "meta-process")
    return "  ".join([*words, text(record.get("pid") or record["alias"]), f"{text(record['behavior'])} ({kind})"])


def _table(columns: list[Column], rows: list[Row], width: int | None) -> Iterator[Text]:
    found = layout(columns, rows, None if width is None else width - 2)
    for line in lines(found, rows):
        yield Text("  ") + line


def _aligned(facts: Facts) -> Iterator[Text]:
    longest = max(cell_len(name) for name, _ in facts)
    for name, value in facts:
        yield Text(f"  {name}{' ' * (longest - cell_len(name))}  {value}")


def _sections(answer: dict[str, Any], record: Row) -> Iterator[tuple[str, Facts]]:
    yield "state", _state(answer, record)
    yield "mailbox", _mailbox(record)
    if answer["socket"] is not None:
        yield "socket", _socket(answer["socket"])
        yield (
            "drops",
            [
                (f"{drop['direction']} {text(drop['cause'])}", whole(drop["count"]))
                for drop in answer["socket"]["drops"]
            ],
        )
    yield "addresses and links", _links(answer, record["node"])
    if answer["group"]:
        yield from _group(record["kind"], answer["group"], record["node"])
    elif answer["socket"] is None:
        yield "handle_inspect", _inspected(answer)


def _state(answer: dict[str, Any], record: Row) -> Facts:
    facts = [
        ("state", text(record["state"])),
        ("application", text(record.get("application"))),
        ("parent", address(record["parent"], record["node"])),
        ("leader", address(answer["leader"] or "", record["node"])),
        ("up", seconds(record["uptime"])),
        ("running", f"{share(record['running'])} now, {seconds(record['running_time'])} in all"),
        ("messages in", f"{record['messages_in']} ({rate(record['in_rate'])}/s)"),
        ("messages out", f"{record['messages_out']} ({rate(record['out_rate'])}/s)"),
        ("restarts", whole(record.get("restarts"))),
        ("last reason", text(record.get("last_reason"))),
        ("held by", address(record.get("held_by") or "", record["node"])),
        ("in flight", whole(record.get("in_flight") or None)),
        ("open requests", whole(record.get("requests") or None)),
        ("kept state", _kept(record.get("kept"))),
        ("stalls", whole(record["stalls"] or None)),
        ("traps exits", "yes" if answer["trap_exit"] else NOTHING),
        ("own thread", "yes" if record.get("thread") else NOTHING),
        ("environment", text(", ".join(answer["env"]))),
    ]
    return [(name, value) for name, value in facts if value != NOTHING]


def _kept(state: dict[str, Any] | None) -> str:
    if state is None:
        return NOTHING
    age = "none" if state["age"] is None else f"{size(state['size'])}, {seconds(state['age'])} behind"
    counts = [f"{state[name]} {name}" for name in ("dumps", "loads", "failures", "discarded") if state[name]]
    return text(", ".join([age, *counts, *([state["error"]] if state["error"] else [])]))


def _mailbox(record: Row) -> Facts:
    lanes = ", ".join(f"{lane} {waiting}" for lane, waiting in record["mailbox"].items() if waiting)
    limit = f" of {record['mailbox_size']}" if record["mailbox_size"] else ""
    facts = [("waiting", f"{record['waiting']}{limit}" + (f" ({lanes})" if lanes else ""))]
    if record["oldest"] is not None:
        more = "more than " if record["oldest_at_least"] else ""
        facts.append(("oldest message", more + seconds(record["oldest"])))
    for key, name in (("dropped_newest", "dropped, newest"), ("dropped_oldest", "dropped, oldest")):
        if record[key]:
            facts.append((name, whole(record[key])))
    return facts


def _socket(socket: Row) -> Facts:
    shown = {"address", "receiver", "backend", "rcvbuf", "asked", "sndbuf", "drops", "id", "owner"}
    receiver = text(socket["receiver"] or socket["owner"])
    joined = [name for name in ("gro", "gso") if socket[name]]
    facts = [
        ("address", text(socket["address"])),
        ("peer", text(socket["peer"])),
        ("receiver", f"{text(socket['receiver_name'])} {receiver}".removeprefix(f"{NOTHING} ")),
        ("backend", " ".join([text(socket["backend"]), *joined])),
        ("receive buffer", _buffer(socket, "receive_buffer")),
        ("send buffer", _buffer(socket, "send_buffer")),
        *((column.title, column.cell(socket)) for column in SOCKETS if column.title not in shown),
    ]
    return [(name, value) for name, value in facts if value != NOTHING]


def _buffer(socket: Row, key: str) -> str:
    asked = socket[f"{key}_asked"]
    return f"{size(socket[key])} ({'default' if asked is None else f'asked {size(asked)}'})"


def _links(answer: dict[str, Any], node: str) -> Facts:
    facts = []
    for key in ("aliases", "events", "links", "monitors"):
        more = [f"... and {answer['more'][key]} more"] if answer["more"].get(key) else []
        if answer[key]:
            facts.append((key, ", ".join([*(address(item, node) for item in answer[key]), *more])))
    return facts


def _inspected(answer: dict[str, Any]) -> Facts:
    if answer["facts_error"]:
        return [("failed", text(answer["facts_error"]))]
    return [(text(key), value_text(value)) for key, value in (answer["facts"] or {}).items()]


def _group(kind: str, group: dict[str, Any], node: str) -> Iterator[tuple[str, Facts]]:
    """The counters of a pool, router or supervisor, and a line for each worker, route or child."""
    members = next((key for key in ("workers", "routes", "children") if key in group), "")
    yield kind, [(text(key), value_text(value)) for key, value in group.items() if key not in (members, "more")]
    rows = [(text(address(name, node)), value_text(facts)) for name, facts in group.get(members, {}).items()]
    more = group.get("more")
    yield (
        "supervised children" if members == "children" else members,
        [*rows, *([("...", f"and {value_text(more)} more")] if more else [])],
    )


def value_text(value: Any) -> str:
    """Returns a fact in one line."""
    if isinstance(value, dict):
        return (
            ", ".join(
                f"{text(key)} {value_text(item)}" for key, item in value.items() if item not in (None, {}, [], "")
            )
            or NOTHING
        )
    if isinstance(value, list):
        return ", ".join(map(value_text, value)) or NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return text(value) if isinstance(value, str) else text(json.dumps(value))
