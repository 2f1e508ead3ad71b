"""Receivers of a UDP server on other nodes of a cluster. `cluster.udp` has the implementation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ...datagram import MessageUDPError
from ...gen import PID, Alias, ProcessID, Target
from ...gen.foreign import is_a

if TYPE_CHECKING:
    from ...act.pool.forwarder import Drops
    from ...node.core import Core
    from ...node.processes.meta_process import MetaRunner
    from ..peers.counters import Counters
    from .options import UDPServerOptions


class Receivers(Protocol):
    """The process of a server that forwards datagrams to other nodes."""

    @property
    def drops(self) -> Drops | Counters:
        """Its counters of dropped datagrams."""

    @property
    def address(self) -> PID:
        """Its PID, to which datagrams are sent."""

    def fit(self, options: UDPServerOptions) -> bool:
        """Returns True if `options` ask for these receivers, maybe with other limits, which are then applied."""

    def adjust(self, options: UDPServerOptions) -> None:
        """Applies `options` from now on."""

    def is_proven(self, address: Any) -> bool:
        """Returns True for the address of a peer of this node that was proven."""

    def lost(self, report: MessageUDPError) -> None:
        """An ICMP error has come back for a datagram."""

    def facts(self) -> dict[str, Any]:
        """Returns its part of the server's inspection: "peers", and "elsewhere" or "sessions"."""

    def drain(self) -> None:
        """The node stops, or the socket is handed over: nothing more is read."""

    def drained(self) -> bool:
        """Returns False while datagrams, or answers to them, may still be on their way."""

    def retire(self) -> None:
        """Ends it once all that waits was handled. The server has other receivers by now."""

    def when_ended(self, function: Callable[[Exception], None]) -> None:
        """Calls `function` with the reason when it ends."""


class Carrier(Protocol):
    """Starts such receivers."""

    async def start_away(
        self, server: MetaRunner, options: UDPServerOptions, current: Callable[[], object]
    ) -> Receivers:
        """Starts the process that forwards all datagrams to `options.process`, of another node."""

    async def start_sessions(
        self, server: MetaRunner, options: UDPServerOptions, current: Callable[[], object]
    ) -> Receivers:
        """Starts the table of sessions, and the peers that this node owns."""


def is_elsewhere(to: Target | None, node: str) -> bool:
    """Returns True if `to` is an address of another node than `node`."""
    return (is_a(to, PID) or is_a(to, Alias) or is_a(to, ProcessID)) and to.node != node


def carrier_of(core: Core) -> Carrier | None:
    """Returns the part that carries datagrams to other nodes; None if the node is in no cluster."""
    elsewhere = core.registry.elsewhere
    return None if elsewhere is None else elsewhere.udp
