"""Several exchanges with one peer, each by a local port of its own, which changes: who cannot see the requests has to
guess the port of each (RFC 5452, section 9.2)."""

from __future__ import annotations

import random
import secrets
from dataclasses import replace
from functools import reduce
from typing import Any

from ...datagram.errors import RequestKeyTaken, TooManyRequests
from ...gen import NO_REPLY, PID, Ref, Target
from ...node.processes.meta_process import MetaRunner
from ..udp.counters import add
from .connection import Connection
from .exchange import Exchange, is_request
from .guesses import Guesses
from .options import UDPClientOptions
from .statistics import UDPClientStatistics

PORT_SECONDS = 1.0
"""A port takes requests for so long, and then moves as soon as none is open: before it could be found by trying, yet
double and late replies mostly come before that."""


class _Port:
    """until: when it is to move, by the loop's clock; 0: it has not been used yet."""

    __slots__ = ("exchange", "until")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.until = 0.0


class Ports:
    """The exchanges of one client. What is no request goes by the first."""

    def __init__(
        self, process: MetaRunner, exchanges: list[Exchange], options: UDPClientOptions, guesses: Guesses
    ) -> None:
        self._process = process
        self._ports = [_Port(exchange) for exchange in exchanges]
        self._first = exchanges[0]
        self._exchanges = exchanges
        self._most = options.max_requests
        self._resting = 0
        # A function of the options is for tests that are to go the same way again.
        self._chance = secrets.SystemRandom().random if options.random is random.random else options.random
        self._guesses = guesses

    @property
    def connection(self) -> Connection:
        """That of the first."""
        return self._first.connection

    # --- a request ----------------------------------------------------------------------------------------

    def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        """As `Exchange.handle_call`; a request leaves by a port that is drawn."""
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
        except RequestKeyTaken:
            others = [exchange for exchange in self._exchanges if exchange is not drawn]
            if not any(self._goes_by(exchange, sender, ref, request) for exchange in others):
                raise
        drawn.requests.rejected -= 1

    def _goes_by(self, exchange: Exchange, sender: PID, ref: Ref, request: Any) -> bool:
        """False: its key is taken at that port as well."""
        try:
            exchange.ask(sender, ref, request)
        except RequestKeyTaken:
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
        # All have been in use for long: one rests until it can move, then the next.
        self._resting = (self._resting + 1) % count
        for number, port in enumerate(self._ports):
            port.until = 0.0 if number == self._resting else now + PORT_SECONDS
        return self._ports[(self._resting + 1 + self._below(count - 1)) % count].exchange

    def _below(self, count: int) -> int:
        return min(count - 1, int(self._chance() * count))

    def _renews(self, port: _Port, now: float) -> bool:
        """Moves a port that has served. False: it still serves."""
        if port.until and not port.exchange.move():
            return False
        port.until = now + PORT_SECONDS
        return True

    # --- all of them --------------------------------------------------------------------------------------

    def open(self) -> None:
        """As `Exchange.open`."""
        for exchange in self._exchanges:
            exchange.open()

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
        drained = [exchange.drained() for exchange in self._exchanges]  # all are asked: each looks at its callers
        return all(drained)

    def close(self) -> None:
        """As `Exchange.close`."""
        for exchange in self._exchanges:
            exchange.close()

    def handle_message(self, message: Any) -> None:
        """As `Exchange.handle_message`."""
        self._first.handle_message(message)

    def statistics(self) -> UDPClientStatistics:
        """The counters of all sockets and of all requests."""
        together = reduce(add, [exchange.statistics() for exchange in self._exchanges])
        return replace(together, guesses=self._guesses.total, alarms=self._guesses.alarms)

    def facts(self) -> dict[str, Any]:
        """The answer to `inspect_meta`: the socket's facts are those of the first."""
        facts = self._first.facts()
        counted = self.statistics()
        return {name: getattr(counted, name, value) for name, value in facts.items()} | {
            "kernel_drops": "n/a" if counted.kernel_drops is None else counted.kernel_drops,
            "ports": len(self._ports),
        }
