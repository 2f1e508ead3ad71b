"""Renders the output of `homing tree`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .saying import printable

Snapshot = dict[str, Any]
"""The answer to the request `tree`, and its parts: see `observe.records.Tree`."""

HEADER = ("", "pid", "behavior", "state", "waiting", "")

SHORTEST = 24
"""Least width of the first column, which is cut where a terminal is too narrow. Long lines wrap rather than cut it
further."""


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a tree: before a child, before the last child, and below each of these."""

    child: str
    last: str
    under_child: str
    under_last: str = "   "


BOX = Lines("├─ ", "└─ ", "│  ")
ASCII = Lines("|- ", "`- ", "|  ")


@dataclass(slots=True)
class Row:
    """One line: its cells, of which the first is indented as a tree, and the rows under it."""

    cells: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)


def lines_for(encoding: str | None) -> Lines:
    """Returns box-drawing characters, or ASCII if the encoding of the output has none."""
    try:
        (BOX.child + BOX.last + BOX.under_child).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BOX


def render(snapshot: Snapshot, encoding: str | None, width: int | None = None) -> str:
    """Returns the tree as text that can be written in `encoding`. width: columns of the terminal; None: nothing is
    cut."""
    from rich.cells import cell_len

    from .shell.table import GAP

    lines = lines_for(encoding)
    several = "nodes" in snapshot["node"]
    sections = [
        (_application_title(item) + (f" on {item['node']}" if several else ""), _rows(item))
        for item in snapshot["applications"]
    ]
    sections += _others(snapshot, several)
    table = [
        (title, [_cleaned((prefix + row.cells[0], *row.cells[1:]), encoding) for prefix, row in _walk(rows, lines)])
        for title, rows in sections
    ]
    cells = [HEADER, *(row for _, rows in table for row in rows if len(row) == len(HEADER))]
    widths = [max(cell_len(row[column]) for row in cells) for column in range(len(HEADER))]
    if width is not None:
        widths[0] = max(SHORTEST, widths[0] - max(0, sum(widths) + GAP * (len(widths) - 1) - width))
    text = [node_title(snapshot["node"]), ""]
    if len(cells) > 1:
        text.append(_line(HEADER, widths))
    for title, rows in table:
        text += [title, *(_line(row, widths) for row in rows), ""]
    return "\n".join(printable(line, encoding) for line in text).rstrip("\n")


def _cleaned(cells: tuple[str, ...], encoding: str | None) -> tuple[str, ...]:
    """Returns what is printed of cells: its width is known only then."""
    return tuple(printable(cell, encoding) for cell in cells)


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    from .shell.table import GAP, fitted

    if len(cells) == 1:
        return cells[0]
    return (" " * GAP).join(fitted(cell, width) for cell, width in zip(cells, widths, strict=False)).rstrip()


def _walk(rows: list[Row], lines: Lines) -> Iterator[tuple[str, Row]]:
    """Yields each row with its prefix, from top to bottom. Without recursion: a chain may be long."""
    rest = [("", row, row is rows[-1]) for row in reversed(rows)]
    while rest:
        indent, row, last = rest.pop()
        yield indent + (lines.last if last else lines.child), row
        under = indent + (lines.under_last if last else lines.under_child)
        rest += [(under, child, child is row.rows[-1]) for child in reversed(row.rows)]


def _others(snapshot: Snapshot, several: bool) -> list[tuple[str, list[Row]]]:
    """Returns title and rows of the processes of no application, of each node by itself."""
    title = "processes of no application"
    if not several:
        return [(title, _rows(snapshot))] if snapshot["processes"] or snapshot["more"] else []
    nodes: dict[str, list[Any]] = {}
    for process in snapshot["processes"]:
        nodes.setdefault(process["node"], []).append(process)
    sections = [(f"{title} on {node}", _rows({"processes": some, "more": 0})) for node, some in nodes.items()]
    if snapshot["more"]:
        sections.append((title, _rows({"processes": [], "more": snapshot["more"]})))
    return sections


