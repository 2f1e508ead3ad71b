"""The UDP server: a meta-process that turns datagrams into messages, and messages into datagrams."""

from __future__ import annotations

from typing import Any, ClassVar

from ..act.pool_options import PoolOptions
from ..datagram import (
    Endpoint,
    Statistics,
    asked,
    duplicate,
    format_address,
    let_go,
    open_socket,
)
from ..gen import (
    PID,
    BadOption,
    BindFailed,
    NotAllowed,
    Target,
)
from ..gen.behavior import Result
from ..node.meta import MetaProcess
from ..node.process import Process
from .incoming import Incoming
from .lending import Lender
from .lingering import find, forget, linger
from .options import UDPServerOptions
from .udp_socket import UDPSocket
from .workers import pool_options, retire, serves, start_workers


class UDPServer(UDPSocket):
    """A bound UDP socket. Each datagram comes as a `MessageUDP` to the parent, or to `process`; a `MessageUDP` sent
    to the alias goes out to its `addr`. A receiver whose class defines `handle_datagrams(self, batch)` gets a
    `DatagramBatch` there instead: all that one wake-up brought.

    Never stops for one datagram's fate: counts it and goes on. Ends by exit signal, with its parent, with the node,
    or if the socket itself is gone. Reading pauses while the receiver's mailbox is full or nobody is there; what comes
    meanwhile waits in the kernel's buffer, and what finds no room there is counted as `kernel_drops`. Or something is
    dropped while the mailbox is full: see `UDPServerOptions.overflow`.
    """

    _kind: ClassVar[str] = "UDP server"
    _options: UDPServerOptions
    _incoming: Incoming | None

    def __init__(self, options: UDPServerOptions) -> None:
        if not isinstance(options, UDPServerOptions):
            raise BadOption("options", options, "give meta.UDPServerOptions")
        self._options = options
        self._linger = options.linger
        pool = options.buffer_pool
        self._lender = None if pool is None else Lender(pool, options.buffer_size, self._warn)
        self._predecessor: UDPServer | None = find(options)
        self._endpoint: Endpoint = _open(options) if self._predecessor is None else self._predecessor._endpoint
        self._adopted = False
        self._incoming = None
        self._pool: Process | None = None

    # --- life ---------------------------------------------------------------------------------------------

    def init(self, process: MetaProcess) -> Result:  # type: ignore[override]
        self._own(process)
        self._prepare()
        options = self._options
        inherited = None
        if self._predecessor is not None:
            self._incoming, inherited = self._predecessor._hand_over()
            if self._lender is not None and self._predecessor._lender is not None:
                self._lender.succeed(self._predecessor._lender)
            self._predecessor = None
        wanted = pool_options(options)
        if inherited is not None and serves(inherited, wanted):
            self._pool = inherited
        elif inherited is not None:
            retire(inherited)
        if wanted is not None and self._pool is None:
            return self._begin_with(wanted)
        self._begin()
        return None

    async def _begin_with(self, wanted: PoolOptions) -> None:
        """Starts workers first; meanwhile datagrams wait in the kernel."""
        pool = await start_workers(self.process, wanted)
        if self._adopted or self.process.lingering:
            retire(pool)  # the owner has gone meanwhile: the socket waits for the next one, or has one
            return
        self._pool = pool
        self._begin()

    def _begin(self) -> None:
        """From `start` on, datagrams go to the pool, the process of the options, or the owner."""
        options = self._options
        to: Target = self.process.parent if options.process is None else options.process
        if self._pool is not None:
            to = self._pool.id
        if self._incoming is None:
            self._incoming = Incoming(self.process, self._endpoint, to, options, self._lender, self._socket_gone)
        else:
            self._incoming.begin(to, options, self._lender, self._socket_gone)

    async def start(self) -> None:
        """Reads until the server is ended. Raises `OSError` if the socket itself is gone."""
        self._gone = self.process.loop.create_future()
        if self._incoming is not None:
            self._endpoint.open(self.process.loop, self._incoming.readable)
            self._incoming.resume()
        self.process.log.info("UDP server listens on %s", format_address(self.local_address))
        await self._gone

    def _adopts(self) -> MetaProcess | None:
        if self._predecessor is None:
            return None
        process = self._predecessor.process
        if process.behavior is not self._predecessor:
            raise NotAllowed(f"{process.id} does not linger any more for this one; create another one")
        return process

    def _orphaned(self) -> None:
        """Reads no more. What the kernel and the arena hold waits there for the successor."""
        if self._incoming is not None:
            self._incoming.drain()
            self._incoming.close()
        linger(self)

    def _transferred(self) -> None:
        """Datagrams that go to the owner go to the new one."""
        if self._incoming is not None and self._pool is None and self._options.process is None:
            self._incoming.redirect(self.process.parent)

    def _hand_over(self) -> tuple[Incoming, Process | None]:
        """Another server takes over socket, counters and pool: from here on this one has none of them."""
        forget(self)
        incoming, self._incoming = self._incoming, None
        if incoming is None:
            raise NotAllowed(f"UDP server {format_address(self.local_address)} was never started")
        self._adopted = True
        return incoming, self._pool

    def _close(self) -> None:
        if self._adopted or self._predecessor is not None:
            return  # the socket is, or still is, another's
        forget(self)
        super()._close()

    # --- what it tells ------------------------------------------------------------------------------------

    def statistics(self) -> Statistics:
        """A snapshot of the counters, also after the end."""
        return Statistics(**self._counters())

    def handle_inspect(self, sender: PID, *items: str) -> dict[str, Any]:
        """The counters of `statistics()` (kernel_drops "n/a" where the system does not tell), and: listener, process,
        backend ("native" or "portable"), gro and gso (whether the kernel joins and splits datagrams for it), reading,
        waiting_for ("mailbox", "receiver", "batch" or ""), receive_buffer and send_buffer as granted, error_queue,
        linger, adoptions (how often a successor has adopted the socket), and transfers (how often its owner has given
        it to another process)."""
        facts = self._facts(self.statistics())
        facts.update(
            listener=format_address(self.local_address),
            buffer_pool=repr(self._options.buffer_pool) if self._lender is not None else "",
            linger=self._linger,
            adoptions=self.process.adoptions,
        )
        return {key: facts[key] for key in items if key in facts} if items else facts


