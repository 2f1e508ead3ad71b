"""Sends the requests of a UDP client, and repeats each until it ends.

Each request waits by one timer of the loop. When the timer fires, and when a reply comes, the client checks whether the
caller still waits, and ends the request if it does not.

Rule 1: a request fails, or is repeated, by its timer only when all datagrams that had come by then were read
(`read_all`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from time import perf_counter
from typing import Any

from ...datagram import Address, Endpoint, MessageUDP, format_address
from ...datagram.address import canonical_untrusted
from ...datagram.errors import MatchFailed, RequestIdsTaken, RequestKeyTaken
from ...gen import PID, BadOption, NotAllowed, Ref, TooManyRequests, as_reason
from ...gen.copying import refuse_copy
from ...gen.foreign import class_name, inner_key, is_a, safe_key
from ...node.processes.meta_process import MetaRunner
from .guesses import Guesses
from .icmp_failures import ICMPFailures
from .options import UDPClientOptions, UDPRequest, default_plan, key_functions, plan_of
from .outcomes import Outcomes
from .questions import Question, Questions
from .replies import Replies
from .request import Request
from .request_ids import Ids

_UNREAD_SECONDS = 1.0
"""Most seconds that a timer waits until everything was read. Under a flood the socket may never be empty, but in that
time more is read than any receive buffer holds: all that had come when the timer was due."""


class Requests:
    """The requests of one client.

    matcher: takes the replies out of the received datagrams. icmp_failures: fails requests for ICMP errors.
    read_all: reads the datagrams that have come; returns False if there may be more.
    unanswered: called when a wait is over without a reply, before the request is sent again or fails.
    requests, rejected, retransmits, shared: see `UDPClientStatistics`.
    """

    __slots__ = (
        "_default",
        "_endpoint",
        "_guesses",
        "_ids",
        "_key",
        "_loop",
        "_open",
        "_options",
        "_outcomes",
        "_peer",
        "_questions",
        "_read_at",
        "_suspicious",
        "_unread_since",
        "icmp_failures",
        "matcher",
        "read_all",
        "rejected",
        "requests",
        "retransmits",
        "shared",
        "unanswered",
    )

    read_all: Callable[[], bool]

    __reduce__ = refuse_copy

    def __init__(
        self,
        process: MetaRunner,
        endpoint: Endpoint,
        peer: Address,
        options: UDPClientOptions,
        guesses: Guesses,
        questions: Questions,
    ) -> None:
        self._loop = process.loop
        self._endpoint = endpoint
        self._options = options
        self._peer = peer
        self._guesses = guesses
        self._suspicious = guesses.limit is not None
        self._default = default_plan(options)
        self._key, _ = key_functions(options)
        self._ids = None if options.id is None else Ids(options.id)
        self._questions = questions
        self._outcomes = Outcomes(process, peer, options)
        self._open = self._outcomes.open
        self.matcher = Replies(process, self._outcomes, peer, options, guesses)
        self.icmp_failures = ICMPFailures(self._outcomes, self._key, self._repeat)
        self.unanswered: Callable[[], object] | None = None
        self._read_at = float("-inf")  # when everything was last read, by the loop's clock
        self._unread_since = 0.0  # since when each timer has found unread datagrams; 0: the last one has not
        self.requests = self.rejected = self.retransmits = self.shared = 0

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
        place: Hashable = None
        try:
            request = self._made(sender, ref, wanted)
            if self._ids is not None:
                place = self._place_of(request)
                if place is not None and self._shares(request, place):
                    return
                self._identify(request)
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
        if place is not None:
            self._questions.add(self, request, place, request.started)

    def _made(self, sender: PID, ref: Ref, wanted: Any) -> Request:
        plan, data = self._default, wanted
        to = peer = self._peer
        if type(wanted) is not bytes and is_a(wanted, UDPRequest):
            plan, data = plan_of(wanted, self._options, self._default), wanted.data
            if wanted.to is not None:
                to, peer = self._destination(wanted.to)
        data = _as_bytes(data)
        key = None
        if plan.keyed:
            key = self._key_of(data) if self._ids is None else self._ids.of_request(data)
        if self._open.count >= self._options.max_requests:
            self.sweep()
            if self._open.count >= self._options.max_requests:
                raise TooManyRequests(self._options.max_requests)
        if plan.keyed and self._ids is None:
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

    # --- an id of the client's, and a question that is shared ---------------------------------------------

    def _place_of(self, request: Request) -> Hashable:
        """Returns what the requests that may share one question have in common; None if `request` shares none."""
        coalesce, plan = self._options.coalesce, request.plan
        if coalesce is None or plan.collect or plan.match is not self._default.match:
            return None
        try:
            key = safe_key(coalesce(self._ids.blank(request.message.data)))  # type: ignore[union-attr]
        except BaseException as error:
            raise MatchFailed("coalesce", as_reason(error)) from error
        return None if key is None else (None if request.peer == self._peer else request.peer, key)

    def _shares(self, request: Request, place: Hashable) -> bool:
        """Lets `request` wait for the answer to a question that is open at any port. Returns False if there is none."""
        question = self._questions.find(place, request.started)
        return question is not None and question.owner.join(request, question)

    def join(self, request: Request, question: Question) -> bool:
        """Opens `request`, which shares `question`. Returns False if that has ended meanwhile."""
        self._set_timer(request)  # calls the user's `random`
        if not question.members:
            request.timer.cancel()
            request.waits = 0
            return False
        request.ids, request.own_id = self._ids, request.key
        self._outcomes.join(request, question)
        self.requests += 1
        self.shared += 1
        return True

    def _identify(self, request: Request) -> None:
        """Draws the id of `request`."""
        request.own_id, request.ids = request.key, self._ids
        try:
            request.key = self._drawn(request.peer)
        except RequestIdsTaken:
            self.sweep()
            request.key = self._drawn(request.peer)
        self._write_id(request)

    def _drawn(self, peer: Address, other: Address | None = None) -> bytes:
        """Returns an id that no open request to `peer`, or to `other`, has."""
        used = self._open.keys_at(peer) if other is None else {**self._open.keys_at(peer), **self._open.keys_at(other)}
        keeps = partial(self._outcomes.memory.keeps, peer)
        return self._ids.draw(format_address(peer), used.__contains__, len(used), keeps)  # type: ignore[union-attr]

    def _write_id(self, request: Request) -> None:
        message = request.message
        data = self._ids.write(message.data, request.key)  # type: ignore[union-attr, arg-type]
        request.message = MessageUDP(None, message.addr, data)

    # --- sending ------------------------------------------------------------------------------------------

    def _transmit(self, request: Request) -> None:
        request.queued = self._endpoint.send(request.message, request) is None
        if request.question is None:
            request.attempts += 1
        else:
            request.question.transmitted(self._loop.time())

    def sent(self, request: Request, error: Exception | None) -> None:
        """Called when the datagram of a request that had to wait was sent or refused."""
        request.queued = False
        if not request.is_open and request.question is not None and request.question.members:
            request = request.question.first
        if error is not None and request.is_open:
            self._outcomes.fail(request, error)

    # --- time ---------------------------------------------------------------------------------------------

    def _set_timer(self, request: Request) -> None:
        now = request.began = self._loop.time()
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
        if request.lacks and not request.is_covered and not self._repeat(request):
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
            self._free_key(request, before, peer)
        moved = self._open.move(before, peer)
        for request in moved:
            request.message = MessageUDP(None, peer, request.message.data)
            request.attempts = request.waits = 0
            request.final = request.queued = request.heard = False
            request.timer.cancel()
        for request in moved:
            if request.is_open and (not request.is_first or self._repeat(request)):
                self._set_timer(request)

    def _free_key(self, request: Request, before: Address, peer: Address) -> None:
        """Draws another id for `request` to `before`, whose id is also that of a request to `peer`. It fails if the
        client does not draw the ids."""
        if self._ids is None:
            self._outcomes.fail(request, RequestKeyTaken(inner_key(request.key)))
            return
        try:
            drawn = self._drawn(peer, before)
        except RequestIdsTaken as error:
            self._outcomes.fail(request, error)
            return
        self._open.remove(request)
        for each in request.sharing():
            each.key = drawn
            self._write_id(each)
        self._open.add(request)


def _as_bytes(data: Any) -> bytes:
    """Returns `data` as bytes: a copy, unchanged when the request is sent again."""
    if type(data) is bytes:
        return data
    if not is_a(data, (bytes, bytearray, memoryview)):
        raise NotAllowed(f"a request to a UDP client is bytes or a meta.UDPRequest, not {class_name(data)}")
    return bytes(data)


_COUNTED: dict[type, tuple[str, ...]] = {
    Requests: ("requests", "shared", "rejected", "retransmits"),
    Outcomes: ("answered", "timeouts", "refused", "failed", "cancelled"),
    Replies: ("replies", "late", "duplicate", "heard", "stray", "dropped_stray"),
}
