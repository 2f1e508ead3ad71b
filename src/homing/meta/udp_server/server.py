"""The UDP server: a meta-process that turns datagrams into messages, and messages into datagrams."""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType
from typing import Any, ClassVar, Self

from ...act.pool.options import PoolOptions
from ...datagram import Address, AddressValidated, MessageUDP, Statistics, format_address
from ...datagram.errors import BadAddress
from ...gen import NO_REPLY, PID, Alias, BadOption, HomingError, MetaBehavior, NotAllowed, Ref, Target
from ...gen.behavior import Result
from ...gen.foreign import is_a
from ...gen.hooks import MetaHooks
from ...node.config import options_of_server
from ...node.messaging.flow import Inlet
from ...node.processes.meta_process import MetaRunner
from ...node.processes.thread_worker import node_loop
from ..peers.options import PeerOptions
from ..udp.inspection import chosen
from ..udp.lifecycle import Lifecycle
from ..udp.sender import Sender
from ..udp.unstarted import Unstarted
from .adoption import Lingering, find, forget, linger
from .elsewhere import Receivers, carrier_of, is_elsewhere
from .opening import open_endpoint
from .options import UDPServerOptions
from .peers import Peers, start_peers, with_key
from .phase import TRANSITIONS, Phase
from .reconfigure import Reconfigure, Reconfigured, reconfigure, refit
from .shape import refuse_elsewhere
from .state import ServerState
from .workers import Workers, pool_options, start_workers


class UDPServerHooks(MetaHooks):
    """Hooks of a UDP server."""

    __slots__ = ()

    behavior: UDPServer
    forwards: ClassVar[bool] = True
    datagram: ClassVar[type[MessageUDP]] = MessageUDP

    @property
    def linger(self) -> float:
        return self.behavior._state.options.linger

    @property
    def socket_address(self) -> Address:
        return self.behavior.local_address

    @property
    def receiver(self) -> Target | None:
        reader = self.behavior._state.reader
        return None if reader is None else reader.receiver

    def divert(self, kind: type[Inlet]) -> None:
        for reader in self.behavior._state.readers:
            reader.divert(kind)

    @property
    def counters(self) -> Statistics | None:
        return self.behavior.statistics() if self.running else None

    def facts(self) -> dict[str, Any] | None:
        return self.behavior._state.facts() if self.running else None

    @property
    def running(self) -> bool:
        """True once the server has been started."""
        return self.behavior._state.sender is not None

    def adopts(self) -> MetaRunner | None:
        return self.behavior._adopts()

    def orphaned(self) -> None:
        self.behavior._orphaned()

    def transferred(self) -> None:
        self.behavior._state.follow_owner()

    @property
    def options(self) -> UDPServerOptions:
        return self.behavior._options

    def stood_in(self) -> None:
        self.behavior._unstarted.over()

    def stood_in_ended(self, reason: Exception) -> None:
        self.behavior.terminate(reason)


