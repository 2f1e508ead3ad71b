"""Several exchanges with one peer, each by a local port of its own, which changes: an attacker who cannot see the
requests has to guess the port of each (RFC 5452, section 9.2)."""

from __future__ import annotations

import random
import secrets
from dataclasses import replace
from functools import reduce
from typing import Any

from ...datagram.errors import RequestIdsTaken, RequestKeyTaken
from ...gen import NO_REPLY, PID, Ref, Target, TooManyRequests
from ...node.messaging.flow import Inlet
from ...node.processes.meta_process import MetaRunner
from ..udp.counters import add
from .connection import Connection
from .exchange import Exchange, is_request
from .guesses import Guesses
from .options import UDPClientOptions
from .statistics import UDPClientStatistics

PORT_SECONDS = 1.0
"""Seconds for which a port takes requests; then it moves as soon as none is open. Too short to find the port by trying,
and long enough for most double and late replies."""


class _Port:
    """An exchange, and when its port is to move. until: by the loop's clock; 0: the port has not been used yet."""

    __slots__ = ("exchange", "until")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.until = 0.0


class Ports:
    """The exchanges of one client. All messages but requests go by the first."""

    def __init__(
        self, process: MetaRunner, exchanges: list[Exchange], options: UDPClientOptions, guesses: Guesses
    ) -> None:
        self._process = process
        self._ports = [_Port(exchange) for exchange in exchanges]
        self._first = exchanges[0]
        self._exchanges = exchanges
        self._most = options.max_requests
        self._resting = 0
        # Only tests set `random`, to draw the same ports again; otherwise the drawing must be unpredictable.
        self._chance = secrets.SystemRandom().random if options.random is random.random else options.random
        self._guesses = guesses

    @property
    def connection(self) -> Connection:
        """The connection of the first exchange."""
        return self._first.connection

    # --- a request ----------------------------------------------------------------------------------------

    def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        """As `Exchange.handle_call`; a request leaves by a port drawn at random."""
        if not is_request(request):
            return self._first.handle_call(sender, ref, request)
        try:
            self._check_room()
            self._ask(sender, ref, request)
        except Exception as error:
            self._process.send_response_error(sender, ref, error)
        return NO_REPLY

    def _check_room(self) -> None:
        if self._open() < self._most:
            return
        for exchange in self._exchanges:
            exchange.requests.sweep()
        if self._open() >= self._most:
            self._first.requests.rejected += 1
            raise TooManyRequests(self._most)

    def _open(self) -> int:
        return sum(len(exchange.requests) for exchange in self._exchanges)

    def _ask(self, sender: PID, ref: Ref, request: Any) -> None:
        drawn = self._draw()
        try:
            drawn.ask(sender, ref, request)
            return
        except (RequestKeyTaken, RequestIdsTaken):
            others = [exchange for exchange in self._exchanges if exchange is not drawn]
            if not any(self._goes_by(exchange, sender, ref, request) for exchange in others):
                raise
        drawn.requests.rejected -= 1

    def _goes_by(self, exchange: Exchange, sender: PID, ref: Ref, request: Any) -> bool:
        """Sends the request by `exchange`. Returns False if the key, or each id, is taken at that port as
        well."""
        try:
            exchange.ask(sender, ref, request)
        except (RequestKeyTaken, RequestIdsTaken):
            exchange.requests.rejected -= 1
            return False
        return True

    # --- drawing ------------------------------------------------------------------------------------------

    def _draw(self) -> Exchange:
        now = self._process.loop.time()
        count = len(self._ports)
        start = self._below(count)
        for number in range(count):
            port = self._ports[(start + number) % count]
            if port.until > now or self._renews(port, now):
                return port.exchange
        # All ports are due to move, and none can: one takes no requests until it can move, then the next.
        self._resting = (self._resting + 1) % count
        for number, port in enumerate(self._ports):
            port.until = 0.0 if number == self._resting else now + PORT_SECONDS
        return self._ports[(self._resting + 1 + self._below(count - 1)) % count].exchange

    def _below(self, count: int) -> int:
        return min(count - 1, int(self._chance() * count))

    def _renews(self, port: _Port, now: float) -> bool:
        """Moves a port that is due. Returns False if it cannot move yet."""
        if port.until and not port.exchange.move():
            return False
        port.until = now + PORT_SECONDS
        return True

    # --- all of them --------------------------------------------------------------------------------------

    def open(self) -> None:
        """As `Exchange.open`."""
        for exchange in self._exchanges:
            exchange.open()

    def divert(self, kind: type[Inlet]) -> None:
        """See `Exchange.divert`."""
        for exchange in self._exchanges:
            exchange.divert(kind)

    def redirect(self, to: Target) -> None:
        """As `Exchange.redirect`."""
        for exchange in self._exchanges:
            exchange.redirect(to)

    def drain(self) -> None:
        """As `Exchange.drain`."""
        for exchange in self._exchanges:
            exchange.drain()

    def drained(self) -> bool:
        """As `Exchange.drained`."""
        drained = [exchange.drained() for exchange in self._exchanges]  # no short cut: each checks its callers
        return all(drained)

    def close(self) -> None:
        """As `Exchange.close`."""
        for exchange in self._exchanges:
            exchange.close()

    def handle_message(self, message: Any) -> None:
        """As `Exchange.handle_message`."""
        self._first.handle_message(message)

    def statistics(self) -> UDPClientStatistics:
        """Returns the counters of all sockets and of all requests."""
        together = reduce(add, [exchange.statistics() for exchange in self._exchanges])
        return replace(together, guesses=self._guesses.total, alarms=self._guesses.alarms)

    def facts(self) -> dict[str, Any]:
        """Returns the answer to `inspect_meta`. The facts about the socket are those of the first exchange."""
        facts = self._first.facts()
        counted = self.statistics()
        return {name: getattr(counted, name, value) for name, value in facts.items()} | {
            "kernel_drops": "n/a" if counted.kernel_drops is None else counted.kernel_drops,
            "ports": len(self._ports),
        }
