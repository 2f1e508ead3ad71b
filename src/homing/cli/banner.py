"""The text that `homing run` prints at the start: what runs, what is open, and the commands that show more."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator
from typing import NamedTuple

from .tree import Snapshot, count, number

MOST_SERVERS = 20
"""Most UDP servers that the banner lists."""

SERVER_HEADER = ("UDP server", "receiver", "backend", "receive buffer", "send buffer")

UNLIMITED = 10_000
"""Columns if there is no terminal, or one that does not know its size: a log is not wrapped."""

_FEWEST = 20

_LABEL = 12
_OF_TCP = "most_connections"
"""A fact that only TCP servers have."""

_SYSCTLS = {"receive_buffer": "net.core.rmem_max", "send_buffer": "net.core.wmem_max"}


class Doors(NamedTuple):
    """The ways into the node, each described for people; "": this one is not there.

    control: the control socket. http: the HTTP server. config: the file of the configuration. cluster: the one that it
    has joined.
    """

    control: str
    http: str = ""
    config: str = ""
    cluster: str = ""


def terminal_columns() -> int:
    """Returns the columns of the terminal that the banner is printed on."""
    try:
        return max(_FEWEST, os.get_terminal_size(sys.stderr.fileno()).columns or UNLIMITED)
    except (OSError, ValueError, AttributeError):
        return UNLIMITED


def banner(snapshot: Snapshot, doors: Doors, columns: int = UNLIMITED) -> str:
    """Returns the banner for a terminal of so many columns."""
    node = snapshot["node"]
    name = str(node["name"]).partition("@")[0]
    facts = [
        ("node", node["name"]),
        *(("application", _application(item)) for item in snapshot["applications"] if item["state"] == "running"),
        ("processes", f"{node['processes']:,}"),
        ("OS process", f"{node['os_pid']}, Python {node['python']}, {node['loop']}"),
        ("config", doors.config and f"{doors.config} (kill -HUP {node['os_pid']} reads it again)"),
        ("control", doors.control),
        ("HTTP", doors.http),
        ("cluster", doors.cluster),
        ("TCP", _tcp(snapshot)),
        ("look", "" if doors.control.startswith("off") else ", ".join(_commands(name, doors))),
    ]
    lines = [line for label, value in facts if value for line in _fact(label, str(value), columns)]
    return "\n".join(["", *lines, "", *_servers(snapshot, columns), *_advice(snapshot), ""])


def _commands(name: str, doors: Doors) -> Iterator[str]:
    """Yields the commands that show more."""
    yield from (f"homing top {name}", f"homing tree {name}")
    if doors.cluster:
        yield f"homing nodes {name}"


def _fact(label: str, value: str, columns: int) -> list[str]:
    indent = " " * (2 + _LABEL + 1)
    return textwrap.wrap(
        value,
        columns,
        initial_indent=f"  {label:<{_LABEL}} ",
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _application(item: Snapshot) -> str:
    name = f"{item['name']} {item['version']}".rstrip()
    return f"{name} ({item['mode']})" + (f": {item['description']}" if item["description"] else "")


def status(snapshot: Snapshot) -> str:
    """Returns the applications and servers in one line, for `systemctl status`."""
    running = [_application(item) for item in snapshot["applications"] if item["state"] == "running"]
    listeners = [f"UDP {facts['listener']}" for facts in listening(snapshot)]
    listeners += [f"TCP {facts['listener']}" for facts in listening_tcp(snapshot)]
    return ", ".join([*running, *_most(listeners)])


def _most(listeners: list[str]) -> list[str]:
    """Returns the first ones, and how many others there are."""
    more = [f"and {len(listeners) - MOST_SERVERS} more"] if len(listeners) > MOST_SERVERS else []
    return listeners[:MOST_SERVERS] + more


# --- servers ------------------------------------------------------------------------------------------------


def _rows(snapshot: Snapshot) -> list[Snapshot]:
    rows: list[Snapshot] = [process for item in snapshot["applications"] for process in item["processes"]]
    return rows + list(snapshot["processes"])


def listening(snapshot: Snapshot) -> list[Snapshot]:
    """Returns the facts of the UDP servers."""
    return [facts for facts in _listening(snapshot) if _OF_TCP not in facts]


def listening_tcp(snapshot: Snapshot) -> list[Snapshot]:
    """Returns the facts of the TCP servers."""
    return [facts for facts in _listening(snapshot) if _OF_TCP in facts]


def _listening(snapshot: Snapshot) -> list[Snapshot]:
    metas = [meta for process in _rows(snapshot) for meta in process["metas"]]
    return [meta["facts"] for meta in metas if meta["facts"] and "listener" in meta["facts"]]


def _tcp(snapshot: Snapshot) -> str:
    return ", ".join(_most([str(facts["listener"]) for facts in listening_tcp(snapshot)]))


def _servers(snapshot: Snapshot, columns: int) -> list[str]:
    """Returns the table of the UDP servers; a list, if the table is too wide."""
    names = {process["pid"]: process["name"] for process in _rows(snapshot) if process["name"]}
    servers = [_server(facts, names) for facts in listening(snapshot)]
    if not servers:
        return [] if listening_tcp(snapshot) else ["  no UDP server listens yet"]
    table = [SERVER_HEADER, *servers[:MOST_SERVERS]]
    widths = [max(len(row[column]) for row in table) for column in range(len(SERVER_HEADER))]
    if sum(widths) + 2 * len(widths) <= columns:
        lines = [f"  {'  '.join(map(str.ljust, row, widths))}".rstrip() for row in table]
    else:
        lines = [line for row in table[1:] for line in _listed(row)]
    more = len(servers) - MOST_SERVERS
    return lines if more <= 0 else [*lines, f"  ... and {count(more, 'UDP server', 'UDP servers')} more"]


def _listed(row: tuple[str, ...]) -> Iterator[str]:
    yield f"  {SERVER_HEADER[0]} {row[0]}"
    for label, cell in zip(SERVER_HEADER[1:], row[1:], strict=True):
        yield f"    {label:<14} {cell}"


def _server(facts: Snapshot, names: dict[str, str]) -> tuple[str, ...]:
    receiver = str(facts.get("process", ""))
    return (
        str(facts["listener"]),
        names.get(receiver, receiver),
        str(facts.get("backend", "")),
        _buffer(facts, "receive_buffer"),
        _buffer(facts, "send_buffer"),
    )


def _buffer(facts: Snapshot, name: str) -> str:
    asked = facts.get(f"{name}_asked")
    granted = f"{number(facts.get(name)):,}"
    return f"{granted} (default)" if asked is None else f"{granted} (asked {number(asked):,})"


def _advice(snapshot: Snapshot) -> Iterator[str]:
    """Yields the commands that let the system grant the buffers that were asked for."""
    for name, sysctl in _SYSCTLS.items() if sys.platform == "linux" else ():
        asked = [number(facts.get(f"{name}_asked") or 0) for facts in listening(snapshot) if _is_clamped(facts, name)]
        if asked:
            yield from ("", f"  The system limits the {name.replace('_', ' ')}. To get what was asked for:")
            yield f"    sudo sysctl -w {sysctl}={max(asked)}"


def _is_clamped(facts: Snapshot, name: str) -> bool:
    asked = facts.get(f"{name}_asked")
    return asked is not None and number(facts.get(name)) < number(asked)
