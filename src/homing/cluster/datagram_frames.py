"""The frames of datagrams and sessions: see `wire`, which has them among its own."""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct


class Flow(Struct, array_like=True, tag=30, frozen=True):
    """Opens a flow of datagrams from a UDP server of the sending node to a receiver of the other one.

    number: of the flow, on the sending node; never used twice in an epoch.
    to: the receiver: the number of a PID or alias, or a name; with `sessions`, the name of the sessions.
    owner: the number of the PID from which the datagrams come. server: that of the alias that answers go to.
    high, low, most_bytes: the limits of what waits in the receiver's mailbox, as of `UDPServerOptions`.
    """

    number: int
    to: int | str
    sessions: bool
    owner: int
    server: int
    high: int
    low: int
    most_bytes: int


class Datagrams(Struct, array_like=True, tag=3, frozen=True):
    """Datagrams of a flow. first: the number of datagrams sent in the flow before. mark: the socket of the server that
    has received them. See `udp.columns` for the others."""

    flow: int
    first: int
    mark: int
    addresses: list[Any]
    places: bytes
    lengths: bytes
    infos: list[Any]
    info_places: bytes
    cut: list[int]
    data: bytes


class Replies(Struct, array_like=True, tag=31, frozen=True):
    """Datagrams to be sent by a UDP server of the receiving node. server: the number of its alias. mark: the socket."""

    server: int
    mark: int
    addresses: list[Any]
    places: bytes
    lengths: bytes
    infos: list[Any]
    info_places: bytes
    cut: list[int]
    data: bytes


class Credit(Struct, array_like=True, tag=32, frozen=True, gc=False):
    """How many datagrams of a flow have found room in the receiver's mailbox, since the flow was opened. -1: the flow
    is not known."""

    flow: int
    taken: int


class FlowEnd(Struct, array_like=True, tag=33, frozen=True, gc=False):
    """Nothing more comes in the flow."""

    flow: int


class Offer(Struct, array_like=True, tag=34, frozen=True):
    """The sender takes part in sessions.

    name: of the sessions. owns: it can own new ones. there: it takes part. joins: it has just begun, and is about to
    own: the others answer with those of their sessions that its hash would take (`Here`), and with `Welcome`.
    """

    name: str
    owns: bool
    there: bool = True
    joins: bool = False


class Welcome(Struct, array_like=True, tag=39, frozen=True):
    """The answer to an `Offer` that joins. nodes: those of which the sender knows that they take part."""

    name: str
    nodes: list[str]


class Hold(Struct, array_like=True, tag=35, frozen=True):
    """Sessions are about to move from the sender: datagrams for them are to wait where they come in.

    move: a number of the sender, returned in `Held`. keys: packed, see `meta.sessions.keys`.
    """

    name: str
    move: int
    keys: list[bytes]


class Held(Struct, array_like=True, tag=36, frozen=True):
    """No datagram of the sessions of that `Hold` follows this frame."""

    name: str
    move: int


class Adopt(Struct, array_like=True, tag=37, frozen=True):
    """A session moves to the receiver.

    key: packed. address, server, info: of the peer, and of the way to it: the alias's node, number and creation.
    proven: see `Peer.proven`. kind, body: the state, a message.
    """

    name: str
    key: bytes
    address: Any
    server: tuple[str, int, int]
    info: Any
    proven: bool
    kind: int
    body: Raw


class Here(Struct, array_like=True, tag=38, frozen=True):
    """The sender owns these sessions, whatever their hash says. keys: packed."""

    name: str
    keys: list[bytes]


DATAGRAM_FRAMES = Flow | Datagrams | Replies | Credit | FlowEnd | Offer | Hold | Held | Adopt | Here | Welcome
"""All of them."""
