"""The engine: it carries batches between nodes, and notifies of nodes. It knows no frames, links or processes."""

from __future__ import annotations

from typing import NamedTuple, Protocol

SIGNALS, SYSTEM, MAIN = 0, 1, 2
"""Lanes, the most urgent first. In one lane batches arrive in the order of `put`; lanes can overtake each other.

SIGNALS: hello, acknowledgements, exit signals, ends. SYSTEM: messages with a priority. MAIN: all others.
"""


class Peer(NamedTuple):
    """One start of a node.

    name: its name. creation: tells its starts apart; the later one is greater.
    """

    name: str
    creation: int


class Receiver(Protocol):
    """The one that an engine notifies. Always called on the node's event loop, never in an engine's own thread."""

    def peer_up(self, peer: Peer, address: str) -> None:
        """Batches can be sent to `peer` from here on. `address`: where it is, "" if that is not known."""

    def peer_down(self, peer: Peer, reason: str) -> None:
        """`peer` has left, has died, or gives no sign of life. Once for each `peer_up`; if the peer shows itself
        again, another `peer_up` follows."""

    def batch(self, peer: Peer, lane: int, data: bytes) -> None:
        """A batch of `peer` has come. It may be lost, garbage, or from before a `peer_down`: the receiver judges."""


class Engine(Protocol):
    """Carries batches. Owns its sockets and threads; none of its methods blocks the loop, and only `open` raises an
    error of a peer or of the network."""

    async def open(self, own: Peer, receiver: Receiver) -> None:
        """Listens, joins, and makes `own` known. Raises `NodeTaken` if a living node has that name, `BadOption` for
        an address that cannot be used, `BindFailed`-like errors of the listener."""

    async def close(self) -> None:
        """Withdraws `own`, which others see as `peer_down`, and releases everything within seconds."""

    def put(self, peer: Peer, lane: int, data: bytes | bytearray, light: bool = False) -> None:
        """Sends a batch, from a thread of that peer. Never waits. A batch that cannot be sent is lost: the receiver
        finds out by the numbers in the batches. The engine keeps `data`: the caller does not touch it again.

        light: so little is under way to the peer, with this batch, that it cannot wait for room: it may be sent from
        the calling thread."""

    def suspect(self, peer: Peer, why: str) -> None:
        """The link says that `peer` is up for the engine, but nothing comes through: connects anew where it can."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where this node listens, with the ports that it got."""
