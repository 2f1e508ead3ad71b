"""One connection: uvicorn's HTTP/1.1 protocol, with bounds for those who connect, send or read too slowly or too much.

uvicorn has no time limit for a request that does not end, nor for a client that does not read; both are here.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections import Counter
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from ...datagram.sockets.forks import close_in_forks
from .guard import own_headers

REQUEST_SECONDS = 10.0
"""Seconds for a whole request to arrive, from the connection or, of further ones, the first byte on."""

READ_SECONDS = 30.0
"""Seconds for which a client may read nothing of what waits for it. Then its connection is closed."""

CLOSE_SECONDS = 1.0
"""Seconds until a refused connection is cut. At once, the kernel would drop the refusal with what the client still
sends."""

LONGEST_HEAD = 16384
"""Most bytes of a request line and headers."""

MOST_FROM_ONE = 32
"""Most connections of one address: a browser opens six, a Prometheus one."""

_SILENT = logging.Logger("homing.observe.http", logging.CRITICAL + 1)
"""uvicorn logs each bad request; a stranger decides how many there are. Faults of ours are logged by `guard`."""


class Connections:
    """The connections of one server.

    most: how many there may be.
    closed: the server ends, also a connection that was accepted a moment ago.
    idle: those that wait for a further request, the longest first.
    """

    def __init__(self, most: int) -> None:
        self.closed = False
        self.idle: dict[Connection, None] = {}
        self._most = most
        self._count: Counter[str] = Counter()

    def add(self, address: str) -> bool:
        """Counts one more connection. Returns False if there are too many, and none is idle that can be closed for
        it."""
        self._count[address] += 1
        if self._count[address] > MOST_FROM_ONE:
            return self._close_idle([each for each in self.idle if each.address == address])
        return self._count.total() <= self._most or self._close_idle(list(self.idle))

    def _close_idle(self, idle: list[Connection]) -> bool:
        """Closes the one that has been idle longest."""
        if idle:
            del self.idle[idle[0]]
            idle[0].shutdown()
        return bool(idle)

    def remove(self, address: str) -> None:
        """Counts the end of a connection."""
        self._count[address] -= 1
        if not self._count[address]:
            del self._count[address]


class Connection(H11Protocol):
    """One connection. address: of the client."""

    def __init__(self, *args: Any, open_connections: Connections, **options: Any) -> None:
        super().__init__(*args, **options)
        self.logger = _SILENT
        self.access_log = False
        self._open = open_connections
        self.address = ""
        self._refused = False
        self._incomplete: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._descriptor = transport.get_extra_info("socket").fileno()
        close_in_forks(self, _close_in_fork)
        self.address = self.client[0] if self.client else ""
        if not self._open.add(self.address):
            self._refuse(503, "too many connections; close some, or try again later")
        elif self._open.closed:
            transport.abort()
        else:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.remove(self.address)
        self._open.idle.pop(self, None)
        self._descriptor = -1
        for timer in (self._incomplete, self._unread):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    # --- requests -----------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if not self._refused:
            super().data_received(data)

    def handle_events(self) -> None:
        super().handle_events()
        self._watch()

    def _watch(self) -> None:
        """Limits the time for a request that has not arrived as a whole. Further bytes do not extend it."""
        state = self.conn.their_state
        between = state is h11.IDLE and self.cycle is not None and not self.conn.trailing_data[0]  # uvicorn limits that
        if between and not self._refused:
            self._open.idle.setdefault(self)
        else:
            self._open.idle.pop(self, None)
        arriving = state in (h11.IDLE, h11.SEND_BODY) and not between and not self._refused
        if not arriving and self._incomplete is not None:
            self._incomplete.cancel()
            self._incomplete = None
        elif arriving and self._incomplete is None:
            self._incomplete = self.loop.call_later(REQUEST_SECONDS, self._too_slow)

    def _too_slow(self) -> None:
        self._refuse(408, f"the request did not arrive within {REQUEST_SECONDS:g} s")

    def _should_upgrade(self) -> bool:
        return False

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no HTTP request. uvicorn calls it where it handles the error of h11."""
        status = getattr(sys.exception(), "error_status_hint", 400)
        self._refuse(status, "this is no valid HTTP/1.1 request" if status == 400 else _TOO_LONG)

    def _refuse(self, status: int, message: str) -> None:
        """Answers once more, if no response has begun, and closes the connection."""
        if self._refused:
            return
        self._refused = True
        self._watch()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE) or (
            self.cycle and not self.cycle.response_complete
        ):
            self.transport.abort()
            return
        phrase = HTTPStatus(status).phrase
        body = json.dumps({"error": {"code": phrase.lower().replace(" ", "_"), "message": message}}).encode()
        head = f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        lines = b"".join(b"%b: %b\r\n" % header for header in (*own_headers(), (b"connection", b"close")))
        self.transport.write(head.encode() + lines + b"\r\n" + body)
        with suppress(OSError):  # the client has closed the connection
            self.transport.write_eof()
        self.loop.call_later(CLOSE_SECONDS, self.transport.abort)

    # --- responses ----------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


_TOO_LONG = f"the request line and the headers are longer than {LONGEST_HEAD} bytes"


def _close_in_fork(connection: Connection) -> None:
    """Makes the descriptor one of /dev/null, so that its number stays taken until the copy of the socket is closed."""
    if connection._descriptor >= 0:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.dup2(null, connection._descriptor, inheritable=False)
        finally:
            os.close(null)
