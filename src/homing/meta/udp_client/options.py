"""Options of the UDP client, and of a single request."""

from __future__ import annotations

import enum
import random
from collections.abc import Callable, Hashable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from ...datagram import Address, Endpoint, MessageUDP, SocketOptions, Tap
from ...gen import BadOption, Target
from ...gen.options import check_choice, check_type, set_integer, set_number, set_seconds
from ..udp.options import Overflow, check_queues
from .request_ids import Ids, RequestId

Key: TypeAlias = Callable[[Any], Hashable]
Match: TypeAlias = Callable[[bytes, MessageUDP], object]
Stray: TypeAlias = Literal["deliver", "drop"]


class Heard(enum.Enum):
    """The type of `HEARD`."""

    HEARD = "heard"

    def __repr__(self) -> str:
        return "HEARD"


HEARD: Final = Heard.HEARD
"""A `match` returns this for a datagram that confirms the request and promises a later answer, such as the empty
acknowledgement of CoAP (RFC 7252, section 5.2.2): the request continues waiting, and is not sent again."""

MOST_REPLIES = 1024
"""Most replies that are collected if `collect` is not given: a flood of replies must not fill the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UDPClientOptions(SocketOptions):
    """Options of a UDP client, and the defaults of its requests.

    host: address or name of the peer. A name is resolved when the client is started, without blocking the node. If it
        has several addresses, they are tried in order, the IPv4 addresses first: the next one if this machine has no
        route to an address, or if an ICMP error says that there is no receiver, before the peer has ever answered. It
        is resolved again, at most once in 30 seconds, if the client fails: there is no receiver, three requests in a
        row had no reply, or this machine has another address.
    port: port of the peer.
    local_host, local_port: a numeric address of this machine, and a port, to bind. "", 0: the system chooses.
    connected: the kernel accepts datagrams from the peer only, and reports ICMP errors. False: for peers that answer
        from another address, or are many (broadcast, multicast); datagrams that are not from the peer are dropped,
        unless `any_source` accepts them.
    any_source: accept replies, and other datagrams, from any address. Only with `connected=False`.
    process: receiver of the datagrams that answer no request: a registered name, a PID or an alias. None: the parent.
    stray: "deliver": datagrams that answer no request go to `process`. "drop": they are dropped.
    timeout: seconds to wait for a reply until the request is sent again.
    backoff: factor by which each wait is longer than the one before.
    max_timeout: seconds that a wait grows to.
    jitter: the random part of each wait, 0 to 1: with 0.1 it takes 90 to 100 % of its time.
    retries: how often a request is sent again at most. By default it fails after 0.5 + 1 + 2 = 3.5 seconds, within the
        5 seconds of a `call`.
    random: returns numbers from 0 to 1, as `random.random` does. For tests.
    key: finds the request that a reply belongs to: a function of the payload whose result, for example the message's
        id, is the same for a request and its reply, and different for all open requests. It finds the request by one
        look-up, however many are open. If it raises for a reply, the reply belongs to no request.
    reply_key: as `key`, for replies, if they have the id at another place. None: `key`.
    match: decides whether a reply belongs to a request: a function of the request's payload and the reply's
        `MessageUDP`, called for each open request, the oldest first. `HEARD`: the peer says that it will answer later.
        If it raises, that request fails with `gen.MatchFailed`. Not together with `key`. With `id`, it is called only
        for the request with the reply's id, and may refuse the reply. None, without `key` and `id`: any reply belongs
        to the oldest open request.
    id: where requests and replies have an id, as a `RequestId`, in the place of `key` and `reply_key`. For each request
        the client draws an id that nobody can predict and that no open request to that peer has, writes it into a copy
        of the payload, and finds the request of a reply by it. The reply is returned with the caller's own id: many
        callers may choose the same. A request that is too short to have an id fails with `BadOption`, one that finds
        all ids in use with `gen.RequestIdsTaken`. An id is drawn again only after the last `remember` requests, or half
        as many as there are ids.
    coalesce: with an `id`: a function of the payload, with zeros in the place of the id, whose result is the same for
        requests that may share one question. A request to the same address while such a question is open is not sent:
        each caller gets the answer, or the error, and waits for it with a timeout of its own. None as a result: the
        request is not shared. If it raises, the request fails with `gen.MatchFailed`. Requests with a `match` of their
        own, or that collect replies, are never shared.
    ports: number of local ports, each with a socket of its own, by which requests leave: for each request one is drawn
        at random, and only a reply to that port is an answer. A port that has served for a second moves to another
        number as soon as no request is open there (Linux): an attacker who cannot see the requests has to guess it (RFC
        5452). Keys have to be different only among the requests of one port: a request whose key is taken at one port
        leaves by another.
    guess_alarm: with a `key` or an `id`: number of replies that answer nothing, while requests are open. As many within
        a minute are logged and counted (`alarms`). A request during which as many came accepts no reply, but fails with
        `gen.SpoofingSuspected` when one comes, because it may be a guess that was right. None: they are only counted
        (`guesses`).
    max_requests: most open requests; one more fails with `gen.TooManyRequests`.
    remember: number of ended requests whose key is kept, so that late and double replies are recognized. For requests
        without a key it is at most 64.
    buffer_size, high_water, low_water, high_water_bytes, receive_batch, gro: as for a UDP server. While a request is
        open, reading does not pause for the mailbox of `process`: datagrams that answer no request are then dropped
        (`dropped_newest`).
    send_queue, send_overflow, on_error, tap: as for a UDP server; a tap is not changed while the client runs.
    """

    host: str
    port: int
    local_host: str = ""
    local_port: int = 0
    connected: bool = True
    any_source: bool = False
    process: Target | None = None
    stray: Stray = "deliver"
    timeout: float = 0.5
    retries: int = 2
    backoff: float = 2.0
    max_timeout: float = 30.0
    jitter: float = 0.1
    random: Callable[[], float] = random.random
    key: Key | None = None
    reply_key: Key | None = None
    match: Match | None = None
    id: RequestId | None = None
    coalesce: Key | None = None
    ports: int = 1
    guess_alarm: int | None = None
    max_requests: int = 1024
    remember: int = 1024
    buffer_size: int = 65535
    high_water: int = 1024
    low_water: int | None = None
    high_water_bytes: int = 8 * 1024 * 1024
    receive_batch: int = 64
    gro: bool = True
    send_queue: int = 1024
    send_overflow: Overflow = "drop_newest"
    on_error: Target | None = None
    tap: Tap | None = None

    def __post_init__(self) -> None:
        SocketOptions.__post_init__(self)
        if not isinstance(self.host, str) or not self.host:
            raise BadOption("host", self.host, "give the address or the name of the peer")
        set_integer(self, "port", 1, 65535)
        check_type("local_host", self.local_host, str, 'a numeric address of this machine, or ""')
        set_integer(self, "local_port", 0, 65535)
        check_type("connected", self.connected, bool, "True or False")
        check_type("any_source", self.any_source, bool, "True or False")
        if self.any_source and self.connected:
            raise BadOption("any_source", True, "a connected socket receives from its peer only; set connected=False")
        if self.dual_stack:
            raise BadOption("dual_stack", True, "this is for servers; a client has the address family of its peer")
        check_queues(self)
        check_type("tap", self.tap, (Tap, type(None)), "a meta.Tap or None")
        check_choice("stray", self.stray, get_args(Stray))
        set_integer(self, "ports", 1, 1024)
        if self.ports > 1 and (self.local_port or self.groups):
            name = "local_port" if self.local_port else "groups"
            raise BadOption(name, getattr(self, name), "this is for one socket; leave ports=1")
        if self.guess_alarm is not None:
            set_integer(self, "guess_alarm", 1)
            if self.key is None and self.id is None:
                raise BadOption(
                    "guess_alarm", self.guess_alarm, "give id or key: without them no reply is known to be wrong"
                )
        set_integer(self, "max_requests", 1)
        set_integer(self, "remember", 0, 1 << 24)
        self._check_functions()
        set_seconds(self, "max_timeout")
        if self.timeout is None or self.retries is None or self.backoff is None or self.jitter is None:
            raise BadOption("timeout", self.timeout, "give numbers for timeout, retries, backoff and jitter")
        _check_timing(self)

    def make_endpoint(self, sock: Any, **settings: Any) -> Endpoint:
        """Returns the endpoint of a socket. Internal."""
        return Endpoint(sock, **settings)

    def _check_functions(self) -> None:
        if self.id is not None and self.reply_key is not None:
            raise BadOption("reply_key", self.reply_key, "id is read from replies as well; leave reply_key None")
        for name in ("key", "reply_key", "match", "coalesce", "random"):
            function = getattr(self, name)
            if function is not None and not callable(function):
                raise BadOption(name, function, "give a function, or None")
        if self.random is None:
            raise BadOption("random", None, "give a function such as random.random")
        if self.match is not None and self.key is not None:
            raise BadOption("match", self.match, "key finds the request already; give match or key, not both")
        if self.reply_key is not None and self.key is None:
            raise BadOption("reply_key", self.reply_key, "give key as well, for the requests")
        if self.id is None and self.coalesce is not None:
            raise BadOption("coalesce", self.coalesce, "give id as well: each caller gets the answer with its own")
        if self.id is not None:
            check_type("id", self.id, RequestId, "a meta.RequestId, such as meta.RequestId(at=0, size=2), or None")
            if self.key is not None:
                raise BadOption("key", self.key, "id finds the request already; give id or key, not both")


@dataclass(frozen=True, slots=True)
class UDPRequest:
    """A request for a UDP client, for `call`, with settings of its own. None: as in `UDPClientOptions`.

    data: the payload, any bytes-like object. It is copied.
    to: address of another peer, as in the socket module; replies must come from there. Only with `connected=False`.
    match: as in the options, and in the place of the client's `key`. With the client's `id`: as well.
    timeout, retries, backoff, jitter: as in the options.
    collect: number of replies to answer with, as a list. Equal replies of one peer count once.
    within: seconds for which replies are collected; the answer is a list of all, or of the first `collect` (1024 by
        default).
    at_least: least number of replies: while there are fewer, the request is sent again, and in the end it fails. None:
        `collect`, or 1 with `within`.
    """

    data: Any
    _: KW_ONLY
    to: Address | None = None
    match: Match | None = None
    timeout: float | None = None
    retries: int | None = None
    backoff: float | None = None
    jitter: float | None = None
    collect: int | None = None
    within: float | None = None
    at_least: int | None = None

    def __post_init__(self) -> None:
        if self.match is not None and not callable(self.match):
            raise BadOption("match", self.match, "give a function, or None")
        _check_timing(self)
        if self.collect is not None:
            set_integer(self, "collect", 1)
        if self.within is not None:
            set_seconds(self, "within")
        if self.at_least is not None:
            if self.collect is None and self.within is None:
                raise BadOption("at_least", self.at_least, "give collect or within as well")
            set_integer(self, "at_least", 0, self.collect or MOST_REPLIES)


def _check_timing(options: UDPClientOptions | UDPRequest) -> None:
    if options.timeout is not None:
        set_seconds(options, "timeout")
    if options.retries is not None:
        set_integer(options, "retries", 0, 1000)
    for name, low, high in (("backoff", 1, 1000), ("jitter", 0, 1)):
        if getattr(options, name) is not None:
            set_number(options, name, low, high)


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of one request: its own, or else those of the options.

    waits: seconds to wait for a reply, by the number of the wait, without the random part.
    collect: number of replies that are enough. 0: one, which is the answer itself.
    keyed: the client's key finds the request of a reply.
    """

    waits: tuple[float, ...]
    jitter: float
    random: Callable[[], float]
    retries: int
    match: Match | None
    keyed: bool
    collect: int = 0
    at_least: int = 1
    within: float | None = None

    def seconds(self, number: int) -> float:
        """Returns the seconds that the wait of that number lasts."""
        seconds = self.waits[number]
        if not self.jitter:
            return seconds
        try:
            return float(seconds * (1 - self.jitter * min(1.0, max(0.0, self.random()))))
        except Exception:
            return seconds  # if the user's `random` fails, the request still needs its timer


