"""Options of the TCP server."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

from ...act.pool.routing import Route
from ...datagram import RateLimit
from ...datagram.policy.networks import Network, parse_networks
from ...gen import BadOption, ProcessBehavior, ProcessOptions
from ...gen.options import check_name, check_type, set_integer, set_seconds
from ..peers.options import PeerOptions
from ..tcp.limits import TCPOptions
from ..tcp.tls import check_tls
from ..udp_server.options import UDPServerOptions
from .both_options import udp_options
from .peers import check_peers
from .workers import pool_options

_OF_BINDING = {"host": "", "port": 0, "activation": None, "dual_stack": False, "reuse_port": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class TCPServerOptions(TCPOptions):
    """Options of a TCP server.

    frame: how the stream is divided into messages: `meta.LengthPrefix(2)`, `meta.Delimiter(b"\\n")`, `meta.Raw()`; or a
        class or function without arguments that makes a `meta.Framing` for each connection.
    name: a name for this server in the configuration and in logs; "" for none.
    host: address or name to bind. "": every IPv4 interface; "::": every IPv6 interface.
    port: 0: the system chooses; read it from `local_address`.
    socket: a TCP socket that is already bound (a `socket.socket`), instead of `host` and `port`. From its creation on
        the server owns and closes it; if the creation fails, the caller still owns it.
    activation: name (`FileDescriptorName=`) of a socket of a systemd unit (`ListenStream=`). If systemd has started the
        program with sockets, the server uses the one of this name; otherwise it binds `host` and `port`.
    dual_stack: with host "::", accepts IPv4 connections as well.
    reuse_port: several sockets may listen on this port, and the system divides the connections among them. With
        `homing run --processes` on Linux, the processes accept from one socket instead, which outlives them.
    both: True: serves UDP on the same port as well. Datagrams arrive as `MessageUDP` at the same receiver, `self.reply`
        answers either, and both end together. Settings of UDP alone are given instead of True, as a
        `meta.UDPServerOptions` without address and receiver: `both=meta.UDPServerOptions(reply_guard=...)`. `allow`,
        `deny`, `rate_limit`, `peers` and the water marks are those of this server, unless others are given there.
        For port 0 the system chooses one that is free for both. `server.udp` is the UDP server.
    hand_over_idle: in an upgrade (`meta.TakeOver`), the connections that are idle between two frames pass to the next
        OS process, which gets a `MessageTCPConnect` for each. False: they are closed once they have their answers.
        Those with TLS, and those that wait for an answer, always stay with the former process until it stops.
    backlog: connections that wait in the kernel until they are accepted; the system may allow fewer
        (`net.core.somaxconn`).
    process: receiver of the frames: a registered name (also of an `act.Pool`), a PID or an alias. None: the parent.
        While no process has the name, frames wait: nothing is read.
    worker: class of workers that belong to the server, instead of `process`: frames go to a pool of them (`act.Pool`),
        which starts and ends with the server. If the pool ends by itself, so does the server.
    workers: number of workers. None: 4.
    worker_args: arguments of their `init`.
    worker_options: options of the workers, as in `act.PoolOptions`. None: the defaults of the pool.
    route: which worker gets a frame, as in `act.PoolOptions`. "source": one worker for all frames of a peer (address
        and port), so that they are handled, and answered, in order. Others may answer in another order.
    peers: a process for each connection, instead of `process` or `worker`, as a `meta.PeerOptions`. `self.peer` of a
        `meta.PeerActor` is the connection. The connection is closed when its process ends, and the process ends after
        the `MessageTCPDisconnect`. `queue` and `queue_bytes` bound what waits at a process: with more its connection is
        not read. `most`, `notify` and the restarts work as for UDP; a process that is restarted keeps its connection,
        and with `preserve_mailbox` the frames that waited; otherwise these are counted (`dropped_ended`). For idle
        peers and rates the server has its own options; `key` and `accept` are of datagrams.
    announce: the receiver also gets a `MessageTCPConnect` before the first frame of a connection, and a
        `MessageTCPDisconnect` after the last. False: frames only, for a receiver that takes each message for a request.
    high_water: reading pauses while this many messages wait in the receiver's main lane (or as many as its
        `mailbox_size` allows, if that is less). Nothing is dropped: the peers have to wait.
    low_water: reading resumes when this many are left. None: a quarter of `high_water`.
    high_water_bytes: reading also pauses while this many bytes of the server's frames wait there.
    read_size: bytes read from a connection in one go. While the receiver is slow, at most so many, and one unfinished
        frame, wait for each connection in this program; the rest waits in the kernel, and at the peer.
    most_connections: the most connections; more are closed as soon as they come (`refused_full`). Each takes a file
        descriptor (`ulimit -n`).
    most_per_source: the most connections of one source (`refused_per_source`). None: no limit.
    prefix4, prefix6: prefix length of the networks that count as one source: as in `meta.RateLimit`.
    allow: networks whose connections are accepted, as a tuple such as `("192.0.2.0/24", "2001:db8::/32")`. Empty: all.
    deny: networks whose connections are refused, even if `allow` contains them: `denied`.
    connect_limit: how many connections each source may make, as a `meta.RateLimit`; others are closed as soon as they
        come: `connect_limited`. None: no limit.
    rate_limit: how many frames of each source are taken, as a `meta.RateLimit`. Its connections are read no faster, so
        that its peers have to wait: `limited` counts the frames that did. None: no limit.
    tls: a `meta.TLS`, or an `ssl.SSLContext` of a server: connections are encrypted. None: they are not.
    handshake_timeout: seconds that a TLS handshake may take (`handshake_errors`).
    most_handshakes: the most TLS handshakes at a time; more connections wait in the kernel.
    first_byte_timeout: seconds until the first byte of a connection; then it is cut (`cut_first_byte`). None: no limit.
    frame_timeout: seconds from the first byte of a frame until it is complete (`cut_frame_timeout`): against peers that
        send a byte now and then. None: no limit.
    idle_timeout: seconds without a byte from or to the peer; then it is cut (`cut_idle`). None: no limit. No time
        counts while the server does not read, as its receiver is slow.
    half_close_timeout: a peer may end its side, and still gets the answers to what it has sent. The connection is
        closed when each of its frames has an answer and the receiver is idle; or, if an answer is missing, after this
        many seconds in which none has come. That time begins when the receiver has handled all that waits there; until
        then only `idle_timeout` bounds it.
    send_buffer: bytes that wait to be sent to a peer from which on it is not read. 256 KiB: more than a network takes
        at a time.
    send_most: bytes that may wait to be sent to a peer, as answers to what was read before; with more it is cut
        (`cut_slow_reader`).
    send_timeout: seconds after which a peer is cut (`cut_slow_reader`) that takes nothing of what waits for it, or for
        which more than `send_buffer` waits all the time.
    keepalive: seconds of silence after which the system asks whether the peer's machine is there, three times, each a
        third of this time apart (TCP keepalive). None: it does not.
    user_timeout: seconds after which the system gives up a connection whose peer acknowledges nothing
        (TCP_USER_TIMEOUT, Linux): `cut_unresponsive`. None: the system's, some 15 minutes.
    linger: seconds for which the listening socket and the connections outlive their owner, if that crashes, is killed,
        or is ended to be restarted. Meanwhile connections wait in the kernel, what comes waits in its connection, and
        frames sent to the alias leave. A process that creates a server for the same address (not port 0) and starts it
        on that node within that time adopts all that, with the alias. Its options hold from then on; open connections
        keep their frames and their TLS. With `peers` the processes of the connections serve on, if the next server has
        the same `worker`, `worker_args` and `worker_options`; otherwise they end. With `both` the UDP server lingers as
        well, for as long. 0: all is closed at once.
    """

    host: str = ""
    port: int = 0
    activation: str | None = None
    socket: socket.socket | None = None
    dual_stack: bool = False
    reuse_port: bool = False
    both: bool | UDPServerOptions = False
    hand_over_idle: bool = False
    backlog: int = 1024
    worker: type[ProcessBehavior] | None = None
    workers: int | None = None
    worker_args: tuple[Any, ...] = ()
    worker_options: ProcessOptions | None = None
    route: Route = "source"
    peers: PeerOptions | None = None
    most_connections: int = 1024
    most_per_source: int | None = 256
    prefix4: int = 32
    prefix6: int = 56
    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()
    connect_limit: RateLimit | None = None
    rate_limit: RateLimit | None = None
    most_handshakes: int = 256
    linger: float = 0.0

    def __post_init__(self) -> None:
        TCPOptions.__post_init__(self)
        check_type("host", self.host, str, 'a str; "" is every IPv4 interface')
        set_integer(self, "port", 0, 65535)
        if self.activation is not None:
            check_name("activation", self.activation)
        check_type("dual_stack", self.dual_stack, bool, "True or False")
        check_type("reuse_port", self.reuse_port, bool, "True or False")
        check_type("hand_over_idle", self.hand_over_idle, bool, "True or False")
        set_integer(self, "backlog", 1, 65535)
        self._check_socket()
        check_tls(self.tls, server=True)
        set_integer(self, "most_handshakes", 1)
        check_peers(self)
        pool_options(self)
        set_integer(self, "most_connections", 1, 1_000_000)
        if self.most_per_source is not None:
            set_integer(self, "most_per_source", 1)
        set_integer(self, "prefix4", 0, 32)
        set_integer(self, "prefix6", 0, 128)
        set_seconds(self, "linger", zero=True)
        parse_networks("allow", self.allow)
        parse_networks("deny", self.deny)
        check_type("connect_limit", self.connect_limit, (RateLimit, type(None)), "a meta.RateLimit or None")
        check_type("rate_limit", self.rate_limit, (RateLimit, type(None)), "a meta.RateLimit or None")
        udp_options(self)

    def _check_socket(self) -> None:
        given = self.socket
        if given is None:
            return
        if not isinstance(given, socket.socket) or given.type != socket.SOCK_STREAM:
            raise BadOption("socket", given, "give a socket.socket of TCP")
        for name, unset in _OF_BINDING.items():
            if getattr(self, name) != unset:
                raise BadOption(name, getattr(self, name), "a socket is given, which is bound already; leave this out")
