"""Options of the UDP server."""

from __future__ import annotations

import socket
from dataclasses import dataclass, fields
from typing import Any, get_args

from ...act.pool.routing import Route
from ...datagram import Existing, RateLimit, ReplyGuard, SocketOptions
from ...datagram.policy.networks import Network
from ...gen import BadOption, ProcessBehavior, ProcessOptions, Target
from ...gen.foreign import safe_repr
from ...gen.options import check_choice, check_name, check_type, set_integer, set_seconds
from ..udp.buffer_pool import Buffers, writable_bytes
from ..udp.options import Overflow, check_queues
from .protection import check_protection
from .workers import pool_options

_OF_IP = ("host", "port", "allow", "deny", "rate_limit", "reply_limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class UDPServerOptions(SocketOptions):
    """How a UDP server is made.

    host: address or name to bind. "": every IPv4 interface; "::": every IPv6 interface. A name with both kinds of
        address is bound to the IPv4 one.
    port: 0: the system chooses; `local_address` tells.
    activation: the name (`FileDescriptorName=`) of a socket that systemd has started the program with; where it has
        started it with sockets, that one is used instead of `host` and `port`, else these are bound. Several sockets of
        one name go to servers in turn.
    socket: a socket that is bound already (a `socket.socket` or a file descriptor), instead of `host` and `port`. From
        the creation of the server on it belongs to that, which closes it; if the creation fails, it is still yours.
    process: who gets the datagrams: a registered name (also of an `act.Pool`), a PID or an alias. None: the parent.
        While nobody has the name, datagrams wait in the kernel's buffer.
    worker: the class of workers of the server's own, instead of `process`: datagrams go to a pool of them (`act.Pool`),
        which is started with the server and ends with it; if the pool ends by itself, so does the server.
    workers: how many. None: 4. It is the number of datagrams that may be waited for at a time: all run on the node's
        one thread, unless `worker_options` gives each its own, which it may block.
    worker_args: each is started with `init(*worker_args)`.
    worker_options: how they are spawned, as in `act.PoolOptions`: `gen.ProcessOptions(thread=True)` for workers that
        block. None: as the pool does by default.
    route: which worker gets a datagram, as in `act.PoolOptions`: "source" brings all of one peer to one worker.
    buffer_size: the longest datagram accepted, in bytes; a longer one is cut, flagged and counted. 65535 cuts none (the
        longest are 65507 on IPv4 and 65527 on IPv6). What waits costs its own length, not this. Not used with a
        `buffer_pool`, but for batches.
    buffer_pool: an object with `get()`, which gives a writable buffer, and `put(buffer)`; for example a
        `meta.BufferPool`. A `bytearray` that you take from it and send goes back when it was sent, whole; a buffer of
        another kind you put back yourself. A receiver that defines `handle_datagrams` gets its batches without it.
    allow: networks whose datagrams are heard, as a tuple such as `("192.0.2.0/24", "2001:db8::/32")`. Empty: all.
    deny: networks whose datagrams are not, also if `allow` has them. What is not heard becomes no message: `denied`.
    rate_limit: how many datagrams of each source are heard, as a `meta.RateLimit`. The others become no message:
        `limited`. None: all.
    reply_limit: how many datagrams each destination gets, as a `meta.RateLimit`: a server that is asked by forged
        addresses then floods nobody. The others are dropped: `reply_limited`. None: all go out.
    reply_guard: for a server that answers whatever comes: a `meta.ReplyGuard`, so that it neither answers another
        server for ever nor floods anybody in whose name it is asked. What is held back is counted: `reply_limited`.
        None: answers are not guarded.
    high_water: reading pauses while so many messages wait in the receiver's main lane (or as many as its
        `mailbox_size` allows, if that is less). 1024: 5 ms of work at 200,000 messages per second.
    low_water: reading goes on when so few are left. None: a quarter of `high_water`, so that the receiver has work
        while the socket is polled again.
    high_water_bytes: reading pauses also while so many bytes of this server's datagrams wait there, until a quarter of
        them is left. 8 MiB: 1024 datagrams of 8 KiB. Less than the longest datagram can not be asked for: 65536.
        Batches (`handle_datagrams`) have their own bound: one at a time.
    overflow: what happens while `high_water` is reached. "pause": nothing is read, what comes waits in the kernel's
        buffer, and what finds no room there is dropped by the kernel. "drop_newest": it is read and dropped
        (`dropped_newest`). "drop_oldest": it is read, and the oldest datagrams of this server that still wait in the
        receiver's main lane go (`dropped_oldest`); what others have sent there stays, and so does what a pool or a
        router has handed on. With `worker` it also says what happens at a worker that is full (`PoolOptions.overflow`):
        "pause" holds up all for the slowest; the others drop, and count, what is for that worker. While nobody has the
        name `process`, or a batch (`handle_datagrams`) has not ended,
        reading pauses in any case.
    receive_batch: datagrams read at a stretch, 1 to 4096 (the native backend takes 64 at most). 64: larger ones gain
        nothing measurable and delay the others on the loop.
    gro: let the kernel hand over datagrams that came joined (a sender that uses UDP_SEGMENT, a network card that
        joins them) as one read; each is still a message. Several times faster where it happens. Linux, native
        backend, no `buffer_pool`, and while the kernel runs no program (`bpf`, `reuse_port_steering`), which would be
        asked about the first of them only. False: `kernel_drops` is then exact also for these.
    send_queue: datagrams that wait at most while the kernel's send buffer is full.
    send_overflow: what happens to more. "drop_newest": they are dropped (`dropped_send_queue`). "drop_oldest": those
        that have waited longest are dropped in their place (`dropped_send_oldest`). Who has called is told by
        `SendQueueFull`, else `on_error`. "pause": they wait in the server's mailbox (`send_pauses`), in which no more
        than `gen.MetaOptions(mailbox_size=)` may wait; 0, its default, is `send_queue` then. Who sends or calls once
        that is full gets `MailboxFull`. What comes with a higher priority does not wait there: as with "drop_newest".
    on_error: who gets a `MessageUDPError` for each datagram that could not be sent, and for each ICMP error
        (`error_queue`): a registered name, a PID or an alias. Not for what was sent by `call`, which raises. While
        nobody is there, or `high_water` messages wait there, they are counted (`dropped_errors`). None: failures are
        only counted, and logged at a bounded rate.
    linger: seconds for which the socket outlives its owner, if that crashes, is killed or is ended to be started
        again. Meanwhile datagrams wait in the kernel, and what is sent to the alias goes out. Who creates a server for
        the same address (not port 0) and starts it on that node within that time adopts the socket, its alias and what
        waits. If that fails, or its start does, the socket waits for the next one, as long again. 0: the socket is
        closed at once.
    """

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
    buffer_size: int = 65535
    buffer_pool: Buffers | None = None
    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()
    rate_limit: RateLimit | None = None
    reply_limit: RateLimit | None = None
    reply_guard: ReplyGuard | None = None
    high_water: int = 1024
    low_water: int | None = None
    high_water_bytes: int = 8 * 1024 * 1024
    overflow: Overflow = "pause"
    receive_batch: int = 64
    gro: bool = True
    send_queue: int = 1024
    send_overflow: Overflow = "drop_newest"
    on_error: Target | None = None
    linger: float = 0.0

    def __post_init__(self) -> None:
        SocketOptions.__post_init__(self)
        check_type("host", self.host, str, 'a str; "" is every IPv4 interface')
        set_integer(self, "port", 0, 65535)
        if self.socket is not None:
            self._check_socket()
        if self.path is not None:
            self._check_without("a Unix socket has a path instead", _OF_IP)
        if self.activation is not None:
            check_name("activation", self.activation)
        check_queues(self)
        check_choice("overflow", self.overflow, get_args(Overflow))
        pool_options(self)
        if self.buffer_pool is not None:
            _check_pool(self.buffer_pool)
        check_protection(self)
        set_seconds(self, "linger", zero=True)

    def _check_socket(self) -> None:
        if isinstance(self.socket, bool) or not isinstance(self.socket, (socket.socket, int)):
            raise BadOption("socket", self.socket, "give a socket.socket, or the number of a file descriptor")
        if isinstance(self.socket, int):
            set_integer(self, "socket", 0)
        self._check_without("a socket is given, which is bound already", ("host", "port", "activation", "path"))

    def _check_without(self, why: str, names: tuple[str, ...]) -> None:
        """Raises `BadOption` if one of these was given."""
        unset = {field.name: field.default for field in fields(self)}
        for name in names:
            if getattr(self, name) != unset[name]:
                raise BadOption(name, getattr(self, name), f"{why}; leave this out")


def _check_pool(pool: Any) -> None:
    """Takes one buffer out and puts it back, to see that the pool is one."""
    give, take = getattr(pool, "get", None), getattr(pool, "put", None)
    if isinstance(pool, type) or not callable(give) or not callable(take):
        raise BadOption("buffer_pool", pool, "give an object with get() and put(buffer), such as meta.BufferPool()")
    try:
        buffer = give()
    except Exception as error:
        raise BadOption("buffer_pool", pool, f"its get() raised {safe_repr(error)}") from error
    if not writable_bytes(buffer):
        raise BadOption("buffer_pool", pool, f"get() gave {type(buffer).__name__}; it must give a writable buffer")
    try:
        take(buffer)
    except Exception as error:
        raise BadOption("buffer_pool", pool, f"its put() raised {safe_repr(error)}") from error