def default_plan(options: UDPClientOptions) -> Plan:
    """Returns the settings of requests without settings of their own."""
    return Plan(
        _waits(options.timeout, options.backoff, options.retries, options.max_timeout),
        options.jitter,
        options.random,
        options.retries,
        options.match,
        options.key is not None or options.id is not None,
    )


def key_functions(options: UDPClientOptions) -> tuple[Key | None, Key | None]:
    """Returns the functions that read the key of a request and of a reply; None if there are none."""
    if options.id is not None:
        read = Ids(options.id).read
        return read, read
    return options.key, options.reply_key or options.key


def plan_of(request: UDPRequest, options: UDPClientOptions, default: Plan) -> Plan:
    """Returns the settings of a request that has its own, which come before those of `default`."""
    retries = options.retries if request.retries is None else request.retries
    waits = default.waits
    if (request.timeout, request.backoff, request.retries) != (None, None, None):
        timeout = options.timeout if request.timeout is None else request.timeout
        backoff = options.backoff if request.backoff is None else request.backoff
        waits = _waits(timeout, backoff, retries, options.max_timeout)
    several = request.collect is not None or request.within is not None
    enough = request.collect or (MOST_REPLIES if several else 0)
    at_least = request.at_least
    if at_least is None:
        at_least = enough if request.collect is not None and request.within is None else 1
    return Plan(
        waits,
        default.jitter if request.jitter is None else request.jitter,
        default.random,
        retries,
        default.match if request.match is None else request.match,
        default.keyed and (request.match is None or options.id is not None),
        enough,
        at_least,
        request.within,
    )


def _waits(timeout: float, backoff: float, retries: int, most: float) -> tuple[float, ...]:
    waits = [timeout]
    for _ in range(retries):
        waits.append(max(timeout, min(most, waits[-1] * backoff)))
    return tuple(waits)
