"""Options of sessions."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, Literal

from ...datagram import MessageUDP
from ...gen import BadOption
from ...gen.options import check_name, check_type, set_integer, set_seconds

Key = slice | Literal["source"] | Callable[[MessageUDP], Hashable]
"""How the session of a datagram is found: see `Sessions.key`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Sessions of a UDP service that runs on several nodes of a cluster (`UDPServerOptions.sessions`, with `peers`).

    Any node takes any datagram. Each session has one owner, on which a process serves it, as `peers` say: the node
    that the hash of the session's key chooses, as long as it lives. Datagrams that come to other nodes are forwarded,
    once. Answers leave by the socket to which the last datagram came.

    key: `slice(0, 8)`: these bytes of the datagram are the session's id; a shorter datagram is dropped. "source": its
        source's address. A function of the datagram: returns the id, as bytes, str or int, or None for the source's
        address; quick, and a plain `def`. All nodes need the same.
    name: under which the nodes of one service find each other. "": the server's `name`.
    owners: tag of the nodes that own sessions (`ClusterOptions.tags`). None: all nodes on which the server runs.
    number: bytes of the datagram that are the number of the session's owner (`Cluster.node_number`), big-endian, for
        protocols in which the server chooses the session's id. No table is needed then. A number of no node that is up
        counts as none. None: the hash decides alone.
    idle: seconds after the last datagram of a session for which a node remembers its owner. Longer than
        `PeerOptions.idle`, or a session may begin anew elsewhere.
    most: the most sessions that a node remembers; those unused longest are forgotten.
    hold: the most datagrams of one session that wait, on each node, while it moves to another owner; then the oldest
        are dropped.
    hold_seconds: for so long they wait; then the session begins anew at its next owner.
    settle: seconds after the start of the server in which it waits for other nodes, so that it does not begin sessions
        that live elsewhere. It begins as soon as all nodes of the service have answered. Until then datagrams wait in
        the kernel.
    """

    key: Key
    name: str = ""
    owners: str | None = None
    number: slice | None = None
    idle: float = 120.0
    most: int = 100_000
    hold: int = 64
    hold_seconds: float = 5.0
    settle: float = 2.0

    def __post_init__(self) -> None:
        key: Any = self.key
        if isinstance(key, slice):
            _check_slice("key", key)
        elif key != "source" and (not callable(key) or _is_async(key)):
            raise BadOption("key", key, 'give slice(0, 8), "source" or a `def key(message)`')
        if self.name != "":
            check_name("name", self.name)
        if self.owners is not None:
            check_name("owners", self.owners)
        if self.number is not None:
            check_type("number", self.number, slice, "a slice, as in slice(0, 4)")
            _check_slice("number", self.number)
        set_seconds(self, "idle")
        set_integer(self, "most", 1, 10_000_000)
        set_integer(self, "hold", 1, 10_000)
        set_seconds(self, "hold_seconds")
        set_seconds(self, "settle", zero=True)


def _check_slice(option: str, value: slice) -> None:
    """Raises `BadOption` unless `value` has a start, or none, and an end behind it."""
    start, end = value.start or 0, value.stop
    if not (type(start) is int and type(end) is int and 0 <= start < end <= 65535 and value.step is None):
        raise BadOption(option, value, "give the bytes from and up to, as in slice(0, 8)")


def _is_async(function: Any) -> bool:
    return iscoroutinefunction(function) or iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