class UDPServer(MetaBehavior):
    """A bound UDP socket. Each datagram arrives as a `MessageUDP` at the parent, or at `process`; a `MessageUDP` sent
    to the alias is sent to its `addr`. A receiver whose class defines `handle_datagrams(self, batch)` gets the
    datagrams of one wake-up as a `DatagramBatch` instead.

    The failure of a datagram is counted and does not end the server. It ends by an exit signal, with its parent, with
    the node, or if the socket itself is lost. Reading pauses while the receiver's mailbox is full or there is no
    receiver. Datagrams then wait in the kernel's buffer, and those that find no room there are counted as
    `kernel_drops`. Other policies drop datagrams while the mailbox is full: see `UDPServerOptions.overflow`.
    """

    process: MetaRunner

    _runtime_hooks: ClassVar[type[MetaHooks]] = UDPServerHooks
    _sender: Sender

    def __init__(self, options: UDPServerOptions) -> None:
        if not isinstance(options, UDPServerOptions):
            raise BadOption("options", options, "give meta.UDPServerOptions")
        self._given = options
        self._options = options = with_configured(options)
        self._predecessor: Lingering | None = find(options)
        if self._predecessor is None:
            self._state = ServerState(open_endpoint(options), options)
            self._life = Lifecycle(TRANSITIONS, Phase.BOUND)
        else:
            self._state = self._predecessor.state
            self._life = Lifecycle(TRANSITIONS, Phase.ADOPTING)
        self._unstarted = Unstarted(self, f"UDP server {format_address(self.local_address)}")

    def __repr__(self) -> str:
        return f"<UDPServer {format_address(self.local_address)}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the socket, unless the server was started by `spawn_meta`: then it belongs to its parent. A socket
        that was to be adopted lingers on."""
        if self._life.state in (Phase.BOUND, Phase.ADOPTING):
            self._close()

    @property
    def alias(self) -> Alias:
        """The server's alias, to which datagrams are sent. Raises `NotAllowed` before the server has been started."""
        if "process" not in self.__dict__:
            raise NotAllowed("the server has no alias before it is started: await self.spawn_meta(...)")
        return self.process.id

    @property
    def local_address(self) -> Address:
        """The address the socket is bound to, with the port that the system chose if 0 was asked for."""
        return self._state.endpoint.local_address

    # --- life ---------------------------------------------------------------------------------------------

    def init(self, process: MetaRunner) -> Result:  # type: ignore[override]
        self.process = process
        self._unstarted.over()
        if self._life.state is Phase.CLOSED:
            raise self._terminated()
        self._life.enter(Phase.STARTING)
        if self._state.endpoint.closed:  # a predecessor's
            raise self._terminated()
        predecessor, self._predecessor = self._predecessor, None
        if predecessor is not None:
            predecessor.server._give_away()
            if predecessor.endpoint.closed:  # a former socket, which has drained since
                raise self._terminated()
            refit(self._state, predecessor.endpoint, self._options)
        self._sender = self._state.send_for(process, self._options)
        process.forwarder = self._sender
        if self._state.workers is not None and not self._state.workers.fit(self._options):
            self._state.retire_workers()
        wanted = self._options.peers or pool_options(self._options)
        if self._state.workers is None and (wanted is not None or self._is_elsewhere()):
            return self._start_workers(wanted)
        self._run()
        return None

    def _terminated(self) -> NotAllowed:
        return NotAllowed(f"UDP server {format_address(self.local_address)} was terminated; create another one")

    def _is_elsewhere(self) -> bool:
        """Returns True if the receiver is on another node of a cluster."""
        core = self.process.core
        return is_elsewhere(self._options.process, core.name) and carrier_of(core) is not None

    async def _start_workers(self, wanted: PoolOptions | PeerOptions | None) -> None:
        """Starts workers, the table of peers, or what forwards to another node, first; meanwhile datagrams wait in the
        kernel."""
        state, options = self._state, self._options
        workers: Workers | Peers | Receivers
        if self._is_elsewhere() or options.sessions is not None:
            refuse_elsewhere(options)
        carrier = carrier_of(self.process.core)
        if carrier is not None and options.sessions is not None:
            workers = await carrier.start_sessions(self.process, options, lambda: state.workers)
        elif carrier is not None and wanted is None:
            workers = await carrier.start_away(self.process, options, lambda: state.workers)
        elif isinstance(wanted, PeerOptions):
            wanted = with_key(wanted, options.sessions)
            workers = await start_peers(self.process, wanted, lambda: state.workers)
        elif wanted is not None:
            workers = await start_workers(self.process, wanted, lambda: state.workers)
        if self._life.state is not Phase.STARTING:
            workers.retire()  # the owner has ended meanwhile: the socket waits for the next owner, or has one
            return
        state.workers = workers
        self._run()

    def _run(self) -> None:
        self._state.prepare_reading()
        self._life.enter(Phase.RUNNING)

    async def start(self) -> None:
        """Reads until the server is ended. Raises `OSError` if the socket itself is lost."""
        await self._state.read()

    def _adopts(self) -> MetaRunner | None:
        if self._predecessor is None:
            return None
        if self._life.state is Phase.CLOSED:
            raise self._terminated()
        predecessor = self._predecessor.server
        process = predecessor.process
        if process.behavior is not predecessor:
            raise NotAllowed(f"{process.id}, which was to be adopted, does not linger any more; create another server")
        return process

    def _orphaned(self) -> None:
        self._life.enter(Phase.LINGERING)
        self._state.stop_reading()
        linger(self, self._state)

    def _give_away(self) -> None:
        """Passes the state to another server."""
        self._life.enter(Phase.ADOPTED)
        forget(self, self._state)

    def drain(self) -> None:
        self._state.suspend()
        if self._state.elsewhere is not None:
            self._state.elsewhere.drain()

    def drained(self) -> bool:
        return self._state.drained()

    def terminate(self, reason: Exception) -> None:
        """Closes the socket. A second call does nothing."""
        if self._state.ended_for is None and self._life.state is not Phase.ADOPTED:
            self._state.ended_for = reason
        self._close()

    def _close(self) -> None:
        before = self._life.state
        if before in (Phase.CLOSED, Phase.ADOPTED):
            return
        self._unstarted.over()
        self._life.enter(Phase.CLOSED)
        if before is Phase.LINGERING:
            forget(self, self._state)
        if before is not Phase.ADOPTING:
            self._state.close()

    # --- messages -----------------------------------------------------------------------------------------

    def handle_message(self, sender: PID, message: Any) -> None:
        """Handles messages that are no datagrams, and datagrams with a higher priority: all other datagrams are taken
        from the mailbox in bulk."""
        if is_a(message, AddressValidated):
            self._validate(message)
            return
        if not is_a(message, Reconfigure):
            self._sender.handle_message(message)
            return
        try:
            self._reconfigure(sender, message)
        except HomingError as error:
            text = "UDP server %s was not reconfigured: %s"
            self.process.warn("reconfigure", text, format_address(self.local_address), error)

    def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        """Sends, and answers with the number of bytes that the kernel took, or with the error. Joins and leaves
        groups. Changes options, and answers with the options in force now."""
        if type(request) is MessageUDP or not is_a(request, Reconfigure):
            return self._sender.handle_call(sender, ref, request)
        try:
            return self._reconfigure(sender, request)
        except HomingError as error:
            self.process.send_response_error(sender, ref, error)
            return NO_REPLY

    def _reconfigure(self, sender: PID, request: Reconfigure) -> Reconfigured:
        if sender not in (self.process.parent, self.process.core.pid):
            raise NotAllowed(f"only its owner, {self.process.parent}, can reconfigure {self.process.id}")
        if self._life.state is not Phase.RUNNING or self._state.suspended or self._state.endpoint.shared:
            raise NotAllowed(f"{self.process.id} is about to end, or its socket to be taken over")
        try:
            return reconfigure(self._state, request)
        except Exception as error:
            self._log_leftovers(error)
            raise

    def _validate(self, message: AddressValidated) -> None:
        try:
            self._state.validate(message.addr)
        except BadAddress as error:
            text = "UDP server %s: an address was not validated: %s"
            self.process.warn("validate", text, format_address(self.local_address), error)

    def _log_leftovers(self, error: Exception) -> None:
        """Logs which parts of a change that failed could not be undone, if any."""
        notes = getattr(error, "__notes__", None)
        if notes:
            text = "UDP server %s could not be restored after a change that failed (%s): %s"
            self.process.log.error(text, format_address(self.local_address), error, "; ".join(notes))

    # --- facts --------------------------------------------------------------------------------------------

    def statistics(self) -> Statistics:
        """Returns a snapshot of the counters, also after the end."""
        return self._state.statistics()

    def handle_inspect(self, sender: PID, *items: str) -> dict[str, Any]:
        """Returns the counters of `statistics()` (kernel_drops "n/a" if the system does not count), and: listener,
        process, backend ("native" or "portable"), gro and gso (whether the kernel joins and splits datagrams for it),
        reading, waiting_for ("mailbox", "receiver", "batch" or ""), receive_buffer and send_buffer as granted,
        kernel_waiting (bytes of the receive buffer in use, None if the system does not report it), error_queue, linger,
        adoptions (how often a successor has adopted the socket), transfers (how often its owner has given the server to
        another process), spin_seconds (for which its loop, with all its sockets, has polled instead of sleeping), and
        peers (the facts of the table, with the option `peers`)."""
        return chosen(self._state.facts(), items)


def state_of(server: UDPServer) -> ServerState:
    """Returns the state of a server, for `meta.upgrade`, which hands sockets over."""
    return server._state


def given_to(server: UDPServer) -> UDPServerOptions:
    """Returns the options that the program has given a server, without those of the configuration."""
    return server._given


def with_configured(options: UDPServerOptions) -> UDPServerOptions:
    """Returns `options` with those that the configuration has for a server of that name. Raises `BadOption`."""
    configured = options_of_server(node_loop(), options.name) if options.name else None
    return replace(options, **configured) if configured else options


def create_udp_server(options: UDPServerOptions) -> UDPServer:
    """Binds a UDP socket and returns the server. `spawn_meta` starts it.

    Datagrams that arrive before the start wait in the kernel. Until the start the caller owns the server, and ends it
    by `terminate(reason)` or uses it as a context manager; if `spawn_meta` fails, it terminates the server. If the
    server is not started within a second, a warning is logged.
    If a server with the same address lingers on this event loop (`UDPServerOptions.linger`), no socket is bound: the
    lingering socket is adopted when the server is started.
    Raises `BindFailed` with host, port and advice.
    """
    return UDPServer(options)
