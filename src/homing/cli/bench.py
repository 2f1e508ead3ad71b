"""`homing bench`: measures Homing on this machine, beside bare asyncio and uvloop, in some twenty seconds.

Each contestant is measured once, in a process of its own, by the CPU time that this process spends. If there are two
cores, the process under test has one, and the load, which the command itself sends, has the other.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import typer

from . import bench_bare, bench_load

_WARM_UP = 0.05
"""Seconds of load before the measurement."""

_QUIET = 0.05
"""Seconds without a packet after which a server is taken to have handled all packets in its socket."""

_SATURATED = 0.85
"""Least share of its core that a server must use: below that the load was the limit, not the server."""

_LEAST = 0.001
"""Least CPU seconds that are counted for a server: a short load may take less than the clock can resolve."""

_ACTOR_SHARE = 0.4
"""CPU seconds of each measurement of actors, as a share of the seconds of load for a UDP server."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A library to measure, with its settings.

    loop: "homing", "asyncio" or "uvloop". is_homing: if False, a bare protocol, tasks and queues. read_size: bytes of a
    read; 0: the loop's own choice. joined: the kernel may join packets (UDP_GRO).
    """

    name: str
    loop: str
    is_homing: bool = False
    read_size: int = 0
    joined: bool = False


_HOMING = Contestant("homing", "homing", is_homing=True)
_JOINED = Contestant("homing, packets joined", "homing", is_homing=True, joined=True)
_BASELINE = Contestant("asyncio", "asyncio")
_CONTESTANTS = (
    _HOMING,
    Contestant("homing on uvloop", "uvloop", is_homing=True),
    _BASELINE,
    Contestant("asyncio, 2 KiB reads", "asyncio", read_size=2048),
    Contestant("uvloop", "uvloop"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One contestant's figures. busy: the share of its core that a server used; None if it is no server."""

    name: str
    values: tuple[float, ...]
    busy: float | None = None
    extras: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a table. All are compared with the row named "asyncio"."""

    title: str
    heads: tuple[str, ...]
    extra_heads: tuple[str, ...] = ()
    rows: list[Row] = field(default_factory=list)


class _Failed(Exception):
    """A contestant could not be measured."""


class _Process:
    """A process under test; `with` ends it. Each line that it writes is a JSON object."""

    def __init__(self, contestant: Contestant, job: str, number: object, core: str) -> None:
        bare = ["-P", bench_bare.__file__]
        command = [sys.executable, *(["-m", f"{__package__}.bench_homing"] if contestant.is_homing else bare)]
        joined = {} if contestant.joined else {"BENCH_SINGLY": "1"}
        self._child = subprocess.Popen(  # noqa: S603 # Python, with arguments from this file
            [*command, contestant.loop, job, str(number), core],
            env={**os.environ, **joined},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C reaches only this process, which ends the child
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._child.communicate(timeout=5)  # closes the child's standard input, which ends a server
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.communicate()

    def read(self) -> dict[str, Any]:
        """Returns the next line. Raises `_Failed` if the process has ended."""
        line = self._child.stdout.readline() if self._child.stdout else ""
        if not line:
            raise _Failed("its process has ended")
        facts: dict[str, Any] = json.loads(line)
        return facts

    def figures(self) -> tuple[int, float]:
        """Returns the packets handled and the CPU seconds spent by a server, once no packet waits any more."""
        before = self._ask()
        while True:
            time.sleep(_QUIET)
            after = self._ask()
            if after["packets"] == before["packets"]:
                return before["packets"], before["cpu_seconds"]
            before = after

    def _ask(self) -> dict[str, Any]:
        with contextlib.suppress(BrokenPipeError):  # the process has ended: `read` raises for that
            if self._child.stdin:
                self._child.stdin.write("\n")
                self._child.stdin.flush()
        return self.read()


class _Bench:
    """Runs all measurements, each of which takes about `seconds`."""

    def __init__(self, seconds: float, core: str) -> None:
        self._seconds = seconds
        self._core = core
        self.backend = "unknown"
        self.failures: list[str] = []

    def tables(self) -> Iterator[Table]:
        """Measures, and yields each table when it is complete."""
        contestants = [one for one in _CONTESTANTS if importlib.util.find_spec(one.loop)]
        flood = Table("UDP receive: a flood of 64-byte packets, one by one", ("packets",))
        self._fill(flood, contestants, self._flood)
        if self.backend not in ("portable", "unknown"):
            self._fill(flood, [_JOINED], self._flood)
        yield flood
        echo = Table("UDP echo: 64 requests outstanding, every answer compared", ("answers",), ("p50 us", "p99 us"))
        self._fill(echo, contestants, self._echo)
        yield echo
        actors = Table("Actors (asyncio, uvloop: a task with a queue, no features)", ("send", "call", "spawn"))
        self._fill(actors, [one for one in contestants if not one.read_size], self._actors)
        yield actors

    def _fill(self, table: Table, contestants: list[Contestant], measure: Callable[[Contestant], Row]) -> None:
        for contestant in contestants:
            try:
                table.rows.append(measure(contestant))
            except _Failed as error:
                self.failures.append(f"{table.title}: {contestant.name} failed: {error}")

    def _under_load(
        self, contestant: Contestant, job: str, load: Callable[[tuple[str, int], float], Any]
    ) -> tuple[Any, int, float]:
        """Returns the result of `load`, the packets handled, and the CPU seconds."""
        with _Process(contestant, job, contestant.read_size, self._core) as process:
            facts = process.read()
            self.backend = facts.get("backend", self.backend)
            address = (bench_bare.HOST, facts["port"])
            load(address, _WARM_UP)
            packets, cpu_seconds = process.figures()
            made = load(address, self._seconds)
            packets_after, cpu_seconds_after = process.figures()
        return made, packets_after - packets, max(_LEAST, cpu_seconds_after - cpu_seconds)

    def _flood(self, contestant: Contestant) -> Row:
        _, packets, cpu_seconds = self._under_load(contestant, "flood", bench_load.flood)
        if not packets:
            raise _Failed("it has handled no packet")
        return Row(contestant.name, (packets / cpu_seconds,), self._busy(cpu_seconds))

    def _echo(self, contestant: Contestant) -> Row:
        answers, _, cpu_seconds = self._under_load(contestant, "echo", bench_load.echo)
        if answers.wrong or not answers.answered:
            raise _Failed(f"{answers.answered} answers were right, {answers.wrong} wrong")
        extras = tuple(f"{answers.percentile(share):,.0f}" for share in (0.50, 0.99))
        return Row(contestant.name, (answers.answered / cpu_seconds,), self._busy(cpu_seconds), extras)

    def _actors(self, contestant: Contestant) -> Row:
        with _Process(contestant, "actors", self._seconds * _ACTOR_SHARE, self._core) as process:
            facts = process.read()
        return Row(contestant.name, (facts["send"], facts["call"], facts["spawn"]))

    def _busy(self, cpu_seconds: float) -> float:
        return min(1.0, cpu_seconds / self._seconds)


def _text(table: Table) -> str:
    baseline = next((row.values for row in table.rows if row.name == _BASELINE.name), None)
    is_server = any(row.busy is not None for row in table.rows)
    heads = [""]
    for head in table.heads:
        heads += [head, f"x {_BASELINE.name}"]
    rows = [[*heads, *(["busy"] if is_server else []), *table.extra_heads]]
    for row in table.rows:
        cells = [row.name]
        for column, value in enumerate(row.values):
            cells += [f"{value:,.0f}", f"{value / baseline[column]:.1f}" if baseline else ""]
        if row.busy is not None:
            cells.append(f"{row.busy:.0%}{'*' if row.busy < _SATURATED else ' '}")
        rows.append([*cells, *row.extras])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [table.title]
    for cells in rows:
        numbers = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
        lines.append("  " + "  ".join([cells[0].ljust(widths[0]), *numbers]).rstrip())
    return "\n".join(lines)


@contextlib.contextmanager
def _pinned() -> Iterator[str]:
    """Pins this process to one core, and yields the number of the core for processes under test; "" if none."""
    cores = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
    if len(cores) < 2:
        yield ""
        return
    os.sched_setaffinity(0, {cores[1]})
    try:
        yield str(cores[0])
    finally:
        os.sched_setaffinity(0, cores)


def bench(seconds: float) -> bool:
    """Measures and prints. seconds: of load for each UDP server. Returns False if a contestant failed."""
    from .. import __version__

    python = f"{platform.python_implementation()} {platform.python_version()}"
    typer.echo(f"homing {__version__}, {python}, {platform.system()} {platform.release()}, {os.cpu_count()} cores")
    with _pinned() as core:
        pinning = f"under test on core {core}, the load on another" if core else "nothing is pinned to a core"
        typer.echo(f"Per CPU-second of the process under test; {pinning}. One round: under 20 % is no difference.")
        run = _Bench(seconds, core)
        unsaturated = False
        for table in run.tables():
            typer.echo(f"\n{_text(table)}")
            unsaturated |= any(row.busy is not None and row.busy < _SATURATED for row in table.rows)
    typer.echo(f"\nDatagram backend of Homing: {run.backend}.")
    typer.echo("asyncio allocates 256 KiB for each read by default; its second line shows smaller reads.")
    if unsaturated:
        typer.echo(
            "* Not measured well: the load was the limit, or another program used the core for part of the time."
        )
    if not importlib.util.find_spec("uvloop"):
        typer.echo("uvloop is not installed; pip install 'homing[fast]'")
    for failure in run.failures:
        typer.echo(failure, err=True)
    return not run.failures
