"""Identifiers: the addresses of messages, and the references that match answers to requests.

`PID`, `Alias` and `Ref` draw their numbers from one counter per node, so no two of them are ever equal
by content. They are tuples: hashing and comparing them costs no Python call, which the message path needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


class PID(NamedTuple):
    """Identifies a process by its node, its number there, and the start of that node.

    node: name of its node.
    id: number, unique among all PIDs, aliases and refs of one start of the node.
    creation: tells the starts of the node apart.
    """

    node: str
    id: int
    creation: int

    def __repr__(self) -> str:
        return f"<{self.node}.{self.id}>"

    def __str__(self) -> str:
        return f"<{self.node}.{self.id}>"


class Alias(NamedTuple):
    """Identifies a meta-process, or is an extra address of a process (`create_alias`).

    node: name of its node.
    id: number, unique among all PIDs, aliases and refs of one start of the node.
    creation: tells the starts of the node apart.
    """

    node: str
    id: int
    creation: int

    def __repr__(self) -> str:
        return f"Alias<{self.node}.{self.id}>"

    def __str__(self) -> str:
        return f"Alias<{self.node}.{self.id}>"


class Ref(NamedTuple):
    """A reference unique in the cluster: matches an answer to its request, or is an event's token.

    node: name of its node.
    id: number, unique among all PIDs, aliases and refs of one start of the node.
    creation: tells the starts of the node apart.
    """

    node: str
    id: int
    creation: int

    def __repr__(self) -> str:
        return f"Ref<{self.node}.{self.id}>"

    def __str__(self) -> str:
        return f"Ref<{self.node}.{self.id}>"


@dataclass(frozen=True, slots=True)
class ProcessID:
    """A registered name together with the node it is registered on.

    name: registered name.
    node: node on which it is registered.
    """

    name: str
    node: str

    def __str__(self) -> str:
        return f"<{self.node}.{self.name!r}>"


@dataclass(frozen=True, slots=True)
class Event:
    """A topic that one process publishes (`register_event`) and others link to or monitor.

    name: name of the event.
    node: node on which it is registered.
    """

    name: str
    node: str

    def __str__(self) -> str:
        return f"Event<{self.node}.{self.name!r}>"


class ClusterName(NamedTuple):
    """A name of the whole cluster. At each `send` or `call` it stands for the process that runs as the singleton of
    that name, wherever that is; or else for one member of the group of that name, the same from all nodes.

    name: name of the singleton or group.
    """

    name: str

    def __repr__(self) -> str:
        return f"ClusterName({self.name!r})"

    def __str__(self) -> str:
        return f"<cluster {self.name!r}>"


Target: TypeAlias = PID | Alias | ProcessID | ClusterName | str
"""Addresses that a message can be sent to. A `str` is a name registered on this node."""

Subject: TypeAlias = PID | Alias | ProcessID | Event | str
"""Addresses and events that can be linked to and monitored."""
