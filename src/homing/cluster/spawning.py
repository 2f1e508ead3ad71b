"""Starting processes on other nodes: both ends.

    asker                                       offering node
    Spawn(number, name, args, left) ----------> looks the name up in `ClusterOptions.spawnable`, starts it
            <---------------------------------- Spawned(number, id or error)
    SpawnOver(number, keep) ------------------> forgets the start, or ends what it has started

A process that was started is ended again unless its asker says that it knows of it: so none is left behind if the
asker has waited long enough, was killed, or the connection ends in between. No code travels.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from ..gen import (
    PID,
    BadOption,
    CallTimeout,
    NodeBusy,
    NodeDown,
    NodeUnknown,
    NotAllowed,
    Spawnable,
    SpawnDenied,
    TerminateShutdown,
    as_reason,
)
from ..gen.foreign import forget_frames, is_instance
from ..gen.options import check_name, check_seconds
from ..node.mailbox.envelope import exit_signal
from ..node.processes.spawning import spawn
from .built_frames import Spawn, Spawned, SpawnOver
from .engine import MAIN, SIGNALS
from .inbound import NOTHING

if TYPE_CHECKING:
    from ..node.core import Core
    from ..node.processes.process import Process
    from .cluster import Cluster
    from .link import Link

MOST_STARTS = 1000
"""Starts for one peer that may be going on at the same time, beside `Spawnable.most`: a faulty peer must not use up the
memory of this node by starts that wait in their `init`."""


class Asked:
    """A start that this node has asked for."""

    __slots__ = ("future", "link", "number")

    def __init__(self, link: Link, number: int, future: asyncio.Future[PID]) -> None:
        self.link = link
        self.number = number
        self.future = future


class Begun:
    """A start that another node has asked for. pid: once it has started; kept: the asker knows of it."""

    __slots__ = ("bound", "cancelled", "link", "number", "pid", "task")

    def __init__(self, link: Link, number: int, *, bound: bool) -> None:
        self.link = link
        self.number = number
        self.bound = bound
        self.pid: PID | None = None
        self.task: asyncio.Task[None] | None = None
        self.cancelled = False


class Spawning:
    """The starts of one node, those that it asks for, and those that it is asked for.

    on_started: called with the link and the process when one has started that is bound to its asker, see `ask`.
    """

    def __init__(self, cluster: Cluster, core: Core) -> None:
        self._cluster = cluster
        self._core = core
        self._last = 0
        self._asked: dict[int, Asked] = {}
        self._begun: dict[tuple[str, int], Begun] = {}
        self._bound: dict[PID, Begun] = {}
        self._running: Counter[str] = Counter()
        self.on_started: Callable[[Link, Process], None] = lambda link, process: None
        cluster.on_frame(Spawn, self._spawn)
        cluster.on_frame(Spawned, self._spawned)
        cluster.on_frame(SpawnOver, self._over)
        cluster.on_down(self._down)

    # --- the asker's end ------------------------------------------------------------------------------------------

    async def ask(self, node: str, name: str, args: Iterable[Any], timeout: float, *, bound: bool = False) -> PID:
        """Starts `name` on `node` and returns its PID once its `init` has finished.

        bound: it ends when this node says so by `release`, or is down.
        Raises as `Actor.spawn_remote` does.
        """
        check_name("name", name)
        timeout = check_seconds("timeout", timeout)
        if node == self._core.name:
            return await self._spawn_here(name, tuple(args), timeout)
        link = self._link(node)
        encoded = [(kind, Raw(body)) for kind, body in map(link.outbox.encode, args)]
        self._last += 1
        asked = Asked(link, self._last, self._core.loop.create_future())
        if not link.post(Spawn(asked.number, name, encoded, max(1, int(timeout * 1000)), bound), MAIN):
            raise NodeBusy(node, node, link.outbox.limit)  # dropped by `ClusterOptions.overflow`
        self._asked[asked.number] = asked
        keep = False
        try:
            async with asyncio.timeout(timeout) as limit:
                pid = await asked.future
            keep = True
            return pid
        except TimeoutError:
            if limit.expired():
                raise CallTimeout(f"{name!r} on node {node}", timeout) from None
            raise
        finally:
            del self._asked[asked.number]
            if link.up:
                link.post(SpawnOver(asked.number, keep), SIGNALS)

    def release(self, pid: PID) -> None:
        """Ends a process that was started as `bound`, after the messages that wait there."""
        link = self._cluster.links.get(pid.node)
        if link is not None and link.peer.creation == pid.creation:
            link.outbox.post(SpawnOver(-pid.id, False), MAIN, must=True)  # or it would be left behind

    def _link(self, node: str) -> Link:
        if not is_instance(node, str):
            raise BadOption("node", node, "give the name of a node")
        link = self._cluster.links.get(node)
        if link is None:
            raise NodeUnknown(node, node)
        return link

    async def _spawn_here(self, name: str, args: tuple[Any, ...], timeout: float) -> PID:
        offer = self._offered(name, self._core.name)
        async with asyncio.timeout(timeout) as limit:
            try:
                return await self._start(name, offer, args)
            except asyncio.CancelledError:
                if limit.expired():
                    raise CallTimeout(f"{name!r} on node {self._core.name}", timeout) from None
                raise

    def _spawned(self, link: Link, frame: Spawned) -> None:
        asked = self._asked.get(frame.number)
        if asked is None or asked.link is not link or asked.future.done():
            return
        if frame.error is None:
            asked.future.set_result(PID(link.peer.name, frame.id, link.peer.creation))
        else:
            asked.future.set_exception(link.types.error_in(frame.error))

    # --- the offering node's end ------------------------------------------------------------------------------------

    def _offered(self, name: str, asker: str) -> Spawnable:
        """Returns what is offered by that name to `asker`. Raises `SpawnDenied`."""
        here, offer = self._core.name, self._cluster.options.spawnable.get(name)
        if offer is None:
            raise SpawnDenied(f"node {here} offers no {name!r}: see ClusterOptions.spawnable")
        if not any(fnmatchcase(asker, pattern) for pattern in offer.nodes):
            raise SpawnDenied(f"node {here} offers {name!r} to other nodes than {asker}: see Spawnable.nodes")
        if self._running[name] >= offer.most:
            raise SpawnDenied(f"{offer.most} of {name!r} run on node {here}, as many as it allows: see Spawnable.most")
        return offer

    async def _start(self, name: str, offer: Spawnable, args: tuple[Any, ...]) -> PID:
        """Starts a process, and counts it until it has ended."""
        core = self._core
        self._running[name] += 1
        try:
            pid = await spawn(core, None, offer.behavior, args, None, offer.options)
        except BaseException:
            self._less(name)
            raise
        process = core.processes.get(pid)
        if process is None:
            self._less(name)
        else:
            process.when_ended(lambda: self._less(name))
        return pid

    def _less(self, name: str) -> None:
        self._running[name] -= 1
        if not self._running[name]:
            del self._running[name]

    def _spawn(self, link: Link, frame: Spawn) -> None:
        try:
            offer = self._offered(frame.name, link.peer.name)
            if sum(begun.link is link for begun in self._begun.values()) >= MOST_STARTS:
                raise SpawnDenied(f"{MOST_STARTS} starts of node {link.peer.name} are going on")
            args = tuple(link.inbound.read(kind, body) for kind, body in frame.args)
            if any(value is NOTHING for value in args):
                raise NotAllowed(f"node {self._core.name} cannot read the arguments of {frame.name!r}: see its types")
        except NotAllowed as error:
            link.post(Spawned(frame.number, 0, link.types.error_out(error)), SIGNALS)
            return
        begun = Begun(link, frame.number, bound=frame.bound)
        self._begun[link.peer.name, frame.number] = begun
        begun.task = self._core.loop.create_task(
            self._run(begun, frame.name, offer, args, frame.left / 1000), name="start for another node"
        )

    async def _run(self, begun: Begun, name: str, offer: Spawnable, args: tuple[Any, ...], seconds: float) -> None:
        link, error, key = begun.link, None, (begun.link.peer.name, begun.number)
        try:
            async with asyncio.timeout(seconds):
                begun.pid = await self._start(name, offer, args)
        except asyncio.CancelledError:
            self._begun.pop(key, None)
            raise
        except Exception as failure:
            error = as_reason(failure)
            forget_frames(failure)
        begun.task = None
        if error is not None:
            self._begun.pop(key, None)
            if link.up:
                link.post(Spawned(begun.number, 0, link.types.error_out(error)), SIGNALS)
            return
        pid = begun.pid
        if pid is None or begun.cancelled or not link.up:
            self._begun.pop(key, None)
            self._end(pid)
            return
        process = self._core.processes.get(pid)
        if begun.bound and process is not None:
            self._bound[pid] = begun
            process.when_ended(partial(self._forget_bound, pid))
            self.on_started(link, process)
        link.post(Spawned(begun.number, pid.id, None), SIGNALS)

    def _forget_bound(self, pid: PID) -> None:
        self._bound.pop(pid, None)

    def _over(self, link: Link, frame: SpawnOver) -> None:
        if frame.number < 0:
            pid = PID(self._core.name, -frame.number, self._core.pid.creation)
            begun = self._bound.get(pid)
            if begun is not None and begun.link is link:
                self._end(pid, behind=True)
            return
        begun = self._begun.get((link.peer.name, frame.number))
        if begun is None:
            return
        if begun.task is not None:
            begun.cancelled = True
            begun.task.cancel()
        if begun.pid is not None:
            del self._begun[link.peer.name, frame.number]
            if not frame.keep:
                self._end(begun.pid)

    def _end(self, pid: PID | None, *, behind: bool = False) -> None:
        """Ends a process, at once or behind the messages that wait there."""
        process = None if pid is None else self._core.processes.get(pid)
        if process is not None:
            signal = exit_signal(self._core.pid, TerminateShutdown())
            if behind:
                process.put_runtime(signal, 0)
            else:
                process.put_exit(signal)

    def _down(self, link: Link, reason: Exception) -> None:
        for asked in tuple(self._asked.values()):
            if asked.link is link and not asked.future.done():
                asked.future.set_exception(NodeDown(link.peer.name, link.peer.name, str(reason)))
        for key, begun in tuple(self._begun.items()):
            if begun.link is link:
                begun.cancelled = True
                if begun.task is not None:
                    begun.task.cancel()
                self._begun.pop(key, None)
                self._end(begun.pid)
        for pid, begun in tuple(self._bound.items()):
            if begun.link is link:
                self._end(pid, behind=True)
