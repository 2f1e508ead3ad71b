"""Snapshots of a node: its counters, and the tree of its applications, their members and the members' children."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable
from time import perf_counter
from typing import TYPE_CHECKING

from ..gen import PID, ApplicationTree, NodeInfo, NodeTree, ProcessTree
from .loop.event_loop import seconds_spun
from .processes.census import process_info, take_census

if TYPE_CHECKING:
    from .core import Core
    from .processes.process import Process
    from .scheduling.watchdog import Watchdog


def make_tree(core: Core, info: NodeInfo, children: int | None) -> NodeTree:
    """Returns a snapshot of all processes, each under its parent; at most `children` of each parent (None: all).

    A parent is always older than the processes it has spawned: so one pass over the processes in the order of their
    start selects those that are shown, and one in the reverse order builds the tree, from the leaves up, without
    recursion.
    """
    shown, more = _choose(core, children)
    built: dict[Hashable, list[ProcessTree]] = defaultdict(list)
    for process in reversed(shown):
        built[place_of(core, process)].append(
            ProcessTree(
                info=process_info(process),
                metas=tuple(meta.info() for meta in (process.metas or {}).values()),
                children=tuple(reversed(built.pop(process.id, []))),
                more=more[process.id],
            )
        )
    names = [application.spec.name for application in core.applications]
    return NodeTree(
        info=info,
        applications=tuple(
            ApplicationTree(
                info=core.applications.find(name).info(), processes=tuple(reversed(built[name])), more=more[name]
            )
            for name in names
        ),
        processes=tuple(reversed(built[None])),
        more=more[None],
    )


def _choose(core: Core, children: int | None) -> tuple[list[Process], Counter[Hashable]]:
    """Returns the processes to be shown, in the order of their start, and how many of each place are hidden."""
    shown: list[Process] = []
    hidden: set[PID] = set()
    count: Counter[Hashable] = Counter()
    more: Counter[Hashable] = Counter()
    for process in tuple(core.processes.values()):
        place = place_of(core, process)
        if place in hidden:
            hidden.add(process.id)
        elif children is not None and count[place] >= children:
            hidden.add(process.id)
            more[place] += 1
        else:
            count[place] += 1
            shown.append(process)
    return shown, more


def place_of(core: Core, process: Process) -> PID | str | None:
    """Returns the place of a process: its parent; if that has ended or is the node, its application or None."""
    if process.parent in core.processes:
        return process.parent
    known = process.application is not None and process.application in core.applications
    return process.application if known else None


def make_info(core: Core, state: str, watchdog: Watchdog) -> NodeInfo:
    """Returns a snapshot of the node's counters. state: the node's."""
    found = take_census(core.processes.values())
    return NodeInfo(
        name=core.name,
        pid=core.pid,
        state=state,
        uptime=perf_counter() - core.started_at,
        processes=len(core.processes),
        metas=len(core.metas),
        names=len(core.registry.names),
        aliases=found.aliases,
        events=len(core.events),
        running=found.running,
        zombies=found.zombies,
        spawned=core.spawned,
        crashes=core.crashes,
        discarded=core.discarded,
        dead_letters=core.dead_letters,
        open_calls=len(core.calls),
        late_responses=core.calls.late_responses,
        timer_failures=core.timer_failures,
        timer_skips=core.timer_skips,
        event_failures=core.publishing.failures,
        threadsafe_failures=core.threadsafe_failures,
        stalls=watchdog.stalls,
        longest_stall=watchdog.longest,
        machine_stalls=watchdog.machine_stalls,
        spin_seconds=seconds_spun(core.loop),
        env=core.env,
        loop=f"{type(core.loop).__module__}.{type(core.loop).__qualname__}",
    )
