"""The peer's addresses. All exchanges of a client use the same address.

Rule 1: until an address has answered, a refusal leads to the next address. An address that has answered once is kept.
Rule 2: a name is looked up again when the client fails: an ICMP error says that there is no receiver, and no other
address is left; `TIMEOUTS` requests in a row had no reply; or the address of this machine has changed. At least
`LOOK_UP_SECONDS` pass between two look-ups. If the present address is not among those found, the client continues with
the first of those found.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from ...datagram import MessageUDPError, Peers, format_address, sorted_peers
from ...datagram.errors import BindFailed, ConnectFailed
from ...node.processes.meta_process import MetaRunner
from ..udp.tap import SocketTap
from .connection import connect
from .options import UDPClientOptions

if TYPE_CHECKING:
    from .exchange import Exchange

LOOK_UP_SECONDS = 30.0
"""Least seconds between two look-ups of a name: the usual lifetime of short-lived names. A client that fails all the
time must not flood the resolver."""

TIMEOUTS = 3
"""Requests in a row without a reply after which the name is looked up again: one or two may be lost packets."""


async def resolve(loop: asyncio.AbstractEventLoop, host: str, port: int) -> Peers:
    """Returns the addresses of a name. Does not block the loop while the resolver works. Raises `ConnectFailed`."""
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise ConnectFailed(host, port, error, "the name cannot be resolved; give another one, or an address") from None
    except ValueError as error:  # a null byte, or a name that cannot be encoded
        raise ConnectFailed(host, port, OSError(0, str(error)), "the host is not a valid name") from None
    return sorted_peers(found)


class Destination:
    """The address that all exchanges of one client send to.

    exchanges: all exchanges. others: the peer's addresses that were not tried yet.
    named: the peer was given by name.
    tap: records the datagrams of all sockets, if the options ask for it.
    """

    def __init__(self, process: MetaRunner, options: UDPClientOptions, others: Peers, *, named: bool) -> None:
        self.exchanges: list[Exchange] = []
        self.others = others
        self._process = process
        self._loop = process.loop
        self._options = options
        self._named = named
        self._not_before = self._loop.time() + LOOK_UP_SECONDS
        self._answered = self._timeouts = 0
        self._task: asyncio.Task[None] | None = None
        self.tap = SocketTap("UDP client", lambda: str(process.parent if options.process is None else options.process))

    @property
    def has_answered(self) -> bool:
        """True if a datagram has come from the present address."""
        return any(exchange.has_answered for exchange in self.exchanges)

    # --- failures -----------------------------------------------------------------------------------------

    def move_on(self, refusal: MessageUDPError) -> bool:
        """Goes on with the next address after a refusal from the present one. Returns False if there is no other
        address, or if an answer has come before the refusal."""
        for exchange in self.exchanges:
            exchange.read_all()
        if self.has_answered or not self.others or self.exchanges[0].closed:
            return False
        before = self.exchanges[0].connection.peer
        if not self._go_to(self.others):
            self.others = []
            return False
        now = format_address(self.exchanges[0].connection.peer)
        text = "UDP client: there is no receiver at %s (%s), trying %s"
        self._process.log.info(text, format_address(before), refusal.error, now)
        return True

    def timed_out(self) -> None:
        """Counts a request that had no reply in time."""
        answered = sum(exchange.requests.answered for exchange in self.exchanges)
        if answered != self._answered:
            self._answered, self._timeouts = answered, 0
        self._timeouts += 1
        if self._timeouts >= TIMEOUTS:
            self.failed()

    def failed(self) -> None:
        """Looks the name up again, unless the last look-up was a short time ago: there is no receiver, or this machine
        has another address."""
        if not self._named or self._task is not None or self._loop.time() < self._not_before:
            return
        self._not_before = self._loop.time() + LOOK_UP_SECONDS
        self._timeouts = 0
        self._task = self._loop.create_task(self._look_up())

    async def _look_up(self) -> None:
        host, port = self._options.host, self._options.port
        try:
            self._found(await resolve(self._loop, host, port))
        except ConnectFailed as error:
            self._process.log.info("UDP client: looking %s up again failed: %s", host, error)
        finally:
            self._task = None

    def _found(self, peers: Peers) -> None:
        before = self.exchanges[0].connection.peer
        for exchange in self.exchanges:
            exchange.read_all()
        if any(address == before for _, address in peers) or self.exchanges[0].closed:
            return
        if self._go_to(peers):
            now = self.exchanges[0].connection.peer
            text = "UDP client: %s is at %s now, no longer at %s"
            self._process.log.info(text, self._options.host, format_address(now), format_address(before))

    # --- another address ----------------------------------------------------------------------------------

    def _go_to(self, peers: Peers) -> bool:
        """Switches to the first of `peers` that this system has a route to. Returns False if there is none."""
        try:
            connection = connect(self._options, peers)
        except (BindFailed, ConnectFailed) as error:
            self._process.log.info("UDP client: no other address of the peer can be tried: %s", error)
            return False
        self.others = connection.others
        for exchange, each in zip(self.exchanges, connection.each(), strict=True):
            exchange.switch(each)
        return True

    def close(self) -> None:
        """Stops looking names up."""
        if self._task is not None:
            self._task.cancel()
