"""The endpoint of a DTLS socket: what it receives was decrypted, and what it sends will be encrypted.

It takes the place of a plain endpoint under a UDP server or client. So all that these do with datagrams, they do with
the messages of DTLS; and what an endpoint does below, with the datagrams of the network (`allow`, `rate_limit`, `tap`),
it does as always.
"""

from __future__ import annotations

import asyncio
import socket
from array import array
from collections import deque
from collections.abc import Callable
from itertools import accumulate
from typing import Any, Protocol

from ...datagram import Address, DatagramBatch, MessageUDP
from ...datagram.address import mapped
from ...datagram.endpoint import Endpoint
from ...datagram.message import received
from .queue import DTLSQueue, Encrypts


class Sessions(Encrypts, Protocol):
    """The sessions of one socket, of a server or a client."""

    def opened(self, loop: asyncio.AbstractEventLoop) -> None:
        """The socket is read from now on."""

    def hear(self, message: MessageUDP) -> tuple[list[bytes], Any]:
        """Takes a received datagram. Returns the messages in it, and their packet info."""

    def silent(self) -> None:
        """A request had no reply in time."""

    def close(self) -> None:
        """Ends all sessions, whose peers are sent close_notify."""


class DTLSEndpoint(Endpoint):
    """An endpoint whose datagrams are DTLS records.

    sessions: of its peers.
    """

    def __init__(self, sock: socket.socket, sessions: Any, **settings: Any) -> None:
        self.sessions = sessions  # first: the queue asks them
        Endpoint.__init__(self, sock, queue=DTLSQueue, **settings)
        self._rest: deque[MessageUDP] = deque()
        queue: Any = self.send_queue
        queue.sessions = sessions
        self.send, self.send_many = queue.send, queue.send_many
        sessions.bind(self)

    def open(self, loop: asyncio.AbstractEventLoop, on_readable: Callable[[], None]) -> None:
        Endpoint.open(self, loop, on_readable)
        self.sessions.opened(loop)

    def send_raw(self, addr: Address, datagrams: list[bytes], info: Any) -> list[tuple[int, Exception]]:
        """Sends datagrams that are encrypted already, or belong to a handshake. Returns those that failed."""
        queue: Any = self.send_queue
        failed: list[tuple[int, Exception]] = queue.send_raw(
            [MessageUDP(None, addr, data, False, None, info) for data in datagrams]
        )
        return failed

    # --- reading ------------------------------------------------------------------------------------------

    def receive(self, limit: int, reads: int, id: Any, octets: int = 0x7FFFFFFF) -> list[MessageUDP]:
        rest = self._rest
        if not rest:
            for message in Endpoint.receive(self, limit, reads, id, octets):
                self._hear_one(message, id)
        if len(rest) <= limit:
            found = list(rest)
            rest.clear()
            return found
        found = [rest.popleft() for _ in range(limit)]
        self.look_again()
        return found

    def receive_lone(self, id: Any, reads: int) -> MessageUDP | None:
        rest = self._rest
        if not rest:
            message = Endpoint.receive_lone(self, id, reads)
            if message is None:
                return None
            self._hear_one(message, id)
            if len(rest) == 1:
                return rest.popleft()
        if rest:
            self.look_again()
        return None

    def receive_batch(self, reads: int, id: Any) -> DatagramBatch | None:
        messages = self.receive(reads, reads, id)
        return DatagramBatch(id, self._columns(messages)) if messages else None

    def _hear_one(self, message: MessageUDP, id: Any) -> None:
        messages, info = self.sessions.hear(message)
        for data in messages:
            self._rest.append(received(id, message.addr, data, info))

    def _columns(self, messages: list[MessageUDP]) -> Any:
        """Returns messages as a backend reads a batch: see `batch.Columns`."""
        lengths = array("i", [len(message.data) for message in messages])
        offsets = array("i", accumulate(lengths, initial=0))
        offsets.pop()
        family = self.sock.family
        six = family == socket.AF_INET6
        hosts = [mapped(each.addr)[0] if six else each.addr[0] for each in messages]
        return (
            b"".join([message.data for message in messages]),
            _nothing,
            sum(lengths),
            offsets.tobytes(),
            lengths.tobytes(),
            b"".join([socket.inet_pton(family, host.partition("%")[0]) for host in hosts]),
            array("H", [message.addr[1] for message in messages]).tobytes(),
            list(range(len(messages))),
            [message.addr for message in messages],
            [message.info for message in messages],
            [],
        )

    def resume(self) -> None:
        Endpoint.resume(self)
        if self._rest:
            self.look_again()

    def silent(self) -> Callable[[], object]:
        before = Endpoint.silent(self)

        def silent() -> object:
            self.sessions.silent()
            return None if before is None else before()

        return silent

    def close(self) -> list[tuple[MessageUDP, Any]]:
        if not self.closed:
            self.sessions.close()
        return Endpoint.close(self)


def _nothing() -> None:
    """Returns a batch's memory, of which nobody is the owner."""
