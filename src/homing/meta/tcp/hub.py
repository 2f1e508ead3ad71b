"""The hub: everything that the connections of one server, or of a client, have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ...datagram.policy.limiter import Limiter
from ...datagram.policy.limits import RateLimit
from ...datagram.policy.networks import number_of
from ...gen import Alias, NotAllowed
from ...node.processes.meta_process import MetaRunner
from .connection import Connection
from .counters import Counters, TCPStatistics
from .decoding import decoder_of
from .errors import ConnectionEnded
from .half_closed import HalfClosed
from .inflow import Inflow
from .limits import TCPOptions
from .messages import MessageTCP, MessageTCPDisconnect, address_of
from .reasons import (
    ClosedByPeer,
    ClosedHere,
    ConnectionEnd,
    ConnectionIdle,
    Drained,
    FrameTimeout,
    NoFirstByte,
    ServerEnded,
    SlowReader,
)
from .table import Table

RECORD = 16384
"""Most bytes of a TLS record, and least of the buffer with TLS. When a connection ends while it is not read, asyncio
reads once more, one buffer at most, and drops the rest. So nothing may be left then but one record: asyncio reads no
further record from the socket, nor the end, before all that it has read is decrypted."""

_LONGEST_LOOK, _SHORTEST_LOOK = 1.0, 0.02
"""Seconds between two looks at the times of all connections: an eighth of the shortest timeout, within these."""


class Hub:
    """The connections of one server or client.

    options: those in force. table: the connections. counters: theirs, and those of the server.
    inflow: delivers what comes; None: each connection has its own, which `welcome` gives it.
    buffer, view: what is read goes here first, and is taken from here at once.
    touched: the connections for which frames are queued until `flush`.
    limiter: the rate of each source. welcome: called with a connection that was made, and with one that has ended.
    """

    def __init__(self, options: TCPOptions, table: Table) -> None:
        self.options = options
        self.table = table
        self.counters = Counters()
        self.buffer = bytearray(options.read_size if options.tls is None else max(options.read_size, RECORD))
        self.view = memoryview(self.buffer)
        self.touched: list[Connection] = []
        self.limiter = Limiter()
        self.rate = 0.0
        self.inflow: Inflow | None = None
        self.process: MetaRunner | None = None
        self.on_opened: Callable[[Connection], None] | None = None
        self.on_gone: Callable[[Connection], None] | None = None
        self.on_look: Callable[[float], None] | None = None
        self.answers = True  # False: what comes is not answered, so that a peer that has ended its side awaits nothing
        self.half_closed = HalfClosed(self)
        self.draining = False
        self.closed = False
        self._last_number = 0
        self._look_timer: asyncio.TimerHandle | None = None
        self._retries: dict[Connection, asyncio.TimerHandle] = {}

    def serve(self, process: MetaRunner, inflow: Inflow | None) -> None:
        """Serves for `process`, which has just been started."""
        self.process = process
        self.inflow = inflow

    def apply(self, options: TCPOptions) -> None:
        """Applies the limits of `options` from now on, also to the connections that are open."""
        self.options = options
        if self._look_timer is not None:
            self._look_timer.cancel()
            self._look_later()

    def limit(self, rate_limit: RateLimit | None) -> None:
        """Limits the frames of each source from now on."""
        self.limiter.apply(rate_limit)
        self.rate = 0.0 if rate_limit is None else rate_limit.rate

    @property
    def id(self) -> Alias:
        """The alias of the server or client."""
        return self._serving().id

    def now(self) -> float:
        """Returns the loop's time."""
        return self._serving().loop.time()

    def _serving(self) -> MetaRunner:
        if self.process is None:
            raise NotAllowed("the server or client has not been started")
        return self.process

    # --- connections ----------------------------------------------------------------------------------------

    def new_connection(self, addr: Any) -> Connection:
        """Returns a connection that has a place. Raises what the factory `frame` raises."""
        decoder = decoder_of(self.options.frame)
        self._last_number += 1
        connection = Connection(self, self._last_number, addr, self.table.source_of(addr), decoder, self.inflow)
        self.table.add(connection)
        return connection

    def discard(self, connection: Connection) -> None:
        """Takes the place of a connection that was never made."""
        connection.lost = True
        self.table.remove(connection)

    def opened(self, connection: Connection) -> None:
        """Called when a connection was made."""
        self.counters.accepted += 1
        if self._look_timer is None:
            self._look_later()
        if self.on_opened is not None:
            self.on_opened(connection)
        connection.deliver()

    def lost(self, connection: Connection) -> None:
        """Called when the transport of a connection has ended."""
        self.table.leave(connection)
        if connection.transport is None:
            self.table.remove(connection)

    def gone(self, connection: Connection) -> list[MessageTCPDisconnect]:
        """Takes the place of a connection all of whose frames were delivered. Returns the message of its end."""
        self._count_end(connection)
        return [connection.disconnected()] if self.options.announce else []

    def _count_end(self, connection: Connection) -> None:
        self.table.remove(connection)
        timer = self._retries.pop(connection, None)
        if timer is not None:
            timer.cancel()
        self.counters.ended((connection.end or ClosedByPeer()).counter)
        if self.on_gone is not None:
            self.on_gone(connection)

    # --- rates ----------------------------------------------------------------------------------------------

    def within_rate(self, connection: Connection) -> bool:
        """Takes a token of the source of `connection`. Returns False if it has none."""
        number = number_of(connection.addr[0]) if isinstance(connection.addr, tuple) else None
        if number is None:
            return True
        self.limiter.look_at_clock()
        return self.limiter.admit(*number, 1) > 0

    def try_later(self, connection: Connection) -> None:
        """Tries a frame again once its source may have another token."""
        if connection not in self._retries:
            seconds = min(max(1 / self.rate, 0.001), 60.0) if self.rate else 0.0
            self._retries[connection] = self._serving().loop.call_later(seconds, self._retry, connection)

    def _retry(self, connection: Connection) -> None:
        self._retries.pop(connection, None)
        if not self.closed:
            connection.try_again()

    # --- sending --------------------------------------------------------------------------------------------

    def find(self, message: MessageTCP) -> Connection | None:
        """Returns the connection that a frame is for; None if it has ended."""
        try:
            number = message.connection
            return self.table.get(number) if number else self.table.at(message.addr)
        except Exception:  # it has no such fields, or they hold objects of the program that raise
            return None

    def queue(self, message: MessageTCP) -> int:
        """Queues a frame until `flush`. Returns its length. Raises `ConnectionEnded`, or what the encoder raises."""
        connection = self.find(message)
        if connection is None or connection.end is not None or connection.lost:
            self.counters.dropped_closed += 1
            raise ConnectionEnded(address_of(message))
        try:
            data = connection.encode(message.data)
        except Exception:
            self.counters.send_errors += 1
            raise
        if not connection.put(data, message.is_answer is True):
            self.counters.dropped_closed += 1
            raise ConnectionEnded(address_of(message))
        return len(data)

    def flush(self) -> None:
        """Hands all queued frames to the transports."""
        touched, self.touched = self.touched, []
        for connection in touched:
            connection.flush()

    def close_one(self, number: int) -> None:
        """Closes a connection, after the frames that were sent before."""
        connection = self.table.get(number)
        if connection is not None:
            connection.close(ClosedHere())

    # --- times ----------------------------------------------------------------------------------------------

    def _look_later(self) -> None:
        shortest = min(time for time in self.options.times if time is not None)
        seconds = min(max(shortest / 8, _SHORTEST_LOOK), _LONGEST_LOOK)
        self._look_timer = self._serving().loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """Looks at the times of all connections. One timer serves them all."""
        self._look_timer = None
        now = self.now()
        for connection in self.table.all():
            if connection.transport is not None and not connection.lost:
                self._look_at(connection, now)
        if self.on_look is not None:
            self.on_look(now)
        if len(self.table) and not self.closed and self._look_timer is None:
            self._look_later()

    def _look_at(self, connection: Connection, now: float) -> None:
        options = self.options
        if connection.stalled(now, options.send_timeout):
            connection.cut(SlowReader())
        elif connection.end is not None:
            return
        elif self.draining:
            self.close_if_done(connection)
        elif not connection.reads:
            connection.excuse(now)
        elif connection.finished:
            if self.half_closed.is_overdue(connection, now):
                connection.close_half()
        else:
            reason = self._overdue(connection, now)
            if reason is not None:
                connection.cut(reason)

    def _overdue(self, connection: Connection, now: float) -> ConnectionEnd | None:
        options = self.options
        first, frame, idle = options.first_byte_timeout, options.frame_timeout, options.idle_timeout
        if first is not None and not connection.heard and now - connection.since >= first:
            return NoFirstByte()
        if frame is not None and connection.begun and now - connection.begun >= frame:
            return FrameTimeout()
        if idle is not None and now - connection.last >= idle:
            return ConnectionIdle()
        return None

    def is_done(self, connection: Connection) -> bool:
        """Returns True if a peer that has ended its side has its answers. All its frames were delivered."""
        return not self.answers or self.half_closed.is_done(connection)

    # --- the end --------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Reads no more, and closes the connections that wait for nothing."""
        self.draining = True
        for connection in self.table.all():
            connection.drain()
            self.close_if_done(connection)

    def idle_connections(self) -> list[Connection]:
        """Returns the connections with which another program could continue."""
        return [connection for connection in self.table.all() if connection.idle]

    def close_if_done(self, connection: Connection) -> None:
        """Closes a connection that has its answers, while the node stops."""
        if connection.answered >= connection.asked and not connection.pending and not connection.unsent:
            connection.close(Drained())

    @property
    def drained(self) -> bool:
        """True if no frame waits to be delivered, and none to be sent."""
        return not any(connection.pending or connection.unsent for connection in self.table.all())

    def close(self, reason: Exception) -> list[MessageTCPDisconnect]:
        """Breaks all connections off. Returns the messages of their ends. A second call does nothing."""
        if self.closed:
            return []
        self.closed = True
        self.flush()
        for timer in (self._look_timer, *self._retries.values()):
            if timer is not None:
                timer.cancel()
        self._retries.clear()
        messages = []
        for connection in self.table.all():
            made = connection.transport is not None
            connection.finish(Drained() if self.draining else ServerEnded(reason))
            self.counters.dropped += connection.waiting
            self.table.remove(connection)
            if made:
                self._count_end(connection)
                if self.options.announce and connection.announced:
                    messages.append(connection.disconnected())
        if self.inflow is not None:
            self.counters.dropped += self.inflow.close()
        return messages

    def statistics(self) -> TCPStatistics:
        """Returns a snapshot of the counters."""
        counters = self.counters
        counters.open = sum(connection.transport is not None for connection in self.table.all())
        connections = self.table.all()
        held = 0 if self.inflow is None else self.inflow.waiting
        own = [one.inflow.waiting for one in connections if one.inflow is not None and one.inflow is not self.inflow]
        counters.waiting = held + sum(own) + sum(connection.waiting for connection in connections)
        return counters.snapshot()
