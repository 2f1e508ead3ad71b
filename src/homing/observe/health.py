"""Whether a node is healthy, by the three questions of Kubernetes' probes.

live      loop          the event loop turns. The loop cannot judge that itself: the HTTP server does, from outside
ready     started       as for startup
          node          the node runs: it does not stop, and does not drain
          application   every loaded application that has been started still runs
          sockets       every socket of a UDP server is open, and has an owner
          cluster       it has reached another node of its cluster, if it was given addresses to join; ready without
                        one after 10 s, as the first node of a cluster finds no other. Only in a cluster
          kernel_drops  the kernel does not drop more datagrams per second than allowed, over some ten seconds
          ...           what the program reports with `health`
startup   started       the program has called `node.ready()`, which `homing run` does; no application is starting

A socket is missed when the process that owned it has crashed, or was restarted, until one is open at the same address
again. A socket that its owner has closed, or whose port the system chose, is not.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from ..datagram import format_address
from ..gen import Alias, ApplicationState, is_succeeded
from ..node import Node
from ..node.node import internals
from ..node.processes.meta_process import MetaRunner
from ..node.processes.process import Process
from .cluster_requests import Joining
from .per_node import PerNode
from .records import CheckRecord, HealthRecord, ProbeRecord

if TYPE_CHECKING:
    from .observer import Observer

DROP_RATE = 100.0
"""Datagrams per second that the kernel may drop, unless the program says otherwise: a burst now and then."""

DROP_SECONDS = 10.0
"""Seconds over which the rate of drops is measured, or the time between two questions, if that is longer."""

SHORTEST = 1.0
"""Fewest seconds between two measurements: a rate over less would be of single bursts."""

PORTION = 32
"""Sockets that are looked at before the loop polls."""

MOST_NAMED = 5
"""Most sockets that a reason names."""


async def health(observer: Observer, query: dict[str, Any]) -> HealthRecord:
    """Returns whether the node is live, ready and started, with all checks and reasons."""
    return await judges.of(observer.node).judge(observer.draining)


class Judge:
    """Judges the health of one node.

    kernel_drop_rate: datagrams per second that the kernel may drop. None: drops do not matter.
    wait_ready: startup waits for `node.ready()`.
    """

    def __init__(self, node: Node) -> None:
        self.kernel_drop_rate: float | None = DROP_RATE
        self.wait_ready = False
        self._node = node
        self._core = internals(node).core
        self._started = False
        self._seen: dict[Alias, tuple[str, MetaRunner, Process]] = {}
        self._missed: dict[str, str] = {}
        self._drops: deque[tuple[float, int]] = deque()
        self._counted: dict[Alias, int] = {}
        self._dropped = 0
        self._ran: set[str] = set()
        self._joining = Joining(node)
        self._lock = asyncio.Lock()

    async def judge(self, draining: bool) -> HealthRecord:
        """Answers all three questions. draining: the node was asked to drain."""
        async with self._lock:  # of two looks at once, the earlier could end last
            lingering = await self._look_at_sockets()
            self._measure()
        started = _check("started", self._startup_reason())
        ready = [
            started,
            self._node_check(draining),
            self._application_check(),
            _check("sockets", self._sockets_reason(lingering)),
            _check("kernel_drops", self._drops_reason()),
            *self._cluster_checks(),
            *self._own_checks(),
        ]
        return {
            "node": self._core.name,
            "live": _probe([_check("loop", "")]),
            "ready": _probe(ready),
            "startup": _probe([started]),
        }

    # --- node and applications ----------------------------------------------------------------------------

    def _node_check(self, draining: bool) -> CheckRecord:
        state = internals(self._node).stopping.state
        return _check("node", f"it is {state}" if state != "running" else "it drains" if draining else "")

    def _application_check(self) -> CheckRecord:
        ended = []
        for application in self._core.applications:
            state, name = application.info().state, application.spec.name
            if state in (ApplicationState.RUNNING, ApplicationState.STARTING):
                self._ran.add(name)
            elif name in self._ran:
                ended.append(f"{name} is {'stopping' if state is ApplicationState.STOPPING else 'not running'}")
        return _check("application", "; ".join(ended[:MOST_NAMED]))

    def _startup_reason(self) -> str:
        if self._started:
            return ""
        starting = [
            application.spec.name
            for application in self._core.applications
            if application.info().state is ApplicationState.STARTING
        ]
        if starting:
            return f"{', '.join(starting[:MOST_NAMED])} is starting"
        if self.wait_ready and not internals(self._node).service.ready:
            return "the program has not called node.ready() yet"
        self._started = True
        return ""

    # --- sockets ------------------------------------------------------------------------------------------

    async def _look_at_sockets(self) -> list[str]:
        """Notes which sockets are open, and their drops. Returns those that wait for a new owner."""
        lingering, now_open = [], {}
        counted: dict[Alias, int] = {}
        for number, meta in enumerate(tuple(self._core.metas.values())):
            if number % PORTION == PORTION - 1:
                await asyncio.sleep(0)
            statistics = meta.hooks.counters if meta.alive else None
            if statistics is None:
                continue
            counted[meta.id] = statistics.kernel_drops or 0
            address = meta.hooks.socket_address
            if address is None:
                continue  # a client's
            now_open[meta.id] = (format_address(address), meta, meta.owner)
            if meta.lingering:
                lingering.append(format_address(address))
        for alias, count in counted.items():
            self._dropped += max(0, count - self._counted.get(alias, 0 if self._drops else count))
        self._counted = counted
        self._note_missed(now_open)
        return lingering

    def _note_missed(self, now_open: dict[Alias, tuple[str, MetaRunner, Process]]) -> None:
        for alias, (address, meta, owner) in self._seen.items():
            if alias in now_open or _system_chose(meta) or owner.reason is None:
                continue
            if is_succeeded(owner.reason):
                self._missed[address] = f"{address} is closed since {owner.id} has ended"
        for address, _, _ in now_open.values():
            self._missed.pop(address, None)
        self._seen = now_open

    def _sockets_reason(self, lingering: list[str]) -> str:
        missed = list(self._missed.values()) + [f"{address} waits for a new owner" for address in lingering]
        more = f" and {len(missed) - MOST_NAMED} more" if len(missed) > MOST_NAMED else ""
        return "; ".join(missed[:MOST_NAMED]) + more

    # --- drops --------------------------------------------------------------------------------------------

    def _measure(self) -> None:
        now = self._core.loop.time()
        if self._drops and now - self._drops[-1][0] < SHORTEST:
            return
        self._drops.append((now, self._dropped))
        while len(self._drops) > 2 and now - self._drops[1][0] >= DROP_SECONDS:
            self._drops.popleft()

    def _drops_reason(self) -> str:
        (then, before), (now, after) = self._drops[0], self._drops[-1]
        if self.kernel_drop_rate is None or now <= then:
            return ""
        rate = (after - before) / (now - then)
        if rate <= self.kernel_drop_rate:
            return ""
        over = f"in the last {now - then:.0f} s, more than {self.kernel_drop_rate:g}"
        return f"the kernel dropped {rate:.0f} datagrams per second {over}"

    def _cluster_checks(self) -> list[CheckRecord]:
        reason = self._joining.reason()
        return [] if reason is None else [_check("cluster", reason)]

    # --- the program's own --------------------------------------------------------------------------------

    def _own_checks(self) -> list[CheckRecord]:
        return [
            {"name": check.name, "ok": check.ok, "reason": check.reason, "owner": str(check.owner)}
            for check in self._core.health.checks()
        ]


judges = PerNode(Judge)
"""The judge of each node: rates need the counters of the question before, also another caller's."""


def _system_chose(meta: MetaRunner) -> bool:
    """True if the port was chosen by the system: the successor's socket has another address."""
    options = meta.hooks.options
    return getattr(options, "port", None) == 0 and getattr(options, "path", None) is None


def _check(name: str, reason: str) -> CheckRecord:
    return {"name": name, "ok": not reason, "reason": reason, "owner": None}


def _probe(checks: list[CheckRecord]) -> ProbeRecord:
    return {"ok": all(check["ok"] for check in checks), "checks": checks}
