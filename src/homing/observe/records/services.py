"""Pools, routers, supervisors, applications and events, and the tree of them all."""

from __future__ import annotations

from typing import Any, TypedDict

from .nodes import NodeRecord
from .processes import MetaRecord, ProcessRecord
from .table import Rows


class GroupRecord(TypedDict):
    """A pool, router or supervisor. facts: its counters, and its first workers, routes or children with theirs, as its
    `handle_inspect` returns them; `facts.more` is the number of those left out. Null while it starts."""

    node: str
    pid: str
    id: int
    name: str | None
    behavior: str
    kind: str
    application: str | None
    state: str
    waiting: int
    facts: dict[str, Any] | None


class Groups(Rows):
    """Answer to `pools`, `routers` and `supervisors`."""

    groups: list[GroupRecord]


class ApplicationRecord(TypedDict):
    """An application.

    mode: "temporary", "transient" or "permanent". reason: exit reason of its last run. members: PIDs; `more` of them
    are left out.
    """

    node: str
    name: str
    state: str
    mode: str
    uptime: float
    description: str
    version: str
    depends: list[str]
    members: list[str]
    more: int
    reason: str | None


class Applications(Rows):
    """Answer to `applications`."""

    applications: list[ApplicationRecord]


class EventRecord(TypedDict):
    """An event.

    owner: process that registered it. consumers: number of processes linked to it, or monitoring it.
    buffered, buffer: publications kept for new consumers; the most that are kept. notify: see `gen.EventOptions`.
    """

    node: str
    name: str
    owner: str
    consumers: int
    buffered: int
    buffer: int
    notify: bool


class Events(Rows):
    """Answer to `events`."""

    events: list[EventRecord]


class TreeMeta(MetaRecord):
    """A meta-process in the tree. facts: as in `TreeProcess`."""

    facts: dict[str, Any] | None


class TreeProcess(ProcessRecord):
    """A process in the tree.

    depth: number of processes above it. more: children that are left out.
    facts: the result of `handle_inspect` of a pool, router or supervisor; null if it does not answer, and for actors.
    metas: its meta-processes.
    """

    depth: int
    more: int
    facts: dict[str, Any] | None
    metas: list[TreeMeta]


class TreeApplication(ApplicationRecord):
    """An application in the tree. processes: depth first. more: processes left out at the top."""

    processes: list[TreeProcess]


class Tree(TypedDict):
    """Answer to `tree`: each process once, under its application and the process that spawned it, depth first. At most
    10,000 processes, the first that were started.

    processes: processes of no application, whose parents have ended or are the node. more: those left out.
    """

    node: NodeRecord
    applications: list[TreeApplication]
    processes: list[TreeProcess]
    more: int
