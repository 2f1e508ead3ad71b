"""The peer of a UDP server, as its process sees it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from ...act.supervisor.restart_limits import RestartWindow
from ...datagram import Address, MessageUDP, PacketInfo
from ...datagram.address import AF_UNIX, DUAL_STACK, canonical, check_destination
from ...datagram.validation import lift
from ...gen import PID, Alias, BadOption, NotAllowed, TerminateNormal
from ...gen.foreign import is_instance
from ...node.messaging.sending import send

if TYPE_CHECKING:
    import asyncio

    from ...node.processes.process import Process
    from .lifecycle import Lifecycle

_RENEW = 10.0
"""Seconds after which a server of another node gets the next note that a peer is proven: a thirtieth of the default of
`Amplification.validity`."""

_ROUNDING = 1e-6  # tolerance in datagrams: times are floating-point numbers


class Peer:
    """One peer of a UDP server: `self.peer` of its process. Its methods work on the node's thread only.

    key: its session id, as `PeerOptions.key` returned it. None: its address identifies it.
    since: when its first datagram came, in seconds of the event loop's clock. last: when the last one came.
    is_proven: True once `proven` was called.
    """

    __slots__ = (
        "_full",
        "_life",
        "_process",
        "_renew_at",
        "_template",
        "forwarded",
        "identity",
        "is_proven",
        "key",
        "last",
        "longest",
        "reason",
        "since",
        "starting",
        "task",
        "up",
        "window",
    )

    _process: Process

    def __init__(self, life: Lifecycle, identity: Hashable, key: Hashable, message: MessageUDP, now: float) -> None:
        self._life = life
        self._template = MessageUDP(message.id, message.addr, b"", info=message.info)
        self._full = self._renew_at = 0.0
        self.identity = identity  # its key in the table
        self.key = key
        self.since = self.last = now
        self.is_proven = False
        self.longest = 0  # bytes of the longest datagram that may wait
        self.forwarded = 0  # datagrams put into its mailboxes
        self.reason: Exception | None = None  # why it is leaving
        self.starting = False
        self.up = False
        self.task: asyncio.Task[None] | None = None  # continues a start
        self.window: RestartWindow | None = None

    def __repr__(self) -> str:
        return f"<Peer {self.address}>"

    @property
    def address(self) -> Address:
        """The address that `send` sends to: of the first datagram, or the one given to `move`."""
        return self._template.addr

    @property
    def server(self) -> Alias:
        """The alias of the UDP server."""
        alias: Alias = self._template.id
        return alias

    @property
    def way(self) -> tuple[Alias, PacketInfo | None]:
        """The server's alias, and the info of the last datagram, by which answers go. Internal."""
        return self.server, self._template.info

    @property
    def pid(self) -> PID:
        """The PID of its process. After a crash it is the successor's."""
        return self._process.id

    def send(self, data: Any, info: PacketInfo | None = None) -> None:
        """Sends a datagram to the peer, from the socket, and the local address if that is known, to which its last
        datagram came.

        data, info: as for `MessageUDP.reply`.
        Raises the errors of `Actor.send`: `MetaTerminated` if the server has ended.
        """
        template = self._template
        if self.is_proven and template.id.node != self._life.core.name:
            self._renew()
        send(self, template.id, template.reply(data, info))

    def _renew(self) -> None:
        """Tells a server of another node, from time to time, that the address is proven: it has no table of its own in
        which it could look that up."""
        now = self._life.now()
        if now >= self._renew_at:
            self._renew_at = now + _RENEW
            lift(self.server, self.address)

    def proven(self) -> None:
        """Marks the peer as the owner of its address. It is not evicted any more, and not counted in
        `PeerOptions.unproven_share`; the server's limit `amplification` does not apply to its address while the peer
        has its place. Counts as a use for `PeerOptions.idle`. A second call does nothing.

        If its datagrams come by a server of another node, that one applies the limit again after
        `Amplification.validity`, unless `send` is used, which renews the proof every 10 s."""
        self._life.core.require_thread()
        if not self.is_proven and self.reason is None:
            self._life.table.prove(self)
            self._life.used(self)  # so that the proven ones stay in the order of their last use
            if self.server.node != self._life.core.name:
                self._renew()

    def move(self, address: Address) -> None:
        """Sends to `address` from now on.

        The datagrams of a peer with a `key` may come from any address (a NAT gives it another port, it changes its
        network), and `message.addr` tells which. Answers nevertheless go to the former address until this is called,
        because anybody can copy a session id into a datagram with a forged source: moving by itself would let him take
        over the session, or send the answers to a victim. Call it once the new address is known to be the peer's own:
        after it has returned a secret that was sent there (QUIC: RFC 9000, section 9), or if the datagram is
        authenticated and newer than all before (WireGuard).
        Raises `NotAllowed` if the peer has no key, `BadOption` if no datagram can be sent to `address`.
        """
        self._life.core.require_thread()
        if self.key is None:
            raise NotAllowed(f"{self} is identified by its address, so it cannot move; give PeerOptions(key=...)")
        address = _checked(address)
        template = MessageUDP(self._template.id, address, b"", info=None)
        self._life.table.move(self, address)
        self._template = template
        self._renew_at = 0.0

    def close(self) -> None:
        """Ends the process of the peer, with `gen.TerminateNormal`, after the callback that it is in. Waiting datagrams
        are dropped. A process can also raise `gen.TerminateNormal` itself. A second call does nothing."""
        self._life.core.require_thread()
        self._life.end(self, TerminateNormal())

    # --- for the table --------------------------------------------------------------------------------------

    def came(self, message: MessageUDP) -> None:
        """Notes the way that a datagram took, for answers, unless it came from another address."""
        template, source = self._template, message.addr
        if source == self.address:
            template.id = message.id
            template.info = message.info

    def admit(self, now: float, rate: float, burst: float) -> bool:
        """Returns False if a datagram is above the peer's rate. The token bucket of `policy.limiter`."""
        time = now * rate
        start = self._full if self._full > time else time
        if start + 1 > time + burst + _ROUNDING:
            return False
        self._full = start + 1
        return True


def _checked(address: Any) -> Address:
    """Returns the canonical form of an address. Raises `BadOption` if no datagram can be sent to it."""
    is_path = is_instance(address, (str, bytes))
    try:
        check_destination(AF_UNIX if is_path else DUAL_STACK, address)
        return address if is_path else canonical(address)
    except (OSError, ValueError) as error:
        raise BadOption("address", address, f"{error}; give the address of a datagram: message.addr") from None
