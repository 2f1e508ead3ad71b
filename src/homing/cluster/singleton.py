"""Singletons: a process that runs once in the cluster, on the node that owns its name."""

from __future__ import annotations

import asyncio
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from ..gen import PID, BadOption, NotAllowed, ProcessBehavior, ProcessOptions, SingletonInfo
from ..gen.cluster import check_strings
from ..gen.options import check_integer, check_name, check_type
from ..node.mailbox.envelope import exit_signal
from ..node.processes.spawning import spawn
from .placement import Placement, Runner, placement_of

if TYPE_CHECKING:
    from ..node.core import Core
    from .cluster import Cluster

STOP_TIMEOUT = 10.0
"""Seconds for a singleton to end by its exit signal, with the message in hand and its `terminate`; then it is killed.
Others wait for it: a stuck one must not keep its successor away for good."""

CLOSE_TIMEOUT = 3.0
"""Seconds for all of them to end before the node leaves the cluster: the rest of its time to stop is for its processes.
"""

MOST_NODES = 1024


class ProcessRunner:
    """Runs one process, a child of the node."""

    def __init__(
        self, core: Core, name: str, behavior: type[ProcessBehavior], args: tuple[Any, ...], options: Any
    ) -> None:
        self._core = core
        self._name = name
        self._behavior = behavior
        self._args = args
        self._options = options
        self._pid: PID | None = None
        self._gone = asyncio.Event()

    async def start(self) -> PID:
        """Starts the process, registered under its name on this node."""
        core = self._core
        pid = self._pid = await spawn(core, None, self._behavior, self._args, self._name, self._options)
        self._gone = asyncio.Event()
        process = core.processes.get(pid)
        if process is None:
            self._gone.set()
        else:
            process.when_ended(self._gone.set)
        return pid

    async def stop(self, reason: Exception) -> None:
        """Ends the process; kills it if it takes longer than `STOP_TIMEOUT`."""
        process = None if self._pid is None else self._core.processes.get(self._pid)
        if process is None:
            return
        process.put_exit(exit_signal(self._core.pid, reason))
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await self._gone.wait()
        except TimeoutError:
            self._core.log.warning("%s did not end in time and is killed", process)
            process.kill()
            await self._gone.wait()

    async def ended(self) -> None:
        """Returns when the process has ended."""
        await self._gone.wait()


class Placements:
    """The singletons and placements that this node has declared, by name."""

    def __init__(self, cluster: Cluster, core: Core) -> None:
        self._cluster = cluster
        self._core = core
        self._by_name: dict[str, Placement] = {}
        self._closed = False
        self._draining = False
        cluster.membership.on_view = self.view_changed
        cluster.membership.on_hidden = self._hidden_changed

    def declare(
        self, name: str, runner: Runner, *, copies: int, quorum: int, tag: str | None, nodes: tuple[str, ...]
    ) -> Placement:
        """Begins a placement on this node."""
        core, options = self._core, self._cluster.options
        core.require_running()
        if self._closed:
            raise NotAllowed("this node leaves its cluster")
        if name in self._by_name:
            raise NotAllowed(f"{name!r} is declared on this node already; withdraw it first")
        eligible = (tag is None or tag in options.tags) and any(fnmatchcase(core.name, one) for one in nodes)
        placement = Placement(
            core, self._cluster.membership, name, runner, copies=copies, quorum=quorum, eligible=eligible
        )
        self._by_name[name] = placement
        placement.declare(draining=self._draining)
        return placement

    async def withdraw(self, name: str) -> None:
        """Ends a placement on this node. Raises `NotAllowed` if there is none."""
        placement = self._by_name.get(name)
        if placement is None:
            raise NotAllowed(f"{name!r} is not declared on this node")
        await placement.close()
        self._by_name.pop(name, None)

    def _hidden_changed(self, group: str) -> None:
        placement = self._by_name.get(placement_of(group))
        if placement is not None:
            placement.changed()

    def view_changed(self) -> None:
        """Called when a node is up or down, or has told of its groups for the first time."""
        for placement in self._by_name.values():
            placement.changed()

    def drain(self) -> None:
        """Leaves all to other nodes."""
        self._draining = True
        for placement in self._by_name.values():
            placement.drain()

    async def drained(self) -> None:
        """Returns when nothing placed runs here any more."""
        for placement in tuple(self._by_name.values()):
            await placement.stopped()

    async def close(self) -> None:
        """Ends all, side by side, before the node leaves the cluster. Those that take longer than `CLOSE_TIMEOUT` end
        with the node."""
        self._closed = True
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await asyncio.gather(*(placement.close() for placement in self._by_name.values()))
        except TimeoutError:
            slow = ", ".join(name for name, placement in self._by_name.items() if placement.runs)
            self._core.log.warning("the node leaves its cluster although these have not ended: %s", slow)
        self._by_name.clear()

    def infos(self) -> list[SingletonInfo]:
        """Returns a snapshot of each."""
        return [placement.info() for placement in self._by_name.values()]


