"""Groups of processes over the whole cluster, as OTP's `pg`: each node announces its own members to all others.

A node that comes up gets all memberships, then each change of them, and a nodedown ends those of that node. All of it
is on the lane of signals, in order, so nothing is lost as long as the link is up. Nodes may see a change at different
times, and in no order with messages of the members.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..gen import PID, BadOption, MessageGroupJoined, MessageGroupLeft
from ..gen.foreign import is_instance
from ..gen.options import check_name
from .built_frames import Groups
from .engine import SIGNALS
from .membership import MOST_MEMBERSHIPS, Membership
from .rendezvous import Candidate, owner

if TYPE_CHECKING:
    from ..node.core import Core
    from ..node.processes.process import Process
    from .cluster import Cluster
    from .link import Link

HIDDEN = "homing:"
"""How the names of groups begin that the cluster keeps for itself."""

RUNNING = HIDDEN + "running:"
"""The groups of processes that run as singletons; a node's own PID stands for one that starts."""

_CHANGE, _PART, _LAST = 0, 1, 2
"""Kinds of a frame: a change; a part of all memberships; the last part."""

_ONE_FRAME = 2000
"""Memberships in a frame, at most about 20 KB of numbers."""

_Listed = list[tuple[str, list[int]]]


class ClusterGroups:
    """The groups of the cluster as one node sees them.

    table: the memberships. on_view: called when a node is up or down or has told its memberships; on_hidden: called
    with the name of a hidden group that has changed.
    """

    def __init__(self, cluster: Cluster, core: Core) -> None:
        self._cluster = cluster
        self._core = core
        self.table = Membership(core.name, self._changed)
        self._own_groups: dict[PID, set[str]] = {}
        self._monitors: dict[str, dict[PID, Process]] = {}
        self._monitored: dict[PID, set[str]] = {}
        self._untold: set[str] = set()
        self._parts: dict[str, _Listed] = {}
        self.on_view: Callable[[], None] = lambda: None
        self.on_hidden: Callable[[str], None] = lambda group: None
        cluster.on_frame(Groups, self._frame)
        cluster.on_up(self._up)
        cluster.on_down(self._down)

    # --- this node's own ----------------------------------------------------------------------------------------

    def announce(self, group: str, pid: PID) -> None:
        """Adds a member of this node, and tells all others."""
        if self.table.join(group, (pid,)):
            self._tell([(group, [pid.id])], [])

    def withdraw(self, group: str, pid: PID) -> None:
        """Removes a member of this node, and tells all others."""
        if self.table.leave(group, (pid,)):
            self._tell([], [(group, [pid.id])])

    def join(self, process: Process, group: str) -> None:
        """See `Actor.join_group`."""
        process.require_alive()
        check_group(group)
        groups = self._own_groups.get(process.id)
        if groups is None:
            groups = self._own_groups[process.id] = set()
            pid = process.id
            process.when_ended(lambda: self._ended(pid))
        groups.add(group)
        self.announce(group, process.id)

    def leave(self, process: Process, group: str) -> bool:
        """See `Actor.leave_group`."""
        groups = self._own_groups.get(process.id, set())
        if group not in groups:
            return False
        groups.discard(group)
        self.withdraw(group, process.id)
        return True

    def _ended(self, pid: PID) -> None:
        groups = self._own_groups.pop(pid, set())
        for group in groups:
            self.table.leave(group, (pid,))
        if groups:
            self._tell([], [(group, [pid.id]) for group in groups])

    def _tell(self, joined: _Listed, left: _Listed) -> None:
        frame = Groups(_CHANGE, joined, left)
        for link in tuple(self._cluster.links.values()):
            link.post(frame, SIGNALS)

    # --- others ---------------------------------------------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """True if all nodes that are up have told their memberships."""
        return not self._untold

    def weight_of(self, node: str) -> int:
        """Returns the weight of a node; 1 if it is not up any more."""
        if node == self._core.name:
            return self._cluster.options.weight
        link = self._cluster.links.get(node)
        hello = None if link is None else link.hello
        return 1 if hello is None else max(1, min(hello.weight, 1000))

    def _up(self, link: Link) -> None:
        node = link.peer.name
        self._parts.pop(node, None)
        self._untold.add(node)
        own: dict[str, list[int]] = {}
        for number, (group, pid) in enumerate(self.table.of_node(self._core.name)):
            own.setdefault(group, []).append(pid.id)
            if number % _ONE_FRAME == _ONE_FRAME - 1:
                link.post(Groups(_PART, list(own.items()), []), SIGNALS)
                own = {}
        link.post(Groups(_LAST, list(own.items()), []), SIGNALS)
        self.on_view()

    def _down(self, link: Link, reason: Exception) -> None:
        node = link.peer.name
        self._untold.discard(node)
        self._parts.pop(node, None)
        self.table.forget(node)
        self.on_view()

    def _frame(self, link: Link, frame: Groups) -> None:
        node = link.peer.name
        if frame.kind == _CHANGE:
            for group, numbers in frame.joined:
                self.table.join(group, self._pids(link, numbers))
            for group, numbers in frame.left:
                self.table.leave(group, self._pids(link, numbers))
            return
        parts = self._parts.setdefault(node, [])
        if sum(len(numbers) for _, numbers in parts) < MOST_MEMBERSHIPS:
            parts += frame.joined
        if frame.kind == _LAST:
            self.table.replace(node, [(group, self._pids(link, ids)) for group, ids in self._parts.pop(node)])
            self._untold.discard(node)
            self.on_view()

    def _pids(self, link: Link, numbers: list[int]) -> list[PID]:
        name, creation = link.peer
        return [PID(name, number, creation) for number in numbers]

    # --- monitors -------------------------------------------------------------------------------------------------

    def monitor(self, process: Process, group: str) -> list[PID]:
        """See `Actor.monitor_group`."""
        process.require_alive()
        check_group(group)
        groups = self._monitored.get(process.id)
        if groups is None:
            groups = self._monitored[process.id] = set()
            pid = process.id
            process.when_ended(lambda: self._forget_monitors(pid))
        groups.add(group)
        self._monitors.setdefault(group, {})[process.id] = process
        return self.table.members(group)

    def demonitor(self, process: Process, group: str) -> bool:
        """See `Actor.demonitor_group`."""
        groups = self._monitored.get(process.id, set())
        if group not in groups:
            return False
        groups.discard(group)
        self._forget_monitor(process.id, group)
        return True

    def _forget_monitors(self, pid: PID) -> None:
        for group in self._monitored.pop(pid, set()):
            self._forget_monitor(pid, group)

    def _forget_monitor(self, pid: PID, group: str) -> None:
        monitors = self._monitors.get(group, {})
        monitors.pop(pid, None)
        if not monitors:
            self._monitors.pop(group, None)

    def _changed(self, group: str, joined: tuple[PID, ...], left: tuple[PID, ...]) -> None:
        if group.startswith(HIDDEN):
            self.on_hidden(group)
            return
        monitors = self._monitors.get(group)
        if monitors:
            message: Any = MessageGroupJoined(group, joined) if joined else MessageGroupLeft(group, left)
            for process in tuple(monitors.values()):
                process.put_runtime((self._core.pid, message), 1)

    # --- names of the cluster ---------------------------------------------------------------------------------------

    def resolve(self, name: str) -> PID | None:
        """Returns the process that `gen.ClusterName(name)` stands for: the singleton's, or a member of the group."""
        return self.running_one(name) or self._one_of(self.table.members(name), name)

    def running_one(self, name: str) -> PID | None:
        """Returns the process that runs as the singleton `name`; of several, which is a conflict, the one to stay."""
        return self._one_of(self._running(name), name)

    def _running(self, name: str) -> list[PID]:
        return [pid for pid in self.table.members(RUNNING + name) if pid.id != self._core.pid.id]

    def _one_of(self, pids: list[PID], key: str) -> PID | None:
        """Returns the first process of the node that owns `key`, of those that have one: the same on all nodes."""
        if len(pids) <= 1:
            return pids[0] if pids else None
        nodes = {pid.node: Candidate(pid.node, self.weight_of(pid.node), pid.creation) for pid in pids}
        best = owner(key, nodes.values())
        return min((pid for pid in pids if best is not None and pid.node == best.name), default=None)


def check_group(group: object) -> None:
    """Raises `BadOption` unless `group` can be the name of a group."""
    check_name("group", group)
    if is_instance(group, str) and str(group).startswith(HIDDEN):
        raise BadOption("group", group, f"names that begin with {HIDDEN!r} are the cluster's own")


# --- methods of Cluster -----------------------------------------------------------------------------------------


def members(self: Cluster, group: str, *, local_first: bool = False) -> list[PID]:
    """Returns the members of a group in the whole cluster, as this node knows them now.

    local_first: those of this node come first. Otherwise in the order in which this node learned of them.
    """
    found = self.membership.table.members(group)
    return sorted(found, key=lambda pid: pid.node != self.core.name) if local_first else found


def groups(self: Cluster) -> list[str]:
    """Returns the names of the groups that have members."""
    return [group for group in self.membership.table.groups() if not group.startswith(HIDDEN)]
