"""Options of the UDP server."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from ...act.pool.routing import Route
from ...datagram import Amplification, Endpoint, Existing, MessageUDP, RateLimit, ReplyGuard, SocketOptions, Tap
from ...datagram.policy.conditions import Condition
from ...datagram.policy.expressions import Field
from ...datagram.policy.networks import Network
from ...datagram.sockets.bpf import Program
from ...datagram.sockets.options import steering_of
from ...datagram.sockets.shared import seat
from ...gen import BadOption, ProcessBehavior, ProcessOptions, Target
from ...gen.foreign import safe_repr
from ...gen.options import check_choice, check_name, check_type, set_integer, set_seconds
from ..peers.options import PeerOptions
from ..sessions.options import Sessions
from ..udp.buffer_pool import Buffers, writable_bytes
from ..udp.codel import CoDel
from ..udp.fair import Fair
from ..udp.options import Overflow, check_queues
from .peers import check_peers
from .protection import check_protection
from .shape import check_shape
from .workers import pool_options

_OF_IP = ("host", "port", "allow", "deny", "rate_limit", "reply_limit", "amplification")


@dataclass(frozen=True, slots=True, kw_only=True)
class UDPServerOptions(SocketOptions):
    """Options of a UDP server.

    name: under which the configuration has options of this server, which replace those given here: the table
        `[servers.NAME]` of `homing run --config`. "": the registered name of the owner, if `meta.listen_udp` or
        `Service.udp` makes the server, otherwise none.
    host: address or name to bind. "": every IPv4 interface; "::": every IPv6 interface. A name with an IPv4 and an IPv6
        address is bound to the IPv4 address.
    port: 0: the system chooses; read it from `local_address`.
    activation: name (`FileDescriptorName=`) of a socket of a systemd unit. If systemd has started the program with
        sockets, the server uses that one instead of `host` and `port`; otherwise it binds these. Several sockets of one
        name go to servers in turn.
    socket: a socket that is already bound (a `socket.socket` or a file descriptor), instead of `host` and `port`. From
        its creation on the server owns and closes it; if the creation fails, the caller still owns it.
    process: receiver of the datagrams: a registered name (also of an `act.Pool`), a PID or an alias. None: the parent.
        While no process has the name, datagrams wait in the kernel's buffer.
    worker: class of workers that belong to the server, instead of `process`: datagrams go to a pool of them
        (`act.Pool`), which starts and ends with the server. If the pool ends by itself, so does the server.
    workers: number of workers. None: 4. It is how many datagrams may be awaited at a time: all workers run on the
        node's one thread, unless `worker_options` gives each a thread of its own, which it may block.
    worker_args: arguments of their `init`.
    worker_options: options of the workers, as in `act.PoolOptions`: `gen.ProcessOptions(thread=True)` for workers that
        block. None: the defaults of the pool.
    route: which worker gets a datagram, as in `act.PoolOptions`: "source" sends all datagrams of one peer to one
        worker. A part of the data, such as `meta.where[0:8]`, sends all datagrams with the same bytes there to one
        worker, and with `reuse_port` and `homing run --processes` to one process (`reuse_port_steering`).
    peers: a process for each peer, instead of `process` or `worker`: see `meta.PeerOptions`. They end with the
        server.
    sessions: each peer is a session with one owner among the nodes of a cluster, wherever its datagrams come in: see
        `meta.Sessions`. Needs `peers`, without a `key`. Without a cluster, this node owns all.
    admit: a condition on each datagram, made of `meta.where`: `(meta.where.length >= 12) & (meta.where[2] >> 7 == 0)`.
        Other datagrams become no message. None: all are admitted.
    admit_in: who evaluates it. "kernel": the kernel, which runs it as a classic BPF program before it wakes this
        process; `kernel_drops` also counts what it refuses, and it joins no datagrams (`gro`). Where it cannot (not
        Linux, a Unix socket, `bpf` is given too), or with "process", this process does, for each datagram of a joined
        train as well: in C on the native backend; `filtered` counts. The portable backend sees at most `buffer_size`
        bytes of a datagram.
    buffer_size: the longest datagram accepted, in bytes; a longer one is cut, flagged and counted. 65535 cuts none (the
        longest are 65507 bytes on IPv4 and 65527 on IPv6). A waiting datagram costs its own length, not this. Not used
        with a `buffer_pool`, except for batches.
    buffer_pool: an object with `get()`, which returns a writable buffer, and `put(buffer)`; for example a
        `meta.BufferPool`. A `bytearray` that you take from it and send goes back when it has been sent, as a whole;
        return buffers of other kinds yourself. A receiver that defines `handle_datagrams` gets its batches without it.
    allow: networks whose datagrams are accepted, as a tuple such as `("192.0.2.0/24", "2001:db8::/32")`. Empty: all.
    deny: networks whose datagrams are refused, even if `allow` contains them. Refused datagrams become no message:
        `denied`.
    rate_limit: how many datagrams of each source are accepted, as a `meta.RateLimit`. The others become no message:
        `limited`. None: all are accepted.
    reply_limit: how many datagrams each destination gets, as a `meta.RateLimit`, so that a server that is asked with
        forged addresses floods no host. The others are dropped: `reply_limited`. None: all are sent.
    reply_guard: for a server that answers everything: a `meta.ReplyGuard`, so that it neither answers another server
        forever nor floods a host whose address was forged. Answers held back are counted: `reply_limited`. None: no
        guard.
    amplification: to an address that has not been proven, the server never sends more than this many times the bytes
        that came from there, such as 3.0; or a `meta.Amplification`. More is dropped: `amplification_limited`.
        `message.validated()` lifts the limit for an address. None: no limit.
    high_water: reading pauses while this many messages wait in the receiver's main lane (or as many as its
        `mailbox_size` allows, if that is less). 1024: 5 ms of work at 200,000 messages per second.
    low_water: reading resumes when this many are left. None: a quarter of `high_water`, so that the receiver has work
        until the socket is polled again.
    high_water_seconds: reading also pauses while as many messages wait there as the receiver handles in this time, at
        least 8, until a quarter of them is left (in general: as much of them as `low_water` is of `high_water`). The
        number follows the receiver (`high_water_now`, an item of an inspection), and is `high_water` for one that is
        quick: of 25 us a message, by default. 0.025: no more than the kernel's default buffer holds for a receiver of
        90 us a message. Only with `overflow="pause"`; messages in hand (`ProcessOptions.concurrency`) do not count. The
        workers of a pool have their own limits. None: no limit in time.
    high_water_bytes: reading also pauses while this many bytes of the server's datagrams wait there, until a quarter of
        them is left. 8 MiB: 1024 datagrams of 8 KiB. At least 65536, the longest datagram. Batches (`handle_datagrams`)
        have a limit of their own: one at a time.
    overflow: what happens while `high_water` is reached. "pause": the server stops reading; datagrams wait in the
        kernel's buffer, and the kernel drops those that find no room there. "drop_newest": they are read and dropped
        (`dropped_newest`). "drop_oldest": they are read, and the oldest datagrams of this server in the receiver's main
        lane are dropped (`dropped_oldest`), but not messages of other senders, nor those that a pool or router has
        passed on. With `worker` it also applies to each worker that is full (`PoolOptions.overflow`): "pause" delays
        all workers for the slowest; the others drop, and count, datagrams for that worker. While no process has the
        name `process`, or a batch has not ended, reading pauses whatever the policy. None: "pause"; but "drop_newest"
        for a worker that is full, with `route="source"` or a key function: a slow worker does not delay the others.
    max_age: seconds since the kernel has received a datagram after which nobody gets it: it is dropped (`expired`),
        wherever it has waited: in the kernel, in the mailbox, or at a worker. Linux: sets `receive_timestamp`, so that
        `message.info` has the time; the kernel begins to note it some milliseconds after the first socket of the
        machine has asked for it, and until then the age counts from the reading, as it does on other systems and on
        Unix sockets. A router of your own passes on datagrams without a further look at their age. None: none is too
        old.
    conflate: a function that takes a datagram and returns its key, for data of which only the latest matters. Of the
        datagrams with one key that wait in the mailbox, at a worker or at a peer's process, only the newest is kept, at
        the place of the first (`conflated`). None instead of a key: that datagram is not conflated. If the function
        raises, the datagram is delivered (`conflate_errors`). It runs on the loop for each datagram, so it must be
        quick. Datagrams in the kernel are not conflated: they wait there only while reading pauses. Not for receivers
        of batches. None: all are kept.
    codel: drops datagrams whose turn has come, so that those behind them wait less, if all have waited too long for a
        time: a `meta.CoDel` (`dropped_codel`). Bursts pass. The age counts as for `max_age`; the workers of a pool
        count together. Not for receivers of batches. None: no.
    fair: serves the datagrams that wait in turn by source, so that a flood costs the flooder: a `meta.Fair`. The server
        reads on while the receiver is busy, keeps a queue for each source, and gives the receiver a few at a time. Of a
        source whose queue is full the newest datagram is dropped, or with `overflow="drop_oldest"` its oldest
        (`dropped_unfair`); so is one of a source that has most bytes, or about, if all that wait are above
        `high_water_bytes` (each counts 64 bytes more than its length). The datagrams that wait there are handed over
        after `linger` and to a new receiver, and before a takeover. Not with `peers`, a `buffer_pool`,
        `overflow="pause"`, receivers of batches, or those of other nodes. None: in the order of arrival.
    loss_markers: where datagrams are missing in the order of arrival, the receiver gets a `meta.MessageUDPLoss`: for
        datagrams dropped by the kernel (Linux), by `overflow`, `rate_limit`, `max_age` and `codel`. A receiver of
        batches finds those within a batch in `batch.losses`. Markers come also while the mailbox is full: between two
        datagrams at most one for each cause. A receiver that forwards, as an `act.Pool`, treats them as it does other
        messages. Not with `worker` or `peers`; nor with `bpf`, or with `admit` in the kernel, whose refusals the kernel
        counts with its losses; nor with a `tap` beside `allow`, `deny`, `admit` or `rate_limit`.
    receive_batch: datagrams read in one go, 1 to 4096 (the native backend reads 64 at most). 64: larger values gain
        nothing measurable and delay other callbacks on the loop.
    gro: let the kernel deliver datagrams that arrived joined (from a sender that uses UDP_SEGMENT, or a network card
        that joins them) as one read; each is still a message. Several times faster if it happens. Linux, native
        backend, no `buffer_pool`, and not while the kernel runs a program (`bpf`, `reuse_port_steering`), which would
        see only the first datagram. False: `kernel_drops` is exact for these datagrams too.
    send_queue: most datagrams that wait while the kernel's send buffer is full.
    send_overflow: what happens to more. "drop_newest": they are dropped (`dropped_send_queue`). "drop_oldest": the
        datagrams that have waited longest are dropped instead (`dropped_send_oldest`). A caller gets `SendQueueFull`;
        for other senders, `on_error` gets a report. "pause": they wait in the server's mailbox (`send_pauses`), which
        is limited by `gen.MetaOptions(mailbox_size=)`, or by `send_queue` if that is 0, its default. Once the mailbox
        is full, `send` and `call` raise `MailboxFull`. Datagrams with a higher priority do not wait there; for them it
        works as "drop_newest".
    on_error: process that receives a `MessageUDPError` for each datagram that could not be sent, and for each ICMP
        error (`error_queue`): a registered name, a PID or an alias. Not for datagrams sent by `call`, which raises.
        While the process does not exist, or `high_water` messages wait there, reports are counted (`dropped_errors`)
        instead. None: failures are only counted, and logged at a bounded rate.
    tap: a `meta.Tap` that records the datagrams in a file for Wireshark: those that come, those that are sent, and
        those that are dropped. It can be changed while the server runs (`meta.Reconfigure`, `homing tap`). A failing
        disk ends the tap, not the server. None: nothing is recorded.
    linger: seconds for which the socket outlives its owner, if that crashes, is killed, or is ended to be restarted.
        Meanwhile datagrams wait in the kernel, and datagrams sent to the alias are sent. A process that creates a
        server for the same address (not port 0) and starts it on that node within that time adopts the socket, its
        alias and the waiting datagrams. If that fails, the socket waits for the next one, as long again. 0: the socket
        is closed at once.
    """

    name: str = ""
    host: str = ""
    port: int = 0
    activation: str | None = None
    socket: Existing | None = None
    process: Target | None = None
    worker: type[ProcessBehavior] | None = None
    workers: int | None = None
    worker_args: tuple[Any, ...] = ()
    worker_options: ProcessOptions | None = None
    route: Route = "round_robin"
    peers: PeerOptions | None = None
    sessions: Sessions | None = None
    buffer_size: int = 65535
    buffer_pool: Buffers | None = None
    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()
    admit: Condition | None = None
    admit_in: Literal["kernel", "process"] = "kernel"
    rate_limit: RateLimit | None = None
    reply_limit: RateLimit | None = None
    reply_guard: ReplyGuard | None = None
    amplification: float | Amplification | None = None
    high_water: int = 1024
    low_water: int | None = None
    high_water_seconds: float | None = 0.025
    high_water_bytes: int = 8 * 1024 * 1024
    overflow: Overflow | None = None
    max_age: float | None = None
    conflate: Callable[[MessageUDP], Hashable] | None = None
    codel: CoDel | None = None
    fair: Fair | None = None
    loss_markers: bool = False
    receive_batch: int = 64
    gro: bool = True
    send_queue: int = 1024
    send_overflow: Overflow = "drop_newest"
    on_error: Target | None = None
    tap: Tap | None = None
    linger: float = 0.0

    def __post_init__(self) -> None:
        SocketOptions.__post_init__(self)
        if self.name != "":
            check_name("name", self.name)
        check_type("host", self.host, str, 'a str; "" is every IPv4 interface')
        set_integer(self, "port", 0, 65535)
        if self.socket is not None:
            self._check_socket()
        if self.path is not None:
            self._check_without("a Unix socket has a path instead", _OF_IP)
        if self.activation is not None:
            check_name("activation", self.activation)
        check_queues(self)
        if self.overflow is not None:
            check_choice("overflow", self.overflow, get_args(Overflow))
        check_peers(self)
        self._check_sessions()
        pool_options(self)
        if self.buffer_pool is not None:
            _check_pool(self.buffer_pool)
        check_protection(self)
        check_shape(self)
        check_type("tap", self.tap, (Tap, type(None)), "a meta.Tap or None")
        if self.tap is not None and self.path is not None:
            raise BadOption(
                "tap", self.tap, "a capture holds packets of IP, and a Unix socket has none; leave this out"
            )
        set_seconds(self, "linger", zero=True)

    @property
    def kernel_program(self) -> Program | None:
        """The program that the kernel runs for each datagram: `bpf`, or else the condition, if it can."""
        if self.bpf is not None or self.admit is None or self.admit_in != "kernel" or sys.platform != "linux":
            return self.bpf
        return self.admit.program

    @property
    def kernel_steering(self) -> str | Program | None:
        """The choice among the sockets of the port: without an option for it, the route, if it is a part of the
        data."""
        if self.reuse_port_steering is None and self.reuse_port and isinstance(self.route, Field):
            return seat.steering_by(self.route)
        return steering_of(self)

    def make_endpoint(self, sock: Any, **settings: Any) -> Endpoint:
        """Returns the endpoint of a bound socket. Internal."""
        return Endpoint(sock, **settings)

    def _check_sessions(self) -> None:
        sessions = self.sessions
        if sessions is None:
            return
        check_type("sessions", sessions, Sessions, "meta.Sessions or None")
        if self.peers is None:
            raise BadOption("sessions", sessions, "give peers= as well: each session is served by a process of its own")
        if self.peers.key is not None:
            raise BadOption("peers", self.peers, "the key is given by sessions=; leave PeerOptions.key out")
        if not (sessions.name or self.name):
            raise BadOption("sessions", sessions, "give the sessions or the server a name: other nodes find it by that")

    def _check_socket(self) -> None:
        if isinstance(self.socket, bool) or not isinstance(self.socket, (socket.socket, int)):
            raise BadOption("socket", self.socket, "give a socket.socket, or the number of a file descriptor")
        if isinstance(self.socket, int):
            set_integer(self, "socket", 0)
        self._check_without("a socket is given, which is bound already", ("host", "port", "activation", "path"))

    def _check_without(self, why: str, names: tuple[str, ...]) -> None:
        """Raises `BadOption` if one of these options was given."""
        unset = {field.name: field.default for field in fields(self)}
        for name in names:
            if getattr(self, name) != unset[name]:
                raise BadOption(name, getattr(self, name), f"{why}; leave this out")


def _check_pool(pool: Any) -> None:
    """Checks the pool: takes one buffer out and puts it back."""
    give, take = getattr(pool, "get", None), getattr(pool, "put", None)
    if isinstance(pool, type) or not callable(give) or not callable(take):
        raise BadOption("buffer_pool", pool, "give an object with get() and put(buffer), such as meta.BufferPool()")
    try:
        buffer = give()
    except Exception as error:
        raise BadOption("buffer_pool", pool, f"its get() raised {safe_repr(error)}") from error
    if not writable_bytes(buffer):
        raise BadOption("buffer_pool", pool, f"get() returned {type(buffer).__name__}, which is no writable buffer")
    try:
        take(buffer)
    except Exception as error:
        raise BadOption("buffer_pool", pool, f"its put() raised {safe_repr(error)}") from error
