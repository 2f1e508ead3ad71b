"""The requests of a UDP client: each is sent, sent again, and answered, or fails.

Each request waits by one timer of the loop. Its caller is looked at when that fires and when a reply comes: one that
waits no more has ended it.

Rule 1: a timer gives up, or repeats, only when everything that had come by then has been read (`read_all`).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Hashable
from time import perf_counter
from typing import Any

from ...datagram import Address, Endpoint, MessageUDP, MessageUDPError, format_address
from ...datagram.address import canonical_untrusted, is_from, unscoped
from ...datagram.errors import (
    MatchFailed,
    PeerRefused,
    PeerUnreachable,
    RequestKeyTaken,
    RequestTimeout,
    TooManyRequests,
)
from ...gen import PID, BadOption, NotAllowed, Ref, as_reason
from ...gen.foreign import class_name, inner_key, is_a, safe_key
from ...node.processes.meta_process import MetaRunner
from .ended_requests import Memory
from .open_requests import SHORT, OpenRequests, Table
from .options import HEARD, UDPClientOptions, UDPRequest, default_plan, plan_of
from .request import Request

_HINTS = {
    errno.EMSGSIZE: "the datagram is longer than the system or the path takes; send less at a time",
    errno.ECONNREFUSED: "nobody has that port there",
    errno.EHOSTUNREACH: "no such host answers, or a firewall forbids it",
    errno.ENETUNREACH: "there is no route to it",
    errno.EACCES: "a broadcast address takes broadcast=True; else a firewall forbids it",
    errno.EPERM: "a firewall of this machine forbids it",
}

_HEADERS = {2: 28, 4: 48}
"""Bytes of the headers of IP and UDP, by the fields of an address: of IPv4, of IPv6."""

_UNREAD_SECONDS = 1.0
"""A timer waits so long, at most, until everything was read: under a flood the socket may never be empty, but by then
what had come when the timer was due was read: more than any receive buffer holds."""


class Requests:
    """The requests of one client.

    last: the number of the last one that was opened.
    memory: those that have ended.
    drops_rest: datagrams that belong to no request are dropped.
    read_all: reads what has come; False: there may be more.
    unanswered: called when a wait is over without a reply, before the request is sent again or fails.
    requests and so on: see `UDPClientStatistics`.
    """

    __slots__ = (
        "_checks_source",
        "_default",
        "_endpoint",
        "_guards",
        "_key",
        "_loop",
        "_open",
        "_options",
        "_peer",
        "_process",
        "_read_at",
        "_reply_key",
        "_unread_since",
        "answered",
        "cancelled",
        "dropped_stray",
        "drops_rest",
        "duplicate",
        "failed",
        "heard",
        "last",
        "late",
        "memory",
        "read_all",
        "refused",
        "rejected",
        "replies",
        "requests",
        "retransmits",
        "stray",
        "timeouts",
        "unanswered",
    )

    read_all: Callable[[], bool]

    def __init__(self, process: MetaRunner, endpoint: Endpoint, peer: Address, options: UDPClientOptions) -> None:
        self._process = process
        self._loop = process.loop
        self._endpoint = endpoint
        self._options = options
        self._peer = peer
        self.drops_rest = options.stray == "drop"
        self._checks_source = not options.connected and not options.any_source
        self._guards = False
        self._default = default_plan(options)
        self._key = options.key
        self._reply_key = options.reply_key or options.key
        self._open = OpenRequests(peer, connected=options.connected, any_source=options.any_source)
        self.memory = Memory(options.remember, per_peer=self._checks_source)
        self.unanswered: Callable[[], object] | None = None
        self._read_at = float("-inf")  # when nothing was left to read, by the loop's clock
        self._unread_since = 0.0  # since when something was left whenever a timer looked; 0: nothing was
        self.last = 0
        self.requests = self.answered = self.timeouts = self.refused = self.failed = self.cancelled = 0
        self.rejected = self.retransmits = self.replies = self.late = self.duplicate = self.heard = 0
        self.stray = self.dropped_stray = 0

    def __len__(self) -> int:
        return self._open.count

    def check_source(self) -> None:
        """From now on looks at where replies come from, also if the socket is connected: for a moment it was not."""
        if self._options.connected:
            self._guards = self._checks_source = True

    # --- a request ----------------------------------------------------------------------------------------

    def ask(self, sender: PID, ref: Ref, wanted: Any) -> None:
        """Sends a request, and answers it when that has an outcome. Raises what is wrong with it."""
        try:
            request = self._made(sender, ref, wanted)
        except Exception:
            self.rejected += 1
            raise
        self.requests += 1
        try:
            self._transmit(request)
        except Exception as error:
            self._count_failed(error)
            raise self._explained(request, error) from None
        self.last += 1
        request.number = self.last
        request.is_open = True
        self._open.add(request)
        self._set_timer(request)

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
            if same is not None and not self._gave_up(same):
                raise RequestKeyTaken(inner_key(key))
        return Request(sender, ref, plan, MessageUDP(None, to, data), peer, key, self._loop.time())

    def _destination(self, to: Address) -> tuple[Address, Address]:
        """Returns where the request goes, and that in the form in which a reply names it."""
        if self._options.connected:
            raise BadOption("to", to, f"the client is connected to {self._peer}; set connected=False")
        peer = canonical_untrusted(to)
        if peer is None:
            return to, to  # sending will say what is wrong with it
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
        """A datagram that had to wait was sent, or was not."""
        request.queued = False
        if error is not None and request.is_open:
            self._fail(request, error)

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
        if not request.is_open or self._gave_up(request):
            return
        if self.unanswered is not None:
            self.unanswered()
        if request.final:
            self._conclude(request)
            return
        if request.lacks and not self._repeat(request):
            return
        self._set_timer(request)

    def _has_read(self, due: float) -> bool:
        """Reads what has come by `due`. False: there may be more."""
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
        """Sends it again, unless it is still to leave. False: it has failed by that."""
        if request.queued:
            return True
        self.retransmits += 1
        try:
            self._transmit(request)
        except Exception as error:
            self._fail(request, error)
            return False
        return True

    def _gave_up(self, request: Request) -> bool:
        """True if its caller waits no more: then it ends."""
        if self._process.awaited(request.ref):
            return False
        self.cancelled += 1
        self._end(request, None)
        return True

    def sweep(self) -> None:
        """Ends the requests whose callers wait no more."""
        for request in self._open.all():
            self._gave_up(request)

    # --- replies ------------------------------------------------------------------------------------------

    def take_replies(self, messages: list[MessageUDP]) -> list[MessageUDP]:
        """Gives replies to their requests. Returns those that belong to none, unless they are to be dropped."""
        if not self._open.count and not self.memory and not self._checks_source:
            self.stray += len(messages)
            self.dropped_stray += len(messages) if self.drops_rest else 0
            return [] if self.drops_rest else messages
        return [message for message in messages if not self._take(message)]

    def _take(self, message: MessageUDP) -> bool:
        """True if it goes no further."""
        if self._guards and not self._is_from_peer(message.addr):
            return self._stray(message)
        source, key = message.addr, self._reply_key_of(message)
        if self._offer(self._open.answered_by(source), key, message):
            return True
        scoped = self._checks_source and len(source) == 4 and source[3]
        if scoped and self._offer(self._open.answered_by(unscoped(source)), key, message):
            return True  # it was asked without a scope: it may be on any link
        remembered = self.memory.find(key, message, self._loop.time())
        if remembered is not None:
            self._count_again(remembered)
            return True
        return self._stray(message)

    def _offer(self, table: Table | None, key: Hashable, message: MessageUDP) -> bool:
        """Gives `message` to the request of `table` that it is a reply to. False: it is none."""
        if table is None:
            return False
        request = table.keyed.get(key) if key is not None else None
        if request is not None:
            self._give(request, message)
            return True
        return len(table.others) > 0 and self._scan(table, message)

    def _stray(self, message: MessageUDP) -> bool:
        """Counts what belongs to no request. True if it is dropped."""
        self.stray += 1
        drops = self.drops_rest or (self._checks_source and not self._is_from_peer(message.addr))
        self.dropped_stray += drops
        return drops

    def _reply_key_of(self, message: MessageUDP) -> Hashable:
        """None: there is none."""
        if self._reply_key is None:
            return None
        try:
            key: Hashable = self._reply_key(message.data)
            if type(key) is not bytes and type(key) is not int:
                key = safe_key(key)
        except BaseException:
            return None  # whatever a network brings: it belongs to no request
        return key

    def _is_from_peer(self, source: Address) -> bool:
        """True for the client's own peer."""
        return is_from(source, self._peer)

    def _scan(self, table: Table, message: MessageUDP) -> bool:
        """Gives `message` to the oldest request without a key that it is a reply to. False: it is none."""
        broken = []
        found = None
        said: object = True
        for request in table.others.values():
            try:
                said = request.matches(message)
                if said:
                    found = request
                    break
            except BaseException as error:
                broken.append((request, MatchFailed("match", as_reason(error))))
        for request, failure in broken:
            self._fail(request, failure)
        if found is None:
            return False
        if said is HEARD:
            self._hear(found)
        else:
            self._give(found, message)
        return True

    def _hear(self, request: Request) -> None:
        """The peer has the request, and answers later."""
        if self._gave_up(request):
            self.late += 1
        elif request.heard:
            self.duplicate += 1
        else:
            self.replies += 1
            self.heard += 1
            request.heard = True

    def _give(self, request: Request, message: MessageUDP) -> None:
        if self._gave_up(request):
            self.late += 1
        elif not request.plan.collect:
            self.replies += 1
            self._answer(request, message, message)
        elif (seen := (message.addr, message.data)) in request.seen:
            self.duplicate += 1
        else:
            self.replies += 1
            request.seen.add(seen)
            request.replies.append(message)
            if len(request.replies) >= request.plan.collect:
                self._answer(request, request.replies, message)

    def _count_again(self, answered: bool) -> None:
        if answered:
            self.duplicate += 1
        else:
            self.late += 1

    # --- ends ---------------------------------------------------------------------------------------------

    def _end(self, request: Request, answer: MessageUDP | None) -> None:
        request.timer.cancel()
        request.is_open = False
        self._open.remove(request)
        self.memory.keep(request, answer, self._loop.time())

    def _answer(self, request: Request, answer: Any, last: MessageUDP) -> None:
        self.answered += 1
        self._end(request, last)
        self._process.send_response(request.sender, request.ref, answer)

    def _conclude(self, request: Request) -> None:
        """Its time is over."""
        if request.plan.collect and len(request.replies) >= request.plan.at_least:
            self.answered += 1
            self._end(request, request.replies[-1] if request.replies else None)
            self._process.send_response(request.sender, request.ref, request.replies)
            return
        self.timeouts += 1
        self._end(request, None)
        seconds = self._loop.time() - request.started
        peer = format_address(request.message.addr)
        error = RequestTimeout(peer, request.attempts, seconds, tuple(request.replies))
        self._process.send_response_error(request.sender, request.ref, error)

    def _fail(self, request: Request, error: Exception) -> None:
        self._count_failed(error)
        self._end(request, None)
        self._process.send_response_error(request.sender, request.ref, self._explained(request, error))

    def _count_failed(self, error: Exception) -> None:
        if isinstance(error, OSError):
            self.refused += 1
        else:
            self.failed += 1

    def _explained(self, request: Request, error: Exception) -> Exception:
        if not isinstance(error, OSError) or isinstance(error, PeerUnreachable):
            return error
        kind = PeerRefused if error.errno == errno.ECONNREFUSED else PeerUnreachable
        return kind(format_address(request.message.addr), error, _HINTS.get(error.errno or 0, ""))

    def close(self) -> None:
        """The client ends. Who waits is told by the runtime."""
        for request in self._open.all():
            self.cancelled += 1
            self._end(request, None)

    def move(self, endpoint: Endpoint, peer: Address) -> None:
        """Asks another address of the peer: what is open to the one before is sent there, with all its attempts."""
        before, self._peer, self._endpoint = self._peer, peer, endpoint
        moved = self._open.move(before, peer)
        for request in moved:
            request.message = MessageUDP(None, peer, request.message.data)
            request.attempts = request.waits = 0
            request.final = request.queued = False
            request.timer.cancel()
        for request in moved:
            if request.is_open and self._repeat(request):
                self._set_timer(request)

    # --- ICMP errors --------------------------------------------------------------------------------------

    def fail_reported(self, report: MessageUDPError, last: int) -> None:
        """An ICMP error about a canonical address fails the requests to it, of those up to number `last`. One that was
        too long is sent again: the system knows by now what the path takes, and cuts it or refuses it.

        If it quotes a datagram by whose key no request to that peer is open, it is about none that has a key: it comes
        late, or was forged. So it costs the same, however many are open.
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
                self._fail(request, report.error)
            return
        for request in table.longer_than(_longest(report), last):
            self._was_too_long(request, report)

    def _quoted(self, table: Table, data: bytes) -> Request | None:
        """The open request that the beginning of a payload is of."""
        try:
            request: Request | None = table.keyed.get(safe_key(self._key(data)))  # type: ignore[misc]
        except BaseException:
            return None  # whatever a network brings
        return request if request is not None and request.message.data.startswith(data) else None

    def _was_too_long(self, request: Request, report: MessageUDPError) -> None:
        if request.lacks:
            self._repeat(request)
        elif not request.heard:
            self._fail(request, report.error)


def _longest(report: MessageUDPError) -> int:
    """Bytes of payload that the path takes, after "too long"."""
    return SHORT if report.mtu is None else report.mtu - _HEADERS[len(report.addr)]


def _is_longer(request: Request, report: MessageUDPError) -> bool:
    return len(request.message.data) > max(SHORT, _longest(report))


def _as_bytes(data: Any) -> bytes:
    """A copy, which nobody changes until it is sent again."""
    if type(data) is bytes:
        return data
    if not is_a(data, (bytes, bytearray, memoryview)):
        raise NotAllowed(f"a UDP client asks with bytes or a meta.UDPRequest, not {class_name(data)}")
    return bytes(data)
