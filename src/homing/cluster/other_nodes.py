"""The other nodes, as this node's registry, calls and links ask for them: see `node.elsewhere`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..gen import (
    PID,
    Alias,
    ClusterName,
    MetaTerminated,
    NodeUnknown,
    ProcessID,
    ProcessState,
    ProcessTerminated,
    ProcessUnknown,
    Ref,
)
from .calling import respond
from .remote_target import RemoteTarget

if TYPE_CHECKING:
    from ..node.processes.process import Process
    from ..node.scheduling.activity import Activity
    from .cluster import Cluster
    from .link import Link

_MOST_TARGETS = 10_000
"""Addresses of a node that are kept at hand; then they are forgotten and found anew."""


class OtherNodes:
    """The implementation of `Elsewhere`."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._core = cluster.core
        self._links = cluster.links
        self._targets: dict[Any, RemoteTarget] = {}

    def find(self, to: object) -> Activity | None:
        """See `Elsewhere.find`."""
        if not isinstance(to, (PID, Alias, ProcessID)):
            return self._find_name(to.name) if isinstance(to, ClusterName) else None
        found = self._targets.get(to)
        if found is not None:
            return found
        if to.node == self._core.name:
            return None
        link = self._links.get(to.node)
        if link is None:
            raise NodeUnknown(to, to.node)
        if not isinstance(to, ProcessID) and to.creation != link.peer.creation:
            if to.creation > link.peer.creation:
                raise ProcessUnknown(to)
            raise ProcessTerminated(to) if isinstance(to, PID) else MetaTerminated(to)
        fresh = RemoteTarget(self._core, link, to)
        if len(link.targets) >= _MOST_TARGETS:
            self.forget(link)
        link.targets.append(fresh)
        self._targets[to] = fresh
        return fresh

    def _find_name(self, name: str) -> Activity | None:
        """Returns the process that a name of the whole cluster stands for now; None: nobody has it."""
        pid = self.cluster.membership.resolve(name)
        return None if pid is None else self._core.registry.find(pid)

    @property
    def udp(self) -> Any:
        """See `Elsewhere.udp`."""
        return self.cluster.udp

    def forget(self, link: Link) -> None:
        """Forgets the addresses behind a link: senders that have one at hand look it up again."""
        for target in link.targets:
            target.state = ProcessState.TERMINATED
            self._targets.pop(target.id, None)
        link.targets.clear()

    def known(self, to: object) -> Activity | None:
        """See `Elsewhere.known`."""
        return self._targets.get(to)

    def answer(self, ref: Ref, answer: Any) -> bool:
        """See `Elsewhere.answer`."""
        link = self._links.get(ref.node)
        if link is None or link.peer.creation != ref.creation:
            return False
        respond(self._core, link, ref, answer, None)
        return True

    def fail(self, ref: Ref, error: Exception) -> bool:
        """See `Elsewhere.fail`."""
        link = self._links.get(ref.node)
        if link is None or link.peer.creation != ref.creation:
            return False
        respond(self._core, link, ref, None, error)
        return True

    async def send_important(self, sender: PID, to: Any, message: Any, timeout: float) -> None:
        """See `Elsewhere.send_important`."""
        await self.cluster.important.send(sender, to, message, timeout)

    def monitor_node(self, process: Process, name: str) -> bool:
        """See `Elsewhere.monitor_node`."""
        return self.cluster.watchers.add(process, name)

    def demonitor_node(self, process: Process, name: str) -> bool:
        """See `Elsewhere.demonitor_node`."""
        return self.cluster.watchers.remove(process, name)

    async def leave(self) -> None:
        """See `Elsewhere.leave`."""
        await self.cluster.leave()
