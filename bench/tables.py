"""The tables of figures in README.md and docs/benchmarks.md, from the figures that `--json` has written.

`python -m bench.tables [FIGURES.json]` writes them anew between their marks. Default: bench/figures.json.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from .child import SPINNING, TIMED
from .cluster import ERLANG, HOMING, OTHERS, SECURE
from .suite import Settings
from .udp import RATE, SPIN_RATES
from .udp_processes import PROCESSES

ROOT = Path(__file__).parents[1]
FIGURES = Path(__file__).with_name("figures.json")

DIFFERENCE = 1.15
"""Ratio from which one figure is called better than another: see README.md."""

_UNITS = (
    "Per CPU-second of the process under test; M: million, k: thousand; *busy*: the share of a core that\nit needed."
)

_LATE = 0.05
"""Share of late packets from which a row is not what its label says."""

_BEGIN = "<!-- Written by `python -m bench.tables`; do not edit. -->\n"
_END = "<!-- The end of what is written. -->"


class Figures:
    """The result of `report.as_json`. A figure that it does not have is None."""

    def __init__(self, figures: Any) -> None:
        self.machine: dict[str, str] = figures["machine"]
        self.quick: bool = figures["settings"]["load_seconds"] < Settings().load_seconds
        self.benchmarks: dict[str, dict[str, Any]] = {
            benchmark["name"]: {one["name"]: one for one in benchmark["contestants"] if "median" in one}
            for benchmark in figures["benchmarks"]
        }

        counts = {len(one["rounds"]) for benchmark in self.benchmarks.values() for one in benchmark.values()}
        self.rounds = sorted(counts)

    def median(self, benchmark: str, contestant: str, key: str = "value") -> float | None:
        one = self.benchmarks.get(benchmark, {}).get(contestant)
        if one is None or key not in one["rounds"][0]:
            return None
        median: float = statistics.median(sample[key] for sample in one["rounds"])
        return median


Cell: TypeAlias = Callable[[Figures, str], str]
"""Returns the text for a contestant; "" if it was not measured."""

Column: TypeAlias = tuple[str, str]
"""A heading, and the contestant below it."""


def scaled(value: float) -> str:
    """Returns three digits, with M for millions and k for thousands."""
    for limit, unit in ((1e6, " M"), (1e3, " k")):
        if value >= limit:
            return f"{value / limit:.{2 if value < 10 * limit else 1 if value < 100 * limit else 0}f}{unit}"
    return f"{value:.0f}"


def _rate(benchmark: str, busy: bool = False, suffix: str = "") -> Cell:
    def cell(figures: Figures, contestant: str) -> str:
        value = figures.median(benchmark, contestant + suffix)
        if value is None:
            return ""
        share = figures.median(benchmark, contestant + suffix, "busy") if busy else None
        return scaled(value) if share is None else f"{scaled(value)}, {share:.0%}"

    return cell


def _trip(benchmark: str) -> Cell:
    def cell(figures: Figures, contestant: str) -> str:
        p50, p99 = (figures.median(benchmark, contestant, key) for key in ("p50", "p99"))
        return "" if p50 is None or p99 is None else f"{p50:,.0f} / {p99:,.0f}"

    return cell


def _cost(benchmark: str) -> Cell:
    def cell(figures: Figures, contestant: str) -> str:
        microseconds, busy = (figures.median(benchmark, contestant, key) for key in ("us", "busy"))
        return "" if microseconds is None or busy is None else f"{microseconds:.1f}, {busy:.0%}"

    return cell


def _added(figures: Figures, contestant: str) -> str:
    """The CPU time for a packet, less that of a bare loop with the same work."""
    mine, bare = (figures.median("udp-work", name, "us") for name in (contestant, "blocking socket"))
    return "" if mine is None or bare is None else f"{mine - bare:.1f}"


def _bytes(figures: Figures, contestant: str) -> str:
    idle, used = (figures.median(name, contestant) for name in ("memory", "memory-used"))
    return "" if idle is None or used is None else f"{idle:,.0f} / {used:,.0f}"


_LABELS = {
    "udp-flood": "receive 64 bytes, a flood",
    "udp-flood-single": "receive, a sender that makes one packet at a time; busy",
    "udp-paced-300k": "receive, 300,000 a second on schedule; busy",
    "udp-paced-100k": "receive, 100,000 a second on schedule; busy",
    "udp-backlog": "receive, 500 packets that wait",
    "udp-sources": "receive, from 1,000 sources; busy",
    "udp-echo": "echo, 64 outstanding",
    "udp-openloop": "echo, 20,000 a second on schedule; busy",
    "udp-latency": "echo, one at a time; busy",
    "udp-call": "requests of a client, 64 open",
}
_TIMED = {
    "udp-openloop": "echo, 20,000 a second, a timer pending; busy",
    "udp-latency": "echo, one at a time, a timer pending; busy",
}
_SOURCES = ", 1000 sources"
_BUSY = ("udp-flood-single", "udp-paced-300k", "udp-paced-100k", "udp-sources", "udp-openloop", "udp-latency")

_UNHURRIED = {
    name: f"echo, {rate:,} a second beside a loop that spins" for name, rate in SPIN_RATES.items() if rate <= RATE
}
"""The rates at which a server that spins does not make the load late by itself: it can answer as many."""

_TRIPS = {"udp-openloop": "round trip of 20,000 a second", "udp-latency": "round trip of one at a time"}


def _suffix(benchmark: str) -> str:
    """Returns the end of the names of the contestants that the row of a benchmark has."""
    return _SOURCES if benchmark == "udp-sources" else ""


def _labelled() -> dict[str, Cell]:
    rows = {}
    for name, label in _LABELS.items():
        rows[label] = _rate(name, name in _BUSY, _suffix(name))
        if name in _TIMED:
            rows[_TIMED[name]] = _rate(name, True, TIMED)
    return rows


_ROWS: dict[str, Cell] = (
    _labelled()
    | {f"{label}: p50 / p99, us": _trip(name) for name, label in _TRIPS.items()}
    | {
        "added to about 50 us of work for a packet, us": _added,
    }
)

_JOINED: dict[str, Cell] = {
    "64 bytes, joined by the kernel": _rate("udp-gso-64"),
    "1,200 bytes, joined by the kernel": _rate("udp-gso-1200"),
}

_ACTOR_LABELS = {
    "send": "messages between actors",
    "pingpong": "ping-pong, messages",
    "call": "calls, round trip",
    "request": "requests of a sender that continues, round trip",
    "forward": "answers through a forwarder, 200 open",
    "spawn": "spawn",
}

_ACTORS: dict[str, Cell] = {label: _rate(name) for name, label in _ACTOR_LABELS.items()}

_SPINNING: dict[str, Cell] = {
    f"{rate:,} a second: {label}": cell
    for name, rate in SPIN_RATES.items()
    for label, cell in (("round trip, p50 / p99, us", _trip(name)), ("CPU time for an answer, us; busy", _cost(name)))
}

_PROCESSES: dict[str, Cell] = {
    "a flood from 1,000 sources": _rate("udp-processes"),
    "the same, from a sender that is faster than all": _rate("udp-processes-flood"),
}


def _values(benchmark: str, *keys: str, digits: int = 0) -> Cell:
    def cell(figures: Figures, contestant: str) -> str:
        values = [figures.median(benchmark, contestant, key) for key in keys]
        return " / ".join(f"{value:,.{digits}f}" for value in values if value is not None)

    return cell


_CLUSTER: dict[str, tuple[str, Cell]] = {
    "messages of four fields, a second": ("cluster-send", _rate("cluster-send")),
    "CPU time for such a message, sender / receiver, us": (
        "",
        _values("cluster-send", "us_sender", "us_receiver", digits=2),
    ),
    "messages of 64 bytes, a second": ("cluster-bytes", _rate("cluster-bytes")),
    "calls, one at a time: p50 / p99, us": ("cluster-call", _values("cluster-call", "value", "p99")),
    "calls, 64 open, a second": ("cluster-calls", _rate("cluster-calls")),
    "`kill -9` is known after, ms": ("cluster-kill", _values("cluster-kill", "value", digits=1)),
    "a frozen node is known after, s": ("cluster-freeze", _values("cluster-freeze", "value", digits=1)),
    "meanwhile at a third node: longest gap, ms / lost": ("", _values("cluster-freeze", "gap_ms", "lost")),
    "five nodes have joined after, ms": ("cluster-join", _values("cluster-join", "value")),
    "UDP answers of a worker on another node, a second": ("", _rate("cluster-udp")),
}
"""The label of a row, the benchmark in which others may be better, and what is in the row."""

_CLUSTER_TIMES = ("cluster-call", "cluster-kill", "cluster-freeze", "cluster-join")


def cluster_better(figures: Figures) -> str:
    """Returns the rows of a cluster in which another system is clearly better than Homing; "" if none was measured."""
    found, measured = [], False
    for label, (name, _) in _CLUSTER.items():
        mine = figures.median(name, HOMING)
        for other in figures.benchmarks.get(name, {}):
            value = figures.median(name, other)
            if mine and value and not other.startswith(HOMING):
                measured = True
                ratio = mine / value if name in _CLUSTER_TIMES else value / mine
                found += [f"- {label}: {other} {ratio:.2f} x\n"] if ratio >= DIFFERENCE else []
    if not measured:
        return ""
    if not found:
        return "No other system is better than Homing in any of these rows.\n"
    return f"**Others are better** here:\n\n{''.join(found)}"


_BARE: tuple[Column, ...] = (("asyncio, 2 KiB reads", "asyncio 2 KiB reads"), ("uvloop", "uvloop"), ("rloop", "rloop"))
_C = ("a loop in C", "C recvmmsg")


def _table(figures: Figures, corner: str, columns: Sequence[Column], rows: dict[str, Cell]) -> str:
    lines = [[corner, *(heading for heading, _ in columns)], ["---"] * (len(columns) + 1)]
    for label, cell in rows.items():
        cells = [cell(figures, contestant) for _, contestant in columns]
        if any(cells):
            lines.append([label, *cells])
    if len(lines) == 2:
        return ""
    return "".join(f"| {' | '.join(cells)} |\n".replace("|  |", "| |").replace("|  |", "| |") for cells in lines)


def _ahead(figures: Figures, benchmark: str, key: str = "value", suffix: str = "") -> list[str]:
    """Returns the Python contestants that are clearly better than Homing, each with its ratio. key: `value`, where more
    is better, or a time. suffix: the end of their names."""
    mine = figures.median(benchmark, f"homing{suffix}", key)
    found = []
    for other in figures.benchmarks.get(benchmark, {}):
        name, comma, end = other.partition(", ")
        value = figures.median(benchmark, other, key)
        if mine and value and comma + end == suffix and not name.startswith(("homing", "C ")):
            ratio = value / mine if key == "value" else mine / value
            found += [f"{name} {ratio:.2f} x"] if ratio >= DIFFERENCE else []
    return found


def better(figures: Figures) -> str:
    """Returns a list of the rows in which Python contestants are clearly better than Homing, with their names."""
    rows = [
        (label.removesuffix("; busy"), _ahead(figures, name, suffix=suffix))
        for labels, own in ((_LABELS | _ACTOR_LABELS, ""), (_TIMED, TIMED))
        for name, label in labels.items()
        for suffix in (own or _suffix(name),)
    ] + [(f"{label}, {key}", _ahead(figures, name, key)) for name, label in _TRIPS.items() for key in ("p50", "p99")]
    lines = "".join(f"- {label}: {', '.join(ahead)}\n" for label, ahead in rows if ahead)
    percent = f"{DIFFERENCE - 1:.0%}"
    if not lines:
        return f"No other Python contestant is {percent} better than Homing in any of these rows.\n"
    return (
        f"**Others are better** here, by at least {percent}: they do so many times the work per CPU-second, or have\n"
        f"round trips so many times shorter.\n\n{lines}"
    )


def shared_port(figures: Figures) -> str:
    """Returns the cost of a second process behind one port; "" if it was not measured."""
    found = []
    for benchmark, load in (("udp-processes-flood", "is faster than both"), ("udp-processes", "makes one at a time")):
        one, two = (figures.median(benchmark, name, "us") for name in PROCESSES[:2])
        if one is not None and two is not None:
            found.append(f"{two:.1f} us instead of {one:.1f} ({two / one:.2f} x), from a sender that {load}")
    if not found:
        return ""
    return f"With `homing run --processes 2` on the same core, a packet takes {'; '.join(found)}.\n"


def _measured(figures: Figures) -> str:
    machine = figures.machine
    kernel = machine["kernel"].partition("-")[0]
    rounds = f"medians of {' or '.join(map(str, figures.rounds))} rounds" if figures.rounds != [1] else "one round"
    if figures.quick:
        rounds += " of a quick run, which is only a check"
    return f"{machine['cpu']}, {kernel}, {machine['python']}, {rounds}"


def _late(figures: Figures) -> str:
    """Returns a warning if the load generator was late: "" if it was not."""
    late = [
        f"{label.partition(';')[0]} ({share:.0%})"
        for name, label in (_LABELS | _UNHURRIED).items()
        if (share := figures.median(name, "homing", "behind") or 0.0) > _LATE
    ]
    if not late:
        return ""
    return (
        f"Packets of the load that left more than 0.1 ms late, in bursts: {', '.join(late)}. These rows were measured\n"
        "on a busy machine, and do not show lone packets.\n\n"
    )


def readme(figures: Figures) -> str:
    """Returns the block of README.md."""
    columns = (("Homing", "homing"), *_BARE, _C)
    text = f"{_measured(figures)}. {_UNITS}\n\n"
    text += _table(figures, "", columns, _ROWS | _ACTORS)
    slow = figures.median("udp-flood", "asyncio")
    if slow is not None:
        text += f"\nasyncio as it comes allocates 256 KiB for each read: then the first row has {scaled(slow)}.\n"
    return f"{text}\n{_late(figures)}{better(figures)}\n{shared_port(figures)}"


def page(figures: Figures) -> str:
    """Returns the block of docs/benchmarks.md. Tables of which nothing was measured are left out."""
    columns = (
        ("Homing", "homing"),
        ("on uvloop", "homing on uvloop"),
        ("on asyncio's loop", "homing on asyncio"),
        ("async handler", "homing async handler"),
        ("pool of 4", "homing pool of 4"),
        ("asyncio as it comes", "asyncio"),
        *_BARE,
        ("blocking socket", "blocking socket"),
        _C,
    )
    joined = (
        ("Homing", "homing"),
        ("`handle_datagrams`, a sum by numpy", "homing batch handler (numpy)"),
        ("uvloop", "uvloop"),
        _C,
        ("C, `UDP_GRO`", "C recvmmsg + GRO"),
    )
    actors = (
        ("Homing", "homing"),
        ("on uvloop", "homing on uvloop"),
        ("asyncio, a task and a queue", "asyncio"),
        ("uvloop, the same", "uvloop"),
        ("pykka", "pykka"),
    )
    spinning = (("the loop sleeps at once", "homing"), ("`spin=0.001`", f"homing{SPINNING}"))
    processes = tuple((name.partition(", ")[2], name) for name in figures.benchmarks.get("udp-processes", {}))
    clusters = (
        ("Homing", HOMING),
        ("Homing, mutual TLS", SECURE),
        ("Erlang/OTP", ERLANG),
        *((other, other) for other in OTHERS),
    )
    parts = [
        f"{_measured(figures)}: figures to compare with each other, not to carry to another machine.\n{_UNITS}\n",
        _table(figures, "UDP", columns, _ROWS),
        _late(figures) + better(figures),
        _table(figures, "UDP receive", joined, _JOINED),
        _table(figures, "UDP echo, on schedule", spinning, _SPINNING),
        _table(figures, "`homing run --processes`", processes, _PROCESSES),
        shared_port(figures),
        _table(
            figures, "cluster, two nodes on two cores", clusters, {label: cell for label, (_, cell) in _CLUSTER.items()}
        ),
        cluster_better(figures),
        _table(figures, "actors", actors, _ACTORS | {"bytes per actor, idle / after a message": _bytes}),
    ]
    return "\n".join(filter(None, parts))


PAGES: dict[Path, Callable[[Figures], str]] = {ROOT / "README.md": readme, ROOT / "docs" / "benchmarks.md": page}


def filled(text: str, block: str) -> str:
    """Returns `text` with `block` between its marks. Raises `ValueError` if it has no marks."""
    pattern = re.compile(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError("no marks between which to write")
    return pattern.sub(lambda found: f"{_BEGIN}\n{block}\n{_END}", text, count=1)


def main(path: str | Path = FIGURES) -> None:
    figures = Figures(json.loads(Path(path).read_text()))
    for file, render in PAGES.items():
        file.write_text(filled(file.read_text(), render(figures)))


if __name__ == "__main__":
    main(*sys.argv[1:])
