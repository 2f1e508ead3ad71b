"""The TCP server: a meta-process that turns the frames of connections into messages, and messages into frames."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Any, ClassVar, Self

from ...act.pool.options import PoolOptions
from ...datagram import Address, format_address
from ...gen import NO_REPLY, PID, Alias, BadOption, DeliveryError, HomingError, MetaBehavior, NotAllowed, Ref, Target
from ...gen.behavior import Result
from ...gen.foreign import is_a
from ...gen.hooks import MetaHooks
from ...node.processes.meta_process import MetaRunner
from ..tcp.closing import add_hub, remove_hub
from ..tcp.connection import Connection
from ..tcp.counters import TCPStatistics
from ..tcp.hub import Hub
from ..tcp.inflow import Inflow
from ..tcp.outflow import Outflow
from ..tcp.reasons import ClosedHere
from ..tcp.table import Table
from ..tcp.tls import Certificates
from ..udp.inspection import chosen
from ..udp.lifecycle import Lifecycle
from ..udp.unstarted import Unstarted
from ..udp_server.reconfigure import Reconfigure
from ..udp_server.server import UDPServer
from ..udp_server.workers import Workers, start_workers
from .accepting import Acceptor
from .both import Beside, adopt_both, open_both
from .facts import facts_of
from .lingering import find, forget, linger
from .listening import handed_over
from .options import TCPServerOptions
from .peers import Peers, places_of, start_peers
from .phase import TRANSITIONS, Phase
from .reconfigure import TCPReconfigured, planned
from .reload import ReloadCertificate, reload
from .workers import pool_options

KIND = "TCP server"


class TCPServerHooks(MetaHooks):
    """Hooks of a TCP server."""

    __slots__ = ()

    behavior: TCPServer
    forwards: ClassVar[bool] = True

    @property
    def connections(self) -> TCPStatistics | None:
        return self.behavior.statistics() if "process" in self.behavior.__dict__ else None

    @property
    def receiver(self) -> Target | None:
        return self.behavior._inflow_receiver()

    def facts(self) -> dict[str, Any] | None:
        return self.behavior._facts()

    @property
    def linger(self) -> float:
        return self.behavior._options.linger

    def adopts(self) -> MetaRunner | None:
        return self.behavior._adopts()

    def orphaned(self) -> None:
        self.behavior._orphaned()

    def transferred(self) -> None:
        self.behavior._transferred()

    @property
    def options(self) -> TCPServerOptions:
        return self.behavior._options

    def stood_in(self) -> None:
        self.behavior._unstarted.over()

    def stood_in_ended(self, reason: Exception) -> None:
        self.behavior.terminate(reason)


class TCPServer(MetaBehavior):
    """A listening TCP socket and its connections. Each frame arrives as a `MessageTCP` at the parent, or at `process`;
    a `MessageTCP` sent to the alias, such as `message.reply(data)`, leaves on its connection. Frames for one connection
    leave in the order in which they were sent. `await self.call(alias, message)` returns the number of bytes that were
    handed to the system, or raises `meta.ConnectionEnded`, or the error of the frame.

    A peer cannot end the server: its connection is closed, counted, and reported by a `MessageTCPDisconnect`.
    The server ends by an exit signal, with its parent, or with the node. Reading pauses while the receiver's mailbox is
    full or there is no receiver: nothing is dropped, the peers have to wait.
    """

    process: MetaRunner

    _runtime_hooks: ClassVar[type[MetaHooks]] = TCPServerHooks
    _hub: Hub
    _acceptor: Acceptor
    _outflow: Outflow

    def __init__(self, options: TCPServerOptions) -> None:
        if not isinstance(options, TCPServerOptions):
            raise BadOption("options", options, "give meta.TCPServerOptions")
        self._options = options
        self._workers: Workers | None = None
        self._peers: Peers | None = None
        self._beside: Beside | None = None
        self._gone: asyncio.Future[None] | None = None
        self._certificates = None if options.tls is None else Certificates(options.tls)
        predecessor = self._predecessor = find(options)
        if predecessor is None:
            self._life = Lifecycle(TRANSITIONS, Phase.BOUND)
            self._open(options)
        else:
            self._life = Lifecycle(TRANSITIONS, Phase.ADOPTING)
            self._hub, self._acceptor = predecessor._hub, predecessor._acceptor
            self._beside = adopt_both(options, predecessor._beside)
        self._address: Address = self._acceptor.sock.getsockname()
        self._unstarted = Unstarted(self, f"TCP server {format_address(self.local_address)}")

    def _open(self, options: TCPServerOptions) -> None:
        """Opens the listening socket, and with `both` that of UDP."""
        table = Table(places_of(options), options.most_per_source, options.prefix4, options.prefix6)
        self._hub = Hub(options, table)
        sock, udp = open_both(options)
        self._beside = None if udp is None else Beside(udp)
        self._acceptor = Acceptor(sock, self._hub, options, self._certificates)

    def __repr__(self) -> str:
        return f"<TCPServer {format_address(self.local_address)}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the socket, unless the server was started by `spawn_meta`: then it belongs to its parent. A server
        that was to be adopted lingers on."""
        if self._life.state in (Phase.BOUND, Phase.ADOPTING):
            self.terminate(NotAllowed("it was not started"))

    @property
    def alias(self) -> Alias:
        """The server's alias, to which frames are sent. Raises `NotAllowed` before the server has been started."""
        if "process" not in self.__dict__:
            raise NotAllowed("the server has no alias before it is started: await self.spawn_meta(...)")
        return self.process.id

    @property
    def local_address(self) -> Address:
        """The address the socket is bound to, with the port that the system chose if 0 was asked for."""
        return self._address

    @property
    def udp(self) -> UDPServer | None:
        """The UDP server on the same port, with the option `both`; else None."""
        return None if self._beside is None else self._beside.udp

    # --- life ---------------------------------------------------------------------------------------------

    def init(self, process: MetaRunner) -> Result:  # type: ignore[override]
        self.process = process
        self._unstarted.over()
        if self._life.state is Phase.CLOSED:
            raise self._terminated()
        self._life.enter(Phase.STARTING)
        if self._predecessor is not None:
            self._adopt(self._predecessor)
        self._outflow = process.forwarder = Outflow(process, self._hub, KIND)
        wanted = pool_options(self._options)
        if self._beside is not None or wanted is not None or self._options.peers is not None:
            return self._start_others(wanted)
        self._run()
        return None

    def _terminated(self) -> NotAllowed:
        return NotAllowed(f"TCP server {format_address(self.local_address)} was terminated; create another one")

    def _adopts(self) -> MetaRunner | None:
        if self._predecessor is None:
            return None
        if self._life.state is Phase.CLOSED or self._predecessor._life.state is not Phase.LINGERING:
            raise self._terminated()
        return self._predecessor.process

    def _adopt(self, predecessor: TCPServer) -> None:
        """Takes everything over from a server that lingers, with the options of this one."""
        predecessor._life.enter(Phase.ADOPTED)
        forget(predecessor)
        self._predecessor = None
        hub, acceptor, options = self._hub, self._acceptor, self._options
        hub.apply(options)
        hub.table.limit(places_of(options), options.most_per_source)
        acceptor.apply(options)
        acceptor.certificates = self._certificates
        self._adopt_receivers(predecessor)
        if predecessor._beside is not None and self._beside is None:
            predecessor._beside.discard()

    def _adopt_receivers(self, predecessor: TCPServer) -> None:
        """Continues with the processes of the connections, if they are as the options want them; otherwise ends them,
        or the workers, once they have handled what waits there."""
        peers, options, hub = predecessor._peers, self._options, self._hub
        workers, predecessor._workers = predecessor._workers, None
        if workers is not None:
            workers.retire()
        if peers is not None and peers.fit(options):
            self._peers = peers
        elif peers is not None or options.peers is not None:
            hub.on_opened = hub.on_gone = None
            predecessor._peers = None
            for connection in hub.table.all():
                connection.abandon(ClosedHere())
            if peers is not None:
                peers.close([])

    def _orphaned(self) -> None:
        """Called when the owner has crashed: waits for another one."""
        self._life.enter(Phase.LINGERING)
        self._acceptor.pause()
        linger(self)

    async def _start_others(self, wanted: PoolOptions | None) -> None:
        """Starts first the UDP server, whose workers serve both, or the workers, or the table of the connections'
        processes; meanwhile connections wait in the kernel."""
        if self._beside is not None:
            await self._beside.start(self.process)
        elif wanted is not None:
            workers = await start_workers(self.process, wanted, lambda: self._workers)
            if self._life.state is not Phase.STARTING:
                workers.retire()
                return
            self._workers = workers
        if self._options.peers is not None and self._peers is None and self._life.state is Phase.STARTING:
            peers = await start_peers(self.process, self._hub, self._options, lambda: self._peers)
            if self._life.state is not Phase.STARTING:
                peers.close([])
                return
            self._peers = peers
        if self._life.state is Phase.STARTING:
            self._run()

    def _run(self) -> None:
        process, options = self.process, self._options
        inflow = self._hub.inflow
        if self._peers is not None:
            self._peers.serve(self._hub)
            self._hub.serve(process, None)
        elif inflow is None:
            self._hub.serve(process, Inflow(process, self._receiver(), options, self._hub.counters))
        else:
            inflow.redirect(self._receiver())
        self._hub.limit(options.rate_limit)
        add_hub(process, self._hub)
        self._life.enter(Phase.RUNNING)

    def _receiver(self) -> Target:
        if self._workers is not None:
            return self._workers.address
        if self._options.worker is not None and self._beside is not None:
            return self._beside.receiver or self.process.parent
        return self.process.parent if self._options.process is None else self._options.process

    async def start(self) -> None:
        """Accepts connections until the server is ended."""
        self._gone = self.process.loop.create_future()
        served_elsewhere = handed_over(self._acceptor.sock)
        if served_elsewhere is not None:
            await served_elsewhere.wait()
        self._acceptor.start(self.process)
        self.process.core.note(self.process.log, "%s listens on %s", KIND, format_address(self.local_address))
        await self._gone

    def _transferred(self) -> None:
        """Redirects frames that go to the owner to the new owner."""
        if self._beside is not None:
            self._beside.follow_owner(self.process)
        if self._options.worker is None and self._options.process is None and self._hub.inflow is not None:
            self._hub.inflow.redirect(self.process.parent)

    def drain(self) -> None:
        """Accepts and reads no more. Connections that wait for an answer stay until they have it."""
        self._acceptor.pause()
        self._hub.drain()

    def drained(self) -> bool:
        """Returns True if no frame waits to be delivered or sent."""
        return self._hub.drained

    def terminate(self, reason: Exception) -> None:
        """Closes the listening socket and all connections. A second call does nothing."""
        before = self._life.state
        if before in (Phase.CLOSED, Phase.ADOPTED):
            return
        self._unstarted.over()
        self._life.enter(Phase.CLOSED)
        if before is Phase.ADOPTING:
            if self._beside is not None:
                self._beside.end(reason)
            return
        if before is Phase.LINGERING:
            forget(self)
        self._acceptor.close()
        if self._beside is not None:
            self._beside.end(reason)
        if self._peers is not None:
            self._hub.on_gone = None
        ends = self._hub.close(reason)
        if self._hub.process is not None:
            remove_hub(self.process)
            if self._peers is None:
                self._tell(ends)
            else:
                self._peers.close(ends)

    def _tell(self, ends: list[Any]) -> None:
        """Tells the receiver, if it lives on, that the connections have ended."""
        with suppress(DeliveryError):
            for message in ends:
                self.process.send(self._receiver(), message)

    # --- messages -----------------------------------------------------------------------------------------

    def handle_message(self, sender: PID, message: Any) -> None:
        """Handles messages that are no frames, and frames with a higher priority: all other frames are taken from the
        mailbox in bulk."""
        self._outflow.handle_message(message)

    def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        """Sends a frame, and answers with the number of its bytes, or with the error. Reads the certificate again."""
        if is_a(request, ReloadCertificate):
            return reload(self.process, self._acceptor.certificates, sender, ref, request)
        if is_a(request, Reconfigure):
            return self._reconfigure(sender, ref, request)
        return self._outflow.handle_call(sender, ref, request)

    def _reconfigure(self, sender: PID, ref: Ref, request: Reconfigure) -> Any:
        process = self.process
        try:
            if sender not in (process.parent, process.core.pid):
                raise NotAllowed(f"only its owner, {process.parent}, can reconfigure {process.id}")
            if self._life.state is not Phase.RUNNING:
                raise NotAllowed(f"{process.id} has not been started")
            options = planned(self._options, request, self.udp)
        except HomingError as error:
            process.send_response_error(sender, ref, error)
            return NO_REPLY
        self._options = options
        self._hub.apply(options)
        self._hub.limit(options.rate_limit)
        self._hub.table.limit(places_of(options), options.most_per_source)
        self._acceptor.apply(options)
        return TCPReconfigured(options=options, local_address=self.local_address)

    # --- facts --------------------------------------------------------------------------------------------

    def statistics(self) -> TCPStatistics:
        """Returns a snapshot of the counters, also after the end."""
        return self._hub.statistics()

    def handle_inspect(self, sender: PID, *items: str) -> dict[str, Any]:
        """Returns the counters of `statistics()`, and: listener, process, accepting, beginning (connections whose
        handshake runs), waiting_for ("mailbox", "receiver" or ""), most_connections, most_per_source, unsent (bytes
        that wait to be sent)."""
        return chosen(self._facts(), items)

    def _facts(self) -> dict[str, Any]:
        return facts_of(self._hub, self._acceptor, self._options, self.local_address)

    def _inflow_receiver(self) -> Target | None:
        return None if self._hub.inflow is None else self._hub.inflow.receiver


def idle_connections_of(server: TCPServer) -> list[Connection]:
    """Returns the connections that may be handed over now, if the server is to hand any over."""
    return server._hub.idle_connections() if server._options.hand_over_idle else []


def acceptor_of(server: TCPServer) -> Acceptor:
    """Returns what accepts for a server, for `meta.upgrade`, which hands sockets over."""
    return server._acceptor


def create_tcp_server(options: TCPServerOptions) -> TCPServer:
    """Binds a TCP socket, listens, and returns the server. `spawn_meta` starts it.

    Connections that come before the start wait in the kernel. Until the start the caller owns the server, and ends it
    by `terminate(reason)` or uses it as a context manager; if `spawn_meta` fails, it terminates the server. If the
    server is not started within a second, a warning is logged.
    Raises `BindFailed` with host, port and advice.
    """
    return TCPServer(options)
