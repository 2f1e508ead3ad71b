"""Listening: what a client's socket brings, on its way to the requests; what belongs to none goes to the receiver."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from ...datagram import Endpoint, MessageUDP, MessageUDPError
from ...gen import Target
from ...node.processes.meta_process import MetaRunner
from ..udp_server.reader import TURN, WAKE_SHARE
from .options import UDPClientOptions
from .requests import Requests


class Listening:
    """What one client reads. While requests are open it reads whatever becomes of the rest: their callers may be those
    whose mailbox is full.

    gone: called with the error if the socket itself is gone.
    delivered, dropped, dropped_newest, dropped_oldest, pauses: counters, as of `Incoming`; of what belongs to no
        request.
    """

    def __init__(
        self,
        process: MetaRunner,
        endpoint: Endpoint,
        requests: Requests,
        to: Target,
        options: UDPClientOptions,
        gone: Callable[[OSError], None],
    ) -> None:
        low_water = options.high_water // 4 if options.low_water is None else options.low_water
        self._process = process
        self._endpoint = endpoint
        self._requests = requests
        self._reads = options.receive_batch
        self._delivers = options.stray == "deliver"
        self._inlet = process.inlet(to, options.high_water, low_water, self.resume, "pause")
        self._gone = gone
        self._wake_seconds = process.core.options.slice_seconds * WAKE_SHARE
        self._received: list[MessageUDP] = []
        self._room = 0
        self._due = False
        self._open = True
        self.delivered = self.dropped = self.dropped_newest = self.dropped_oldest = self.pauses = 0

    def readable(self) -> None:
        """The socket has datagrams, or an error: as `Incoming.readable`. An error hides what came before it, which is
        read before anything is made of that."""
        self._due = False
        if self._endpoint.closed:
            return
        if self._read():
            self._requests.judge()
        else:
            self._read_later()

    def _read(self) -> bool:
        """False: there may be more."""
        end = perf_counter() + self._wake_seconds
        while True:
            reported = self._requests.reported
            if self._receive():
                if not self._process.run_with(self._deliver):
                    return False
            elif self._requests.reported == reported:
                return True
            if perf_counter() >= end:
                return False

    def _read_later(self) -> None:
        if not self._due:
            self._due = True
            self._process.loop.call_soon(self.readable)

    def report(self, report: MessageUDPError) -> None:
        """An ICMP error."""
        self._requests.report(report)
        self._read_later()

    def _receive(self) -> bool:
        """False: nothing was read."""
        asks = len(self._requests) > 0
        self._room = self._room_for_rest()
        if not asks and self._room == 0:
            self.pauses += self._open
            self._endpoint.pause()
            return False
        try:
            limit = TURN if asks else min(self._room, TURN)
            self._received = self._endpoint.receive(limit, self._reads, self._process.id)
        except OSError as error:
            self._endpoint.pause()
            self._gone(error)
            return False
        return bool(self._received)

    def _room_for_rest(self) -> int:
        if not self._open:
            return 0
        return self._inlet.room() if self._delivers else TURN

    def _deliver(self) -> None:
        received, self._received = self._received, []
        rest = self._requests.sort(received)
        if not rest:
            return
        fits = rest[: self._room]
        taken = self._inlet.put(fits) if fits else 0
        self.delivered += taken
        self.dropped += len(fits) - taken
        self.dropped_newest += len(rest) - len(fits)

    def resume(self) -> None:
        """Reads, or reads again: the receiver has room, or a request is open."""
        if (self._open or self._requests) and not self._endpoint.reading:
            self._endpoint.resume()

    def redirect(self, to: Target) -> None:
        """What belongs to no request goes to `to` from now on."""
        self._inlet.redirect(to)
        self.resume()

    def drain(self) -> None:
        """Reads for open requests only."""
        self._open = False
        if not self._requests:
            self._endpoint.pause()

    def close(self) -> None:
        """Reads no more, and waits for nobody."""
        self._open = False
        self._inlet.close()

    @property
    def receiver(self) -> Target:
        """The address that goes to what belongs to no request."""
        return self._inlet.receiver

    def waiting_for(self) -> str:
        """What it waits for, where it does: "mailbox", "receiver"; or ""."""
        return "" if self._endpoint.reading else self._inlet.waiting_for