def _rows(place: Snapshot) -> list[Row]:
    """Returns the rows of a flat list of processes: each under the nearest earlier process that is one level up."""
    top = Row(())
    path = [top]
    left_out = [(top, place["more"])]
    for process in place["processes"]:
        row = Row(_process_cells(process), [Row(_meta_cells(meta)) for meta in process["metas"]])
        del path[process["depth"] + 1 :]
        path[-1].rows.append(row)
        path.append(row)
        left_out.append((row, process["more"]))
    for row, more in left_out:
        if more:
            row.rows.append(Row((f"... and {more:,} more",)))
    return top.rows


# --- the words --------------------------------------------------------------------------------------------


def node_title(node: Snapshot) -> str:
    """Returns the node in one line."""
    return (
        f"{node['name']}: {node['state']}, up {duration(node['uptime'])}, OS process {node['os_pid']}, "
        f"Python {node['python']} on {node['loop']}, {count(node['processes'], 'process', 'processes')}"
    )


def _application_title(application: Snapshot) -> str:
    name = f"{application['name']} {application['version']}".rstrip()
    up = f", up {duration(application['uptime'])}" if application["uptime"] else ""
    return f"{name} ({application['mode']} application, {application['state']}{up})"


def _process_cells(process: Snapshot) -> tuple[str, ...]:
    behavior = process["behavior"] if process["kind"] == "actor" else f"{process['behavior']} ({process['kind']})"
    facts = process["facts"]
    counts = (("in flight", process.get("in_flight", 0), 1), ("requests", process.get("requests", 0), 0))
    note = ", ".join(f"{word} {count:,}" for word, count, most in counts if count > most)
    if process["kind"] != "actor":
        note = "does not answer" if facts is None else _restarts_or_failures(facts)
    return process["name"] or "-", str(process["id"]), behavior, process["state"], f"{process['waiting']:,}", note


def _restarts_or_failures(facts: Snapshot) -> str:
    if "failures" in facts:  # a function of a `Service`
        return f"failures {number(facts['failures']):,}"
    restarts = facts.get("restarts", facts.get("worker_restarts"))
    return "" if restarts is None else f"restarts {restarts}"


def _meta_cells(meta: Snapshot) -> tuple[str, ...]:
    facts = meta["facts"]
    listener = (facts or {}).get("listener")
    protocol = "TCP" if facts and "received_bytes" in facts else "UDP"
    label = f"{protocol} {listener}" if listener else "meta-process"
    if facts and "peer" in facts:  # a client
        label = listener = f"{protocol} {facts.get('local')} > {facts['peer']}"
    note = "does not answer" if facts is None else _traffic(facts) if listener else ""
    return label, str(meta["id"]), meta["behavior"], meta["state"], f"{meta['waiting']:,}", note


def _traffic(facts: Snapshot) -> str:
    """Returns the counters of a UDP or TCP server, and its problems, if any."""
    if "received_bytes" in facts:
        open_, received, sent = (number(facts.get(key)) for key in ("open", "received", "sent"))
        words = [f"open {open_:,}, in {received:,}, out {sent:,}"]
    else:
        words = [_datagrams(facts)]
    errors = facts.get("send_errors")
    if isinstance(errors, dict) and errors:
        words.append(f"not sent {sum(map(number, errors.values())):,}")
    if facts.get("waiting_for"):
        words.append(f"paused for its {facts['waiting_for']}")
    return ", ".join(words)


def _datagrams(facts: Snapshot) -> str:
    drops = sum(number(facts.get(key)) for key in ("kernel_drops", "dropped_no_receiver", "dropped_send_queue"))
    return f"in {number(facts.get('packets_in')):,}, out {number(facts.get('packets_out')):,}, dropped {drops:,}"


def number(value: Any) -> int:
    """Returns `value` if it is a number, else 0, as for "n/a", a counter that the system does not have."""
    return value if isinstance(value, int) else 0


def count(how_many: int, one: str, many: str) -> str:
    """Returns `1 process`, `2 processes`."""
    return f"{how_many:,} {one if how_many == 1 else many}"


def duration(seconds: float) -> str:
    """Returns seconds in the two largest units that fit: `42 s`, `3 min 20 s`, `2 h 5 min`, `12 d 3 h`."""
    whole = int(seconds)
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    first = next((index for index, (amount, _) in enumerate(parts) if amount), 3)
    return " ".join(f"{amount} {unit}" for amount, unit in parts[first : first + 2] if amount or first == 3)
