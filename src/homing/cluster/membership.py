"""Membership: the table of groups that one node keeps, of its own members and those of others. Knows no network.

Each node tells of its own members only, so no two nodes can contradict each other. The table of another node is
replaced by its first frame after a connection, changed by the later ones, and dropped at its nodedown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ..gen import PID

MOST_MEMBERSHIPS = 200_000
"""The most memberships kept of one other node, some 60 MB: a faulty node must not use up the memory of the others."""


class Membership:
    """The members of all groups, by group and by node.

    on_change: called after each change with the group, the members that joined, and those that left.
    refused: memberships of other nodes not kept, because there were too many.
    """

    __slots__ = ("_by_node", "_groups", "_own", "on_change", "refused")

    def __init__(self, own: str, on_change: Callable[[str, tuple[PID, ...], tuple[PID, ...]], None]) -> None:
        self._own = own
        self._groups: dict[str, dict[PID, None]] = {}
        self._by_node: dict[str, dict[tuple[str, PID], None]] = {}
        self.on_change = on_change
        self.refused = 0

    def groups(self) -> list[str]:
        """Returns the names of the groups that have members, in the order in which they got their first one."""
        return list(self._groups)

    def members(self, group: str) -> list[PID]:
        """Returns the members of a group, in the order in which this node learned of them."""
        return list(self._groups.get(group, ()))

    def nodes(self, group: str) -> list[str]:
        """Returns the nodes that have members in a group, each once."""
        return list(dict.fromkeys(pid.node for pid in self._groups.get(group, ())))

    def has(self, group: str, pid: PID) -> bool:
        """Returns True if `pid` is a member of a group."""
        return pid in self._groups.get(group, ())

    def of_node(self, node: str) -> Iterator[tuple[str, PID]]:
        """Iterates over (group, member) of one node."""
        return iter(tuple(self._by_node.get(node, ())))

    def join(self, group: str, pids: Iterable[PID]) -> tuple[PID, ...]:
        """Adds members, all of one node. Returns those that were none before."""
        joined = []
        for pid in pids:
            of_node = self._by_node.setdefault(pid.node, {})
            if (group, pid) in of_node:
                continue
            if pid.node != self._own and len(of_node) >= MOST_MEMBERSHIPS:
                self.refused += 1
                continue
            of_node[group, pid] = None
            self._groups.setdefault(group, {})[pid] = None
            joined.append(pid)
        if joined:
            self.on_change(group, tuple(joined), ())
        return tuple(joined)

    def leave(self, group: str, pids: Iterable[PID]) -> tuple[PID, ...]:
        """Removes members. Returns those that were members."""
        left = tuple(pid for pid in dict.fromkeys(pids) if self._remove(group, pid))
        if left:
            self.on_change(group, (), left)
        return left

    def _remove(self, group: str, pid: PID) -> bool:
        of_node = self._by_node.get(pid.node)
        if of_node is None or of_node.pop((group, pid), self) is self:
            return False
        if not of_node:
            del self._by_node[pid.node]
        members = self._groups[group]
        del members[pid]
        if not members:
            del self._groups[group]
        return True

    def replace(self, node: str, now: Iterable[tuple[str, Iterable[PID]]]) -> None:
        """Makes `now` the memberships of another node: notifies of the differences only."""
        wanted = [(group, dict.fromkeys(pids)) for group, pids in now]
        kept = {(group, pid) for group, pids in wanted for pid in pids}
        self._drop([each for each in self._by_node.get(node, ()) if each not in kept])
        for group, pids in wanted:
            self.join(group, pids)

    def forget(self, node: str) -> None:
        """Drops all memberships of a node, once for each group."""
        self._drop(list(self._by_node.get(node, ())))

    def _drop(self, gone: list[tuple[str, PID]]) -> None:
        by_group: dict[str, list[PID]] = {}
        for group, pid in gone:
            by_group.setdefault(group, []).append(pid)
        for group, pids in by_group.items():
            self.leave(group, pids)
