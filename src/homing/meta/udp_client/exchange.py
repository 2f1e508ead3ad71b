"""The exchange of a started client with its peer: sends, reads, and matches replies to requests."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

from ...datagram import MessageUDP, MessageUDPError, Statistics, format_address
from ...datagram.address import is_same
from ...datagram.errors import BadAddress
from ...gen import NO_REPLY, PID, Ref, Target
from ...gen.foreign import is_a
from ...node.messaging.flow import Inlet
from ...node.processes.meta_process import MetaRunner
from ..udp.counters import add, count
from ..udp.inspection import socket_facts, warn_of_portable_backend, warn_of_small_buffers
from ..udp.options import flow_limits
from ..udp.outgoing import readdressed, take_payloads
from ..udp.reader import Reader
from ..udp.sender import Sender
from .connection import Connection
from .destination import Destination
from .guesses import Guesses
from .icmp_reports import ICMPReports
from .options import UDPClientOptions, UDPRequest
from .questions import Questions
from .request import Request
from .requests import Requests
from .statistics import UDPClientStatistics

KIND = "UDP client"


def is_request(thing: Any) -> bool:
    """Returns True for bytes-like objects and `UDPRequest`."""
    return is_a(thing, (bytes, bytearray, memoryview, UDPRequest))


_NOT_THERE = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENOPROTOOPT})


class Exchange:
    """The parts of a started client. The first exchange of a destination takes datagrams sent to the alias from the
    mailbox.

    connection: the socket, and the peer's address.
    requests: the open requests.
    sender: sends the requests, and the datagrams sent to the alias.
    reader: reads the socket, and lets `requests` take the replies.
    """

    def __init__(
        self,
        process: MetaRunner,
        connection: Connection,
        options: UDPClientOptions,
        gone: Callable[[OSError], None],
        guesses: Guesses,
        questions: Questions,
        destination: Destination,
    ) -> None:
        self._process = process
        self._destination = destination
        self._reconnects = 0  # of the previous sockets
        self._changes = 0
        self._guesses = guesses
        self._leads = not destination.exchanges
        destination.exchanges.append(self)
        self._options = options
        self._gone = gone
        self._refusal: MessageUDPError | None = None
        self._former: Statistics | None = None  # counters of the sockets to former addresses of the peer
        warn_of_portable_backend(process.log)
        self.requests = Requests(process, connection.endpoint, connection.peer, options, guesses, questions)
        self.requests.call_on_timeout(destination.timed_out)
        self._use(connection)

    def _use(self, connection: Connection) -> None:
        """Uses this socket and this address of the peer from now on."""
        self.connection = connection
        endpoint, peer = connection.endpoint, connection.peer
        process, options = self._process, self._options
        self._endpoint, self._peer = endpoint, peer
        take = partial(take_payloads, peer=peer, only=options.connected)
        self.sender = Sender(process, endpoint, kind=KIND, takes="bytes and MessageUDP", take=take)
        self.sender.serve(options, None)
        warn_of_small_buffers(process.log, KIND, endpoint, options)
        to = process.parent if options.process is None else options.process
        limits = flow_limits(options, "pause")
        self.reader = Reader(process, endpoint, to, limits, self._gone, id=process.id, matcher=self.requests.matcher)
        self._reports = ICMPReports(process, endpoint, self.reader, self.requests)
        self._follow_address()
        endpoint.send_queue.on_sent = self._sent_later
        endpoint.report_errors(self.report)
        self._destination.tap.apply(options.tap, process, self.sender, [endpoint])
        if self._leads:
            process.forwarder = self.sender

    def _follow_address(self) -> None:
        """Lets the socket continue from another address of this machine when the address that it is bound to ends."""
        self._changes = 0
        association = self._endpoint.association
        self.requests.unanswered = self._endpoint.silent()
        if association is None:
            return
        update = association.on_change

        def changed() -> None:
            if update is not None:
                update()
            self.requests.matcher.check_source()
            if association.is_dissolved or association.changes != self._changes:
                self._destination.failed()
            if association.changes == self._changes:
                return
            self._changes = association.changes
            local = format_address(self._endpoint.local_address)
            self.sender.warn("address", "the address of this machine has changed: %s continues from %s", KIND, local)

        association.on_change = changed

    def open(self) -> None:
        """Starts reading."""
        self._endpoint.open(self._process.loop, self._reports.readable)
        self.reader.resume()

    def move(self) -> bool:
        """Moves to another local port, which the system chooses. Returns False if requests are open, or if datagrams
        wait to be read or sent. Does nothing if the socket cannot be moved."""
        association = self._endpoint.association
        if len(self.requests):
            return False
        if association is None:
            return True
        return self._endpoint.send_queue.waiting == 0 and self._reports.read_all() and association.move()

    def divert(self, kind: type[Inlet]) -> None:
        """See `Reader.divert`."""
        self.reader.divert(kind)

    def redirect(self, to: Target) -> None:
        """Delivers datagrams that answer no request to `to` from now on."""
        self.reader.redirect(to)

    def drain(self) -> None:
        """Stops reading, except for open requests."""
        self.reader.drain()

    def warn_of_guesses(self) -> None:
        """Logs that there were as many wrong guesses as `guess_alarm`, at a bounded rate."""
        text = "%d replies from %s within a minute answer no request: somebody may be guessing (RFC 5452)"
        self.sender.warn("guesses", text, self._options.guess_alarm, format_address(self._peer))

    def drained(self) -> bool:
        """Returns True if nothing is to be sent, and no request waits for its reply."""
        if not self.requests:
            return self._endpoint.send_queue.waiting == 0
        self.requests.sweep()
        return False

    def close(self) -> None:
        """Ends all requests, and closes the socket."""
        self.requests.close()
        self.reader.close()
        self.sender.close(self._endpoint)

    # --- to the peer --------------------------------------------------------------------------------------

    def handle_message(self, message: Any) -> None:
        """Sends a datagram that came with a higher priority, or reports why it cannot. Warns of other messages."""
        own = readdressed(message, self._peer)
        if own is None:
            self.sender.handle_message(message)
        elif self._is_for_peer(own):
            self.sender.send([own])
        else:
            self.sender.failed(own, self._not_the_peer(own), None)

    def _is_for_peer(self, message: MessageUDP) -> bool:
        return not self._options.connected or is_same(message.addr, self._peer)

    def _not_the_peer(self, message: MessageUDP) -> BadAddress:
        error = BadAddress(message.addr, f"this client is connected to {format_address(self._peer)}; leave addr None")
        self._endpoint.send_queue.count_error(error)
        return error

    def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        """Sends a request, and answers the call when the request has ended. A `MessageUDP` is only sent, as by a UDP
        server."""
        if type(request) is not bytes and is_a(request, MessageUDP):
            return self._call_to_send(sender, ref, request)
        if type(request) is not bytes and not is_request(request):
            return self.sender.handle_call(sender, ref, request)
        try:
            self.ask(sender, ref, request)
        except Exception as error:
            self._process.send_response_error(sender, ref, error)
        return NO_REPLY

    def ask(self, sender: PID, ref: Ref, request: Any) -> None:
        """Sends a request. Raises an error if it cannot be sent."""
        self.requests.ask(sender, ref, request)
        if not self._endpoint.reading:
            self.reader.resume()

    def _call_to_send(self, sender: PID, ref: Ref, message: MessageUDP) -> Any:
        own = readdressed(message, self._peer)
        if own is not None and self._is_for_peer(own):
            return self.sender.handle_call(sender, ref, own)
        error = self.sender.failed(message, self._not_the_peer(message), ref)
        self._process.send_response_error(sender, ref, error)
        return NO_REPLY

    def _sent_later(self, message: MessageUDP, token: Any, size: int, error: Exception | None) -> None:
        if not isinstance(token, Request):
            self.sender.sent_later(message, token, size, error)
            return
        self.sender.go_on()
        self.requests.sent(token, error)

    def report(self, report: MessageUDPError) -> None:
        """Passes an ICMP error to the requests and to `on_error`."""
        if self._is_refusal(report):
            if self._refusal is None:
                self._refusal = report
                self._process.loop.call_soon(self._try_next)
        elif self._is_not_there(report):
            self._not_there(report)
        else:
            self._reports.add(report)
        if self.sender.reporter is not None:
            self.sender.reporter.tell(report)

    # --- the peer's other addresses -------------------------------------------------------------------------

    def _is_refusal(self, report: MessageUDPError) -> bool:
        """Returns True if the peer is not at this address, and there is another address to try."""
        return bool(self._destination.others) and self._is_not_there(report) and not self._destination.has_answered

    def _is_not_there(self, report: MessageUDPError) -> bool:
        return report.errno in _NOT_THERE and is_same(report.addr, self._peer)

    @property
    def has_answered(self) -> bool:
        """True if a datagram has come by the present socket."""
        return self._endpoint.backend.packets_in > 0

    @property
    def closed(self) -> bool:
        """True once the client has ended."""
        return self._endpoint.closed

    def read_all(self) -> None:
        """Reads the datagrams that have come, for a moment at most."""
        self._reports.readable()

    def _try_next(self) -> None:
        """Moves to the peer's next address, unless an answer came before the refusal."""
        refusal, self._refusal = self._refusal, None
        if refusal is None or self._endpoint.closed or self._destination.move_on(refusal):
            return
        self._not_there(refusal)

    def _not_there(self, report: MessageUDPError) -> None:
        """Handles a refusal from the peer's last address."""
        self._reports.add(report)
        self._destination.failed()

    def switch(self, connection: Connection) -> None:
        """Goes on with this socket, to another address of the peer: open requests are sent there."""
        before, sender, reader = self.connection, self.sender, self.reader
        was_open = reader.open
        self._former, self._refusal = self._of_socket(), None
        self._reconnects = self._reconnected()
        reader.close()
        self._use(connection)
        self.open()
        if not was_open:
            self.reader.drain()
        self.requests.move(connection.endpoint, connection.peer)
        sender.close(before.endpoint)
        self._destination.tap.detach(before.endpoint)

    def _reconnected(self) -> int:
        association = self._endpoint.association
        return self._reconnects + (0 if association is None else association.changes)

    # --- facts --------------------------------------------------------------------------------------------

    def statistics(self) -> UDPClientStatistics:
        """Returns the counters of the socket and of the requests."""
        of_socket = self._of_socket()
        counted: dict[str, Any] = {field.name: getattr(of_socket, field.name) for field in fields(Statistics)}
        counted |= self.requests.counters()
        if self._leads:
            counted |= self._destination.tap.counters()
        guesses = self._guesses
        return UDPClientStatistics(
            **counted,
            open=len(self.requests),
            reconnects=self._reconnected(),
            guesses=guesses.total,
            alarms=guesses.alarms,
        )

    def _of_socket(self) -> Statistics:
        """Returns the counters of the socket and of the previous sockets."""
        counted = Statistics(**{**count(self._endpoint, self.reader), **self.sender.counters()})
        return counted if self._former is None else add(self._former, counted)

    def facts(self) -> dict[str, Any]:
        """Returns the answer to `inspect_meta`."""
        facts = socket_facts(self.statistics(), self._process, self._endpoint, self.reader, self._options)
        facts.update(
            local=format_address(self._endpoint.local_address),
            peer=format_address(self._peer),
            connected=self._options.connected,
            **self._destination.tap.facts(),
        )
        return facts