def singleton(
    self: Cluster,
    name: str,
    behavior: type[ProcessBehavior],
    *args: Any,
    nodes: tuple[str, ...] = ("*",),
    tag: str | None = None,
    quorum: int = 1,
    options: ProcessOptions | None = None,
) -> None:
    """Declares a process that is to run once in the cluster. Each node on which it may run declares it, with the same
    `name` and `quorum`; one of those in view runs it: the owner by rendezvous hash of the name. When the owner leaves,
    drains, dies or a better one joins, it is stopped there, if there is anything to stop, and started at the new owner.
    Its state does not move with it. If it ends by itself, its owner starts it again, after 0.1 s, later up to 5 s.

    It is a child of the node, registered under `name` there. From anywhere: `send(gen.ClusterName(name), message)`.

    It is not consensus: nodes that do not see each other cannot agree. With `quorum` larger than half of the nodes
    that declare it, it runs in one part of a divided network at most, except for the seconds (`node_timeout`) until a
    node notices that it is cut off. With a smaller one it may run in each part. When these meet again, the one that is
    not the owner's ends with `gen.NameConflict`, whose `other` is the process that stays: its `terminate` may send its
    state there.

    behavior, args, options: as for `node.spawn`.
    nodes: patterns (fnmatch) of names of nodes that may run it. tag: only nodes with this tag may. On any other node
        the declaration has no effect, so that all can run the same program.
    quorum: it is stopped (`gen.NoQuorum`) on a node that sees fewer nodes that have declared it, itself included.
    Raises `NotAllowed` if it is declared on this node already, `BadOption`.
    """
    check_name("name", name)
    if not (isinstance(behavior, type) and issubclass(behavior, ProcessBehavior)):
        raise BadOption("behavior", behavior, "give a class derived from act.Actor (its arguments follow)")
    check_strings("nodes", nodes)
    check_type("tag", tag, (str, type(None)), "a tag or None")
    check_type("options", options, (ProcessOptions, type(None)), "gen.ProcessOptions or None")
    quorum = check_integer("quorum", quorum, 1, MOST_NODES)
    runner = ProcessRunner(self.core, name, behavior, args, options)
    self.placements.declare(name, runner, copies=1, quorum=quorum, tag=tag, nodes=nodes)


async def withdraw(self: Cluster, name: str) -> None:
    """Takes back `singleton` or `place` on this node. Returns when it has ended here. Raises `NotAllowed` if it is not
    declared on this node."""
    await self.placements.withdraw(name)


def singletons(self: Cluster) -> list[SingletonInfo]:
    """Returns a snapshot of each singleton and placement declared on this node."""
    return self.placements.infos()


def whereis(self: Cluster, name: str) -> PID | None:
    """Returns the process that `gen.ClusterName(name)` stands for now, as this node sees it; None if there is none.

    It may have ended, or moved, when a message arrives there: monitor it, or ask again.
    """
    return self.membership.resolve(name)
