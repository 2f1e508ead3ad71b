"""Placement: keeps one thing, a process or an application, running on as many nodes of the cluster as it should.

Each node that has declared it says so to all others by groups that users do not see: declared, candidate (not
draining), vote, running. From these each node decides by itself (`deciding`), and one task a placement does what
follows, one step at a time: start, stop, wait for a change.

A node that starts or stops one announces that it runs from before its `init` until after its `terminate`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from ..gen import PID, NameConflict, NoQuorum, SingletonInfo, TerminateShutdown
from ..gen.foreign import forget_frames, safe_repr
from .deciding import Verdict, View, decide
from .groups import HIDDEN
from .rendezvous import Candidate

if TYPE_CHECKING:
    from ..node.core import Core
    from .groups import ClusterGroups

SETTLE = 0.5
"""Seconds for which a node must have been an owner before it starts one. Nodes that join, or lose each other, do that
one after another within milliseconds; each start in between would be a process too many. Not measured."""

RETRY_FIRST, RETRY_MOST = 0.1, 5.0
"""Seconds until the next start after one that failed or has ended: doubled each time, as for workers of a pool. After
it has run for `RETRY_MOST`, the first applies again."""

_STOPS = (Verdict.STOP, Verdict.CONFLICT, Verdict.NO_QUORUM)


class Runner(Protocol):
    """The thing that a placement starts and stops."""

    async def start(self) -> PID | None:
        """Starts it. Returns the process that has the cluster-wide name; None if it has none."""

    async def stop(self, reason: Exception) -> None:
        """Ends it for `reason`. Returns when it has ended."""

    async def ended(self) -> None:
        """Returns when it has ended, for whatever reason."""


class Placement:
    """One placement on this node.

    name: in the whole cluster. copies: number of nodes that are to run it. quorum: see `deciding`.
    eligible: True if this node may own it.
    pid: the process that runs here.
    """

    def __init__(
        self, core: Core, groups: ClusterGroups, name: str, runner: Runner, *, copies: int, quorum: int, eligible: bool
    ) -> None:
        self._core = core
        self._groups = groups
        self._runner = runner
        self.name = name
        self.copies = copies
        self.quorum = quorum
        self.eligible = eligible
        self.pid: PID | None = None
        self.runs = False
        self._closing = False
        self._draining = False
        self._chosen: set[str] = set()
        self._changed = asyncio.Event()
        self._retry = RETRY_FIRST
        self._began = 0.0
        self._idle = asyncio.Event()
        self._idle.set()
        self._ended: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None

    # --- its life ---------------------------------------------------------------------------------------------

    def declare(self, *, draining: bool) -> None:
        """Announces this node, and begins to watch."""
        self._draining = draining
        if self.eligible:
            self._groups.announce(self._group("declared"), self._core.pid)
            if not draining:
                self._groups.announce(self._group("candidate"), self._core.pid)
        self._task = self._core.loop.create_task(self._watch(), name=f"placement {self.name}")

    def changed(self) -> None:
        """Decides again, as what this node sees has changed."""
        self._changed.set()

    def drain(self) -> None:
        """Leaves it to the other nodes."""
        self._draining = True
        self._groups.withdraw(self._group("candidate"), self._core.pid)
        self.changed()

    async def close(self) -> None:
        """Ends it here, and takes back what was announced. Returns when it has ended."""
        self._closing = True
        self.changed()
        if self._task is not None:
            await asyncio.shield(self._task)
            self._task = None
        for group in (self._group("candidate"), self._group("declared"), *map(self._votes_for, self._chosen)):
            self._groups.withdraw(group, self._core.pid)
        self._chosen = set()

    async def stopped(self) -> None:
        """Returns when it does not run here."""
        await self._idle.wait()

    # --- what it sees -----------------------------------------------------------------------------------------

    def _group(self, kind: str) -> str:
        return f"{HIDDEN}{kind}:{self.name}"

    def view(self) -> View:
        """Returns what this node sees of it now."""
        groups = self._groups
        candidates = [
            Candidate(pid.node, groups.weight_of(pid.node), pid.creation)
            for pid in groups.table.members(self._group("candidate"))
        ]
        running: dict[str, PID] = {}
        for pid in groups.table.members(self._group("running")):
            running[pid.node] = pid  # a process is announced after the node's own PID, which says that it starts
        voters = frozenset(groups.table.nodes(self._group("declared")))
        votes = frozenset(groups.table.nodes(self._votes_for(self._core.name)))
        return View(self._core.name, voters, tuple(candidates), running, votes)

    def _votes_for(self, node: str) -> str:
        """Returns the group of the nodes that vote for `node`, whose name has no space in it."""
        return f"{HIDDEN}vote:{node} {self.name}"

    def _vote(self) -> None:
        """Votes for the owners that this node sees, and for no other."""
        if not self.eligible or not self._groups.complete:
            return
        chosen = set() if self._closing else set(self.view().owners(self.name, self.copies, 0))
        for node in self._chosen - chosen:
            self._groups.withdraw(self._votes_for(node), self._core.pid)
        for node in chosen - self._chosen:
            self._groups.announce(self._votes_for(node), self._core.pid)
        self._chosen = chosen

    def info(self) -> SingletonInfo:
        """Returns a snapshot."""
        view = self.view()
        owning = tuple(view.owners(self.name, self.copies, self.quorum))
        pid = self._groups.running_one(self.name)
        return SingletonInfo(self.name, owning, tuple(view.running), pid, len(view.voters), self.quorum)

    # --- what it does -----------------------------------------------------------------------------------------

    def _verdict(self) -> tuple[Verdict, PID | None]:
        if self._closing or self._core.stopping:
            return Verdict.STOP, None
        if not self.eligible:
            return Verdict.STOP, None
        if not self._groups.complete:
            return Verdict.WAIT, None  # a node is up that has not said yet what it runs
        return decide(self.name, self.view(), self.copies, self.quorum)

    async def _watch(self) -> None:
        while True:
            self._changed.clear()
            self._vote()
            verdict, other = self._verdict()
            if self._ended is not None and self._ended.done():
                await self._restart_later()
            elif verdict in _STOPS and self.runs:
                await self._stop(_reason(verdict, other))
            elif self._closing:
                return
            elif verdict is Verdict.RUN and not self.runs:
                if await self._still_owner():
                    await self._start()
            else:
                await self._changed.wait()

    async def _still_owner(self) -> bool:
        """Returns True if this node is an owner for as long as `SETTLE`."""
        return await self._while_owner(SETTLE)

    async def _while_owner(self, seconds: float) -> bool:
        """Waits as long as this node is an owner that does not run it. Returns True if the time is up."""
        deadline = self._core.loop.time() + seconds
        while self._verdict()[0] is Verdict.RUN:
            self._changed.clear()
            self._vote()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError:
                return self._verdict()[0] is Verdict.RUN
        return False

    async def _start(self) -> None:
        """Starts it; after a failure waits before the next try."""
        core, running = self._core, self._group("running")
        self.runs = True
        self._idle.clear()
        self._groups.announce(running, core.pid)
        try:
            self.pid = await self._runner.start()
        except Exception as error:
            text = "%s could not be started on node %s, trying again: %s"
            core.log_failure(core.log, text, self.name, core.name, safe_repr(error), fault=error)
            forget_frames(error)
            await self._restart_later()
            return
        if self.pid is not None:
            self._groups.announce(running, self.pid)
        core.log.info("%s runs on node %s", self.name, core.name)
        self._began = core.loop.time()
        self._ended = core.loop.create_task(self._runner.ended(), name=f"end of {self.name}")
        self._ended.add_done_callback(lambda task: self.changed())

    async def _restart_later(self) -> None:
        """Waits before the next start of what has ended by itself, or could not be started."""
        if self._ended is not None and self._core.loop.time() - self._began >= RETRY_MOST:
            self._retry = RETRY_FIRST
        self._over()
        seconds, self._retry = self._retry, min(self._retry * 2, RETRY_MOST)
        await self._while_owner(seconds)

    async def _stop(self, reason: Exception) -> None:
        core = self._core
        core.log.info("%s ends on node %s: %s", self.name, core.name, safe_repr(reason))
        await self._runner.stop(reason)
        self._over()

    def _over(self) -> None:
        """Announces that it does not run here any more."""
        if self._ended is not None:
            self._ended.cancel()
            self._ended = None
        self.runs = False
        self._idle.set()
        running, pid, self.pid = self._group("running"), self.pid, None
        for each in (pid, self._core.pid):
            if each is not None:
                self._groups.withdraw(running, each)


def placement_of(group: str) -> str:
    """Returns the name of the placement that a hidden group belongs to."""
    kind, _, name = group.removeprefix(HIDDEN).partition(":")
    return name.partition(" ")[2] if kind == "vote" else name


def _reason(verdict: Verdict, other: PID | None) -> Exception:
    if verdict is Verdict.NO_QUORUM:
        return NoQuorum("fewer nodes are in view than its quorum")
    return NameConflict(other) if verdict is Verdict.CONFLICT else TerminateShutdown()
