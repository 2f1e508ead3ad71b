"""The open requests of a UDP client: which reply belongs to which, and when one is sent again.

Each request waits by one timer of the loop. Its caller is looked at when that fires and when a reply comes: one that
waits no more has ended it.
"""

from __future__ import annotations

import errno
from collections.abc import Hashable, Iterator
from typing import Any

from ...datagram import Address, Endpoint, MessageUDP, MessageUDPError, format_address
from ...datagram.address import plain
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
from .options import UDPClientOptions, UDPRequest, default_plan, plan_of
from .request import Request

_HINTS = {
    errno.EMSGSIZE: "the datagram is longer than the system or the path takes; send less at a time",
    errno.ECONNREFUSED: "nobody has that port there",
    errno.EHOSTUNREACH: "no such host answers, or a firewall forbids it",
    errno.ENETUNREACH: "there is no route to it",
    errno.EACCES: "a broadcast address takes broadcast=True; else a firewall forbids it",
    errno.EPERM: "a firewall of this machine forbids it",
}


class Requests:
    """The open requests of one client.

    last: the number of the last one that was opened.
    memory: those that have ended.
    drops_rest: datagrams that belong to no request are dropped.
    requests and so on: see `UDPClientStatistics`.
    """

    __slots__ = (
        "_checks_source",
        "_default",
        "_endpoint",
        "_key",
        "_keyed",
        "_loop",
        "_options",
        "_others",
        "_peer",
        "_process",
        "_reply_key",
        "answered",
        "cancelled",
        "dropped_stray",
        "drops_rest",
        "duplicate",
        "failed",
        "last",
        "late",
        "memory",
        "refused",
        "rejected",
        "replies",
        "requests",
        "retransmits",
        "stray",
        "timeouts",
    )

    def __init__(self, process: MetaRunner, endpoint: Endpoint, peer: Address, options: UDPClientOptions) -> None:
        self._process = process
        self._loop = process.loop
        self._endpoint = endpoint
        self._options = options
        self._peer = peer
        self.drops_rest = options.stray == "drop"
        self._checks_source = not options.connected and not options.any_source
        self._default = default_plan(options)
        self._key = options.key
        self._reply_key = options.reply_key or options.key
        self._keyed: dict[Hashable, Request] = {}
        self._others: dict[int, Request] = {}  # by their number, the oldest first
        self.memory = Memory(options.remember)
        self.last = 0
        self.requests = self.answered = self.timeouts = self.refused = self.failed = self.cancelled = 0
        self.rejected = self.retransmits = self.replies = self.late = self.duplicate = 0
        self.stray = self.dropped_stray = 0

    def __len__(self) -> int:
        return len(self._keyed) + len(self._others)

    def _open(self) -> Iterator[Request]:
        yield from tuple(self._keyed.values())
        yield from tuple(self._others.values())

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
        if request.plan.keyed:
            self._keyed[request.key] = request
        else:
            self._others[self.last] = request
        self._set_timer(request)

    def _made(self, sender: PID, ref: Ref, wanted: Any) -> Request:
        plan, data, to = self._default, wanted, self._peer
        if is_a(wanted, UDPRequest):
            plan, data = plan_of(wanted, self._options, self._default), wanted.data
            to = self._destination(wanted.to)
        data = _as_bytes(data)
        key = self._key_of(data) if plan.keyed else None
        if len(self) >= self._options.max_requests:
            self.sweep()
            if len(self) >= self._options.max_requests:
                raise TooManyRequests(self._options.max_requests)
        if plan.keyed and key in self._keyed and not self._gave_up(self._keyed[key]):
            raise RequestKeyTaken(inner_key(key))
        return Request(sender, ref, plan, MessageUDP(None, to, data), key, self._loop.time())

    def _destination(self, to: Address | None) -> Address:
        if to is None:
            return self._peer
        if self._options.connected:
            raise BadOption("to", to, f"the client is connected to {self._peer}; set connected=False")
        return to

    def _key_of(self, data: bytes) -> Hashable:
        try:
            key: Hashable = safe_key(self._key(data))  # type: ignore[misc]
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
        if error is not None and self._is_open(request):
            self._fail(request, error)

    def _is_open(self, request: Request) -> bool:
        table: dict[Any, Request] = self._keyed if request.plan.keyed else self._others
        return table.get(request.key if request.plan.keyed else request.number) is request

    # --- time ---------------------------------------------------------------------------------------------

    def _set_timer(self, request: Request) -> None:
        request.timer = self._loop.call_later(request.wait(self._loop.time()), self._wait_over, request)

    def _wait_over(self, request: Request) -> None:
        if self._gave_up(request):
            return
        if request.final:
            self._conclude(request)
            return
        if request.lacks and not self._repeat(request):
            return
        self._set_timer(request)

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
        for request in self._open():
            self._gave_up(request)

    # --- replies ------------------------------------------------------------------------------------------

    def take_replies(self, messages: list[MessageUDP]) -> list[MessageUDP]:
        """Gives replies to their requests. Returns those that belong to none, unless they are to be dropped."""
        if not self._keyed and not self._others and not self.memory and not self._checks_source:
            self.stray += len(messages)
            self.dropped_stray += len(messages) if self.drops_rest else 0
            return [] if self.drops_rest else messages
        return [message for message in messages if not self._take(message)]

    def _take(self, message: MessageUDP) -> bool:
        """True if it goes no further."""
        key = self._reply_key_of(message)
        request = self._keyed.get(key) if key is not None else None
        if request is None or not self._from_peer(message.addr, request.message.addr):
            request = self._scan(message)
        if request is not None:
            self._give(request, message)
            return True
        remembered = self.memory.find(key, message, self._from_peer, self._loop.time())
        if remembered is not None:
            self._count_again(remembered)
            return True
        self.stray += 1
        drops = self.drops_rest or not self._from_peer(message.addr, self._peer)
        self.dropped_stray += drops
        return drops

    def _reply_key_of(self, message: MessageUDP) -> Hashable:
        """None: there is none."""
        if self._reply_key is None:
            return None
        try:
            key: Hashable = safe_key(self._reply_key(message.data))
        except BaseException:
            return None  # whatever a network brings: it belongs to no request
        return key

    def _from_peer(self, source: Address, to: Address) -> bool:
        """True if what comes from `source` may be a reply to what was sent to `to`."""
        return not self._checks_source or source == to or plain(source)[:2] == plain(to)[:2]

    def _scan(self, message: MessageUDP) -> Request | None:
        """The oldest request without a key that `message` is a reply to."""
        broken = []
        found = None
        for request in self._others.values():
            if not self._from_peer(message.addr, request.message.addr):
                continue
            try:
                if request.matches(message):
                    found = request
                    break
            except BaseException as error:
                broken.append((request, MatchFailed("match", as_reason(error))))
        for request, failure in broken:
            self._fail(request, failure)
        return found

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
        if request.plan.keyed:
            del self._keyed[request.key]
        else:
            del self._others[request.number]
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
        for request in self._open():
            self.cancelled += 1
            self._end(request, None)

    # --- ICMP errors --------------------------------------------------------------------------------------

    def fail_reported(self, report: MessageUDPError, last: int) -> None:
        """An ICMP error fails the requests that it is about, of those up to number `last`. One that was too long is
        sent again: the system knows by now what the path takes, and cuts it or refuses it."""
        for request in self._open():
            if request.number > last or not request.is_met_by(report):
                continue
            if report.errno == errno.EMSGSIZE and request.lacks:
                self._repeat(request)
            else:
                self._fail(request, report.error)


def _as_bytes(data: Any) -> bytes:
    """A copy, which nobody changes until it is sent again."""
    if type(data) is bytes:
        return data
    if not is_a(data, (bytes, bytearray, memoryview)):
        raise NotAllowed(f"a UDP client asks with bytes or a meta.UDPRequest, not {class_name(data)}")
    return bytes(data)
