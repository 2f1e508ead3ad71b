"""Sends the requests of a UDP client, and repeats each until it ends.

Each request waits by one timer of the loop. When the timer fires, and when a reply comes, the client checks whether the
caller still waits, and ends the request if it does not.

Rule 1: a request fails, or is repeated, by its timer only when all datagrams that had come by then were read
(`read_all`).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Hashable
from time import perf_counter
from typing import Any

from ...datagram import Address, Endpoint, MessageUDP, MessageUDPError
from ...datagram.address import canonical_untrusted, unscoped
from ...datagram.errors import MatchFailed, RequestKeyTaken, TooManyRequests
from ...gen import PID, BadOption, NotAllowed, Ref, as_reason
from ...gen.copying import refuse_copy
from ...gen.foreign import class_name, inner_key, is_a, safe_key
from ...node.processes.meta_process import MetaRunner
from .guesses import Guesses
from .open_requests import SHORT, Table
from .options import UDPClientOptions, UDPRequest, default_plan, plan_of
from .outcomes import Outcomes
from .replies import Replies
from .request import Request

_HEADERS = {2: 28, 4: 48}
"""Bytes of the headers of IP and UDP, by the number of fields of an address: 2 for IPv4, 4 for IPv6."""

_UNREAD_SECONDS = 1.0
"""Most seconds that a timer waits until everything was read. Under a flood the socket may never be empty, but in that
time more is read than any receive buffer holds: all that had come when the timer was due."""


class Requests:
    """The requests of one client.

    matcher: takes the replies out of the received datagrams.
    read_all: reads the datagrams that have come; returns False if there may be more.
    unanswered: called when a wait is over without a reply, before the request is sent again or fails.
    requests, rejected, retransmits: see `UDPClientStatistics`.
    """

    __slots__ = (
        "_default",
        "_endpoint",
        "_guesses",
        "_key",
        "_loop",
        "_open",
        "_options",
        "_outcomes",
        "_peer",
        "_read_at",
        "_suspicious",
        "_unread_since",
        "matcher",
        "read_all",
        "rejected",
        "requests",
        "retransmits",
        "unanswered",
    )

    read_all: Callable[[], bool]

    __reduce__ = refuse_copy

    def __init__(
        self, process: MetaRunner, endpoint: Endpoint, peer: Address, options: UDPClientOptions, guesses: Guesses
    ) -> None:
        self._loop = process.loop
        self._endpoint = endpoint
        self._options = options
        self._peer = peer
        self._guesses = guesses
        self._suspicious = guesses.limit is not None
        self._default = default_plan(options)
        self._key = options.key
        self._outcomes = Outcomes(process, peer, options)
        self._open = self._outcomes.open
        self.matcher = Replies(process, self._outcomes, peer, options, guesses)
        self.unanswered: Callable[[], object] | None = None
        self._read_at = float("-inf")  # when everything was last read, by the loop's clock
        self._unread_since = 0.0  # since when each timer has found unread datagrams; 0: the last one has not
        self.requests = self.rejected = self.retransmits = 0

    def __len__(self) -> int:
        return self._open.count

    @property
    def answered(self) -> int:
        """Number of requests that were answered."""
        return self._outcomes.answered

    def call_on_timeout(self, function: Callable[[], None]) -> None:
        """Registers `function`, which must not raise, to be called when a request had no reply in time."""
        self._outcomes.on_timeout = function

    @property
    def last(self) -> int:
        """The number of the request that was opened last."""
        return self._outcomes.last

    def counters(self) -> dict[str, int]:
        """Returns the fields of `UDPClientStatistics` about requests and replies."""
        return {
            name: getattr(part, name) for part in (self, self._outcomes, self.matcher) for name in _COUNTED[type(part)]
        }

    def sweep(self) -> None:
        """Ends the requests whose callers no longer wait."""
        self._outcomes.sweep()

    def close(self) -> None:
        """Ends all requests with the client. The runtime sends the callers their error."""
        self._outcomes.close()

    # --- a request ----------------------------------------------------------------------------------------

    def ask(self, sender: PID, ref: Ref, wanted: Any) -> None:
        """Sends a request, and answers the call when the request has ended. Raises an error if it cannot be sent."""
        try:
            request = self._made(sender, ref, wanted)
        except Exception:
            self.rejected += 1
            raise
        self.requests += 1
        try:
            self._transmit(request)
        except Exception as error:
            raise self._outcomes.not_sent(request, error) from None
        if self._suspicious:
            request.guesses = self._guesses.total
        self._set_timer(request)  # before `add`: it calls the user's `random`, which may end the client
        self._outcomes.add(request)

    def _made(self, sender: PID, ref: Ref, wanted: Any) -> Request:
        plan, data = self._default, wanted
        to = peer = self._peer
        if type(wanted) is not bytes and is_a(wanted, UDPRequest):
            plan, data = plan_of(wanted, self._options, self._default), wanted.data
            if wanted.to is not None:
                to, peer = self._destination(wanted.to)
        data = _as_bytes(data)
        key = self._key_of(data) if plan.keyed else None
        if self._open.count >= self._options.max_requests:
            self.sweep()
            if self._open.count >= self._options.max_requests:
                raise TooManyRequests(self._options.max_requests)
        if plan.keyed:
            same = self._open.same_key(peer, key)
            if same is not None and not self._outcomes.gave_up(same):
                raise RequestKeyTaken(inner_key(key))
        return Request(sender, ref, plan, MessageUDP(None, to, data), peer, key, self._loop.time())

    def _destination(self, to: Address) -> tuple[Address, Address]:
        """Returns the destination of a request, and the same in the form in which the source of a reply is given."""
        if self._options.connected:
            raise BadOption("to", to, f"the client is connected to {self._peer}; set connected=False")
        peer = canonical_untrusted(to)
        if peer is None:
            return to, to  # an invalid address: sending raises the error
        return (*peer[:2], to[2], peer[3]) if len(peer) == 4 and len(to) > 2 and to[2] else peer, peer

    def _key_of(self, data: bytes) -> Hashable:
        try:
            key: Hashable = self._key(data)  # type: ignore[misc]
            if type(key) is not bytes and type(key) is not int:
                key = safe_key(key)
            if key is None:
                raise ValueError("a request needs a key, not None")
        except BaseException as error:
            raise MatchFailed("key", as_reason(error)) from error
        return key

    def _transmit(self, request: Request) -> None:
        request.queued = self._endpoint.send(request.message, request) is None
        request.attempts += 1

    def sent(self, request: Request, error: Exception | None) -> None:
        """Called when the datagram of a request that had to wait was sent or refused."""
        request.queued = False
        if error is not None and request.is_open:
            self._outcomes.fail(request, error)

    # --- time ---------------------------------------------------------------------------------------------

    def _set_timer(self, request: Request) -> None:
        now = self._loop.time()
        seconds = request.wait(now)
        request.due = now + seconds
        request.timer = self._loop.call_later(seconds, self._wait_over, request)

    def _wait_over(self, request: Request) -> None:
        if not self._has_read(request.due):
            request.timer = self._loop.call_soon(self._wait_over, request)
            return
        if not request.is_open or self._outcomes.gave_up(request):
            return
        if self.unanswered is not None:
            self.unanswered()
        if request.final:
            self._outcomes.conclude(request)
            return
        if request.lacks and not self._repeat(request):
            return
        self._set_timer(request)

    def _has_read(self, due: float) -> bool:
        """Reads the datagrams that have come by `due`. Returns False if there may be more."""
        if due <= self._read_at:
            return True
        now = perf_counter()
        if self.read_all():
            self._read_at = self._loop.time()
            self._unread_since = 0.0
            return True
        if not self._unread_since:
            self._unread_since = now
        return now - self._unread_since > _UNREAD_SECONDS

    def _repeat(self, request: Request) -> bool:
        """Sends `request` again, unless it still waits in the send queue. Returns False if it has failed by that."""
        if request.queued:
            return True
        self.retransmits += 1
        try:
            self._transmit(request)
        except Exception as error:
            self._outcomes.fail(request, error)
            return False
        return True

    def move(self, endpoint: Endpoint, peer: Address) -> None:
        """Changes to another address of the peer: open requests to the former address are sent there, with all their
        attempts. A request whose key is taken there fails."""
        before, self._peer, self._endpoint = self._peer, peer, endpoint
        self.matcher.move(peer)
        for request in self._open.taken_at(before, peer):
            self._outcomes.fail(request, RequestKeyTaken(inner_key(request.key)))
        moved = self._open.move(before, peer)
        for request in moved:
            request.message = MessageUDP(None, peer, request.message.data)
            request.attempts = request.waits = 0
            request.final = request.queued = request.heard = False
            request.timer.cancel()
        for request in moved:
            if request.is_open and self._repeat(request):
                self._set_timer(request)

    # --- ICMP errors --------------------------------------------------------------------------------------

    def fail_reported(self, report: MessageUDPError, last: int) -> None:
        """Fails the requests up to number `last` to the canonical address that an ICMP error is about. A request that
        was too long is sent again: the system now knows the limit of the path, and fragments or refuses the datagram.

        If the error quotes a datagram whose key belongs to no open request to that peer, it is about no request with a
        key: it comes late, or was forged. So its cost does not depend on how many requests are open.
        """
        self._fail_among(self._open.sent_to(report.addr), report, last)
        if len(report.addr) == 4 and report.addr[3]:
            self._fail_among(self._open.sent_to(unscoped(report.addr)), report, last)

    def _fail_among(self, table: Table | None, report: MessageUDPError, last: int) -> None:
        if table is None:
            return
        too_long = report.errno == errno.EMSGSIZE
        keyed = True
        if self._key is not None and report.data:
            quoted = self._quoted(table, report.data)
            keyed = quoted is not None and quoted.number <= last
            if too_long and keyed and quoted is not None and _is_longer(quoted, report):
                self._was_too_long(quoted, report)
            if too_long:
                return
        if not too_long:
            for request in table.opened_until(last, keyed):
                self._outcomes.fail(request, report.error)
            return
        for request in table.longer_than(_longest(report), last):
            self._was_too_long(request, report)

    def _quoted(self, table: Table, data: bytes) -> Request | None:
        """Returns the open request whose payload begins with `data`, the quotation of an ICMP error; None if none."""
        try:
            request: Request | None = table.keyed.get(safe_key(self._key(data)))  # type: ignore[misc]
        except BaseException:
            return None  # any bytes may come from a network
        return request if request is not None and request.message.data.startswith(data) else None

    def _was_too_long(self, request: Request, report: MessageUDPError) -> None:
        if request.lacks:
            self._repeat(request)
        elif not request.heard:
            self._outcomes.fail(request, report.error)


def _longest(report: MessageUDPError) -> int:
    """Returns the longest payload that the path takes, by a report of "too long"."""
    return SHORT if report.mtu is None else report.mtu - _HEADERS[len(report.addr)]


def _is_longer(request: Request, report: MessageUDPError) -> bool:
    return len(request.message.data) > max(SHORT, _longest(report))


def _as_bytes(data: Any) -> bytes:
    """Returns `data` as bytes: a copy, unchanged when the request is sent again."""
    if type(data) is bytes:
        return data
    if not is_a(data, (bytes, bytearray, memoryview)):
        raise NotAllowed(f"a request to a UDP client is bytes or a meta.UDPRequest, not {class_name(data)}")
    return bytes(data)


_COUNTED: dict[type, tuple[str, ...]] = {
    Requests: ("requests", "rejected", "retransmits"),
    Outcomes: ("answered", "timeouts", "refused", "failed", "cancelled"),
    Replies: ("replies", "late", "duplicate", "heard", "stray", "dropped_stray"),
}
