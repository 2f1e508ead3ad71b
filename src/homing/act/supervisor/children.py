"""A supervisor's records of its children: in the order of their start, by name and by PID."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from ...gen import PID
from .errors import ChildUnknown
from .requests import ChildInfo, ChildState
from .restart_limits import Pace
from .spec import ChildSpec
from .strategies import RestartStrategy


class Child:
    """One child.

    name: its registered name.
    pid: its process, also while the supervisor ends it.
    previous: the process to which the next one is the successor; None if the next start is not a restart.
    restarting: the restart that it waits for, or that is running.
    pace: shared by children that are restarted together.
    state: set by `change`.
    tally: the tally that counts it.
    """

    __slots__ = (
        "args",
        "name",
        "pace",
        "pid",
        "previous",
        "reason",
        "restarting",
        "restarts",
        "spec",
        "started",
        "state",
        "tally",
    )

    def __init__(self, spec: ChildSpec, name: str | None, args: tuple[Any, ...], pace: Pace) -> None:
        self.spec = spec
        self.name = name
        self.args = args
        self.pace = pace
        self.state = ChildState.TERMINATED
        self.pid: PID | None = None
        self.previous: PID | None = None
        self.restarting: Restart | None = None
        self.started = 0.0
        self.restarts = 0
        self.reason: Exception | None = None
        self.tally: Tally | None = None

    def change(self, state: ChildState) -> None:
        """Sets the state, and counts the child under it."""
        if self.tally is not None:
            self.tally.count(self, -1)
        self.state = state
        if self.tally is not None:
            self.tally.count(self, 1)

    @property
    def temporary(self) -> bool:
        return self.spec.restart is RestartStrategy.TEMPORARY

    def info(self) -> ChildInfo:
        """Returns a snapshot."""
        return ChildInfo(
            name=self.name,
            pid=self.pid,
            state=self.state,
            restart=self.spec.restart,
            significant=self.spec.significant,
            restarts=self.restarts,
            reason=self.reason,
        )


class Tally:
    """Counts the children of one supervisor.

    supervisors: number of children that are supervisors: of the class given, or derived from it.
    significant: number of significant children that run or wait for a restart.
    """

    __slots__ = ("_class", "active", "significant", "supervisors")

    def __init__(self, supervisors: type) -> None:
        self._class = supervisors
        self.active = self.significant = self.supervisors = 0

    def count(self, child: Child, by: int) -> None:
        """Counts a child (`by` = 1), or removes it from the counts (-1)."""
        self.active += by * (child.state is ChildState.RUNNING)
        self.significant += by * (child.spec.significant and child.state in _THERE)
        self.supervisors += by * issubclass(child.spec.behavior, self._class)


_THERE = ChildState.RUNNING, ChildState.RESTARTING


class Restart:
    """A restart of one child or of several together. It does not start a child that has left it."""

    __slots__ = ("_left", "_members", "_timer")

    def __init__(self, members: list[Child]) -> None:
        self._members = members
        self._left = 0
        self._timer: asyncio.TimerHandle | None = None
        for child in members:
            leave_restart(child)
            self.join(child)

    def join(self, child: Child) -> None:
        """Makes `child`, one of its members, a child that it will start."""
        self._left += child.restarting is not self
        child.restarting = self
        child.change(ChildState.RESTARTING)

    def members(self) -> list[Child]:
        """Returns the children that it will start, in the order of their start."""
        return [child for child in self._members if child.restarting is self]

    def wait(self, timer: asyncio.TimerHandle) -> None:
        """Sets the timer that starts the members."""
        self._timer = timer

    def left(self) -> None:
        """Notes that a child has left. When the last one has, the timer is cancelled."""
        self._left -= 1
        if self._timer is not None and self._left == 0:
            self._timer.cancel()


def leave_restart(child: Child) -> None:
    """Removes the child from the restart that it waits for, if any."""
    restart, child.restarting = child.restarting, None
    if restart is not None:
        restart.left()


class Children:
    """All children of one supervisor. Adding, finding and removing a child takes the same time however many there are.

    forget: called with each process that has its successor, or will have none: its preserved messages are not needed.
    tally: the counts of the children.
    """

    def __init__(self, forget: Callable[[PID], None], supervisors: type) -> None:
        self._forget = forget
        self.tally = Tally(supervisors)
        # not a plain dict, in which the first entry is slow to find once many were removed
        self._all: OrderedDict[Child, None] = OrderedDict()
        self._by_name: dict[str, Child] = {}
        self._by_pid: dict[PID, Child] = {}
        self._dismissed: set[PID] = set()

    def __iter__(self) -> Iterator[Child]:
        return iter(self._all)

    def __reversed__(self) -> Iterator[Child]:
        return reversed(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def named(self, name: str) -> Child | None:
        """Returns the child of that name."""
        return self._by_name.get(name)

    def find(self, child: str | PID) -> Child:
        """Returns the child with that name or PID; a child that waits for its restart still has its previous PID.
        Raises `ChildUnknown`."""
        found = self._by_name.get(child) if isinstance(child, str) else self._by_pid.get(child)
        if found is None:
            raise ChildUnknown(child)
        return found

    def running(self, pid: PID) -> Child | None:
        """Returns the child that runs as this process, unless it was dismissed."""
        child = self._by_pid.get(pid)
        return child if child is not None and child.pid == pid and pid not in self._dismissed else None

    def add(self, child: Child) -> None:
        """Adds a child as the last."""
        self._all[child] = None
        child.tally = self.tally
        self.tally.count(child, 1)
        if child.name is not None:
            self._by_name[child.name] = child

    def remove(self, child: Child) -> None:
        """Removes a child."""
        leave_restart(child)
        del self._all[child]
        child.tally = None
        self.tally.count(child, -1)
        if child.name is not None:
            del self._by_name[child.name]
        self._forget_pids(child)

    def has_started(self, child: Child, pid: PID, now: float) -> None:
        """Records that the process of a child runs."""
        self._forget_pids(child)
        leave_restart(child)
        child.change(ChildState.RUNNING)
        child.pid = pid
        child.started = now
        self._by_pid[pid] = child

    def dismiss(self, child: Child) -> None:
        """Marks a process that the supervisor itself ends: its exit signal, perhaps queued already, will be ignored."""
        if child.pid is not None:
            self._dismissed.add(child.pid)

    def was_dismissed(self, pid: PID) -> bool:
        """Returns True if that process was dismissed. Call it once, when the exit signal has come."""
        if pid not in self._dismissed:
            return False
        self._dismissed.discard(pid)
        return True

    def has_ended(self, child: Child, reason: Exception) -> None:
        """Records that the process of a child has ended and may get a successor."""
        child.previous, child.pid = child.pid, None
        child.reason = reason

    def rest(self, child: Child, state: ChildState) -> None:
        """Records that a child will not be started again until requested, or with its group."""
        leave_restart(child)
        self._forget_pids(child)
        child.change(state)

    def _forget_pids(self, child: Child) -> None:
        for pid in (child.pid, child.previous):
            if pid is not None:
                self._by_pid.pop(pid, None)
                self._forget(pid)
        child.pid = child.previous = None