def _open(options: UDPServerOptions) -> Endpoint:
    if options.socket is None:
        sock = open_socket(options.host, options.port, options.activation, options)
    else:
        sock = duplicate(options.socket, options)
    try:
        endpoint = Endpoint(
            sock,
            buffer_size=options.buffer_size,  # with a pool for the batches of `handle_datagrams`, which need none
            send_queue=options.send_queue,
            drop_oldest=options.send_overflow == "drop_oldest",
            gro=options.gro and options.buffer_pool is None,
            groups=options.groups,
            info=asked(options),
            error_queue=options.error_queue,
        )
        if options.socket is not None:
            let_go(options.socket)
        return endpoint
    except OSError as error:
        sock.close()
        raise BindFailed(options.host, options.port, error, "it takes descriptors; raise `ulimit -n`") from None
    except BaseException:
        sock.close()
        raise


def create_udp_server(options: UDPServerOptions) -> UDPServer:
    """Binds a UDP socket and gives the server, to be started by `spawn_meta`, with which its life begins.

    It is bound from here on: what arrives waits in the kernel. Until it is started it belongs to the caller, who
    ends it by `terminate(reason)` or uses it as a context manager; if `spawn_meta` fails, it has been terminated.
    Where a server with the same address lingers on this event loop (`UDPServerOptions.linger`), no socket is bound:
    that one is adopted when the server is started.
    Raises `BindFailed` with host, port and what to do.
    """
    return UDPServer(options)
