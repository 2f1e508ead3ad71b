"""The open requests of a UDP client, and how each of them ends."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from ...datagram import Address, MessageUDP, format_address
from ...datagram.errors import PeerRefused, PeerUnreachable, RequestTimeout
from ...gen.copying import refuse_copy
from ...node.processes.meta_process import MetaRunner
from .ended_requests import Memory
from .open_requests import OpenRequests
from .options import UDPClientOptions
from .questions import Question
from .request import Request
from .request_ids import Ids

_HINTS = {
    errno.EMSGSIZE: "the datagram is longer than the system or the path takes; send less at a time",
    errno.ECONNREFUSED: "no program has that port there",
    errno.EHOSTUNREACH: "no such host answers, or a firewall forbids it",
    errno.ENETUNREACH: "there is no route to it",
    errno.EACCES: "a broadcast address needs broadcast=True; else a firewall forbids it",
    errno.EPERM: "a firewall of this machine forbids it",
}


class Outcomes:
    """The requests of one client, from their opening to their ends.

    open: the open requests. memory: the last ended requests.
    last: the number of the request that was opened last. changes: grows when a request is opened or ends.
    on_timeout: called when a request had no reply in time. Must not raise.
    answered, timeouts, refused, failed, cancelled: see `UDPClientStatistics`.
    """

    __slots__ = (
        "_loop",
        "_process",
        "answered",
        "cancelled",
        "changes",
        "failed",
        "last",
        "memory",
        "on_timeout",
        "open",
        "refused",
        "timeouts",
    )

    __reduce__ = refuse_copy

    def __init__(self, process: MetaRunner, peer: Address, options: UDPClientOptions) -> None:
        connected, any_source = options.connected, options.any_source
        self._process = process
        self._loop = process.loop
        self.open = OpenRequests(peer, connected=connected, any_source=any_source)
        remember = options.remember
        if options.id is not None:  # an id that is remembered is not drawn, so at least half of the ids stay free
            remember = min(remember, Ids(options.id).most // 2)
        self.memory = Memory(remember, per_peer=not connected and not any_source)
        self.on_timeout: Callable[[], None] | None = None
        self.last = self.changes = 0
        self.answered = self.timeouts = self.refused = self.failed = self.cancelled = 0

    def add(self, request: Request) -> None:
        """Opens `request`."""
        self._number(request)
        self.open.add(request)

    def join(self, request: Request, question: Question) -> None:
        """Opens `request`, which shares `question`."""
        question.join(request)
        self._number(request)
        self.open.join()

    def _number(self, request: Request) -> None:
        self.last += 1
        self.changes += 1
        request.number = self.last
        request.is_open = True

    def gave_up(self, request: Request) -> bool:
        """Ends `request` and returns True if its caller no longer waits."""
        if self._process.awaited(request.ref):
            return False
        self.cancelled += 1
        self._end(request, None)
        return True

    def sweep(self) -> None:
        """Ends the requests whose callers no longer wait."""
        for request in self.open.all():
            self.gave_up(request)

    def waiting(self, request: Request) -> Request | None:
        """Returns `request`, or the first of those that share its question, whose caller still waits. Ends the others
        before it. Returns None if there is none."""
        while not request.is_open or self.gave_up(request):
            question = request.question
            if question is None or not question.members:
                return None
            request = question.first
        return request

    def reply(self, request: Request, message: MessageUDP) -> None:
        """Ends `request`, and those that share its question, with a reply: each gets it with its own id."""
        if request.ids is None:
            self.answer(request, message, message)
            return
        for each in request.sharing():
            if each.is_open and not self.gave_up(each):
                self.answer(each, each.restored(message), message)

    def answer(self, request: Request, answer: Any, last: MessageUDP | None) -> None:
        """Ends `request` with an answer. last: the last reply."""
        self.answered += 1
        self._end(request, last)
        self._process.send_response(request.sender, request.ref, answer)

    def conclude(self, request: Request) -> None:
        """Ends `request`, whose time is over: with the collected replies if these are enough, else with an error."""
        if request.plan.collect and len(request.replies) >= request.plan.at_least:
            self.answer(request, request.replies, request.replies[-1] if request.replies else None)
            return
        self.timeouts += 1
        self._end(request, None)
        if self.on_timeout is not None and (request.question is None or not request.question.members):
            self.on_timeout()
        seconds = self._loop.time() - request.started
        peer = format_address(request.message.addr)
        error = RequestTimeout(peer, request.attempts, seconds, tuple(request.replies))
        self._process.send_response_error(request.sender, request.ref, error)

    def fail(self, request: Request, error: Exception) -> None:
        """Ends `request`, and those that share its question, with `error`."""
        for each in request.sharing():
            if each.is_open:
                explained = self.not_sent(each, error)
                self._end(each, None)
                self._process.send_response_error(each.sender, each.ref, explained)

    def not_sent(self, request: Request, error: Exception) -> Exception:
        """Counts a request that fails. Returns the error to answer with."""
        if not isinstance(error, OSError):
            self.failed += 1
            return error
        self.refused += 1
        if isinstance(error, PeerUnreachable):
            return error
        kind = PeerRefused if error.errno == errno.ECONNREFUSED else PeerUnreachable
        return kind(format_address(request.message.addr), error, _HINTS.get(error.errno or 0, ""))

    def close(self) -> None:
        """Ends all requests with the client. The runtime sends the callers their error."""
        for request in self.open.all():
            self.cancelled += 1
            self._end(request, None)

    def _end(self, request: Request, answer: MessageUDP | None) -> None:
        request.timer.cancel()
        request.is_open = False
        self.changes += 1
        if request.question is not None and (first := request.question.leave(request)) is not None:
            self.open.leave(request, first)
            return
        self.open.remove(request)
        self.memory.keep(request, answer, self._loop.time())
