"""The UDP server: a meta-process that turns datagrams into messages, and messages into datagrams."""

from __future__ import annotations

from typing import Any, ClassVar

from ...act.pool.options import PoolOptions
from ...datagram import (
    Endpoint,
    MessageUDP,
    Statistics,
    format_address,
)
from ...gen import NO_REPLY, PID, Alias, BadOption, HomingError, NotAllowed, Ref, Target
from ...gen.behavior import Result
from ...node.processes.meta_process import MetaRunner
from ...node.processes.process import Process
from ..udp.buffer_lease import Lender
from ..udp.udp_socket import UDPSocket, UDPSocketHooks
from .adoption import find, forget, linger
from .former_sockets import Formers
from .opening import open_endpoint
from .options import UDPServerOptions
from .protection import protect, protection_facts
from .reader import Incoming
from .reconfigure import Reconfigure, reconfigure
from .workers import pool_options, retire, serves, start_workers


class UDPServerHooks(UDPSocketHooks):
    """Hooks of a UDP server."""

    __slots__ = ()

    behavior: UDPServer

    @property
    def linger(self) -> float:
        return self.behavior._linger

    def adopts(self) -> MetaRunner | None:
        return self.behavior._adopts()

    def orphaned(self) -> None:
        self.behavior._orphaned()


class UDPServer(UDPSocket):
    """A bound UDP socket. Each datagram comes as a `MessageUDP` to the parent, or to `process`; a `MessageUDP` sent
    to the alias goes out to its `addr`. A receiver whose class defines `handle_datagrams(self, batch)` gets a
    `DatagramBatch` there instead: all that one wake-up brought.

    Never stops for one datagram's fate: counts it and goes on. Ends by exit signal, with its parent, with the node,
    or if the socket itself is gone. Reading pauses while the receiver's mailbox is full or nobody is there; what comes
    meanwhile waits in the kernel's buffer, and what finds no room there is counted as `kernel_drops`. Or something is
    dropped while the mailbox is full: see `UDPServerOptions.overflow`.
    """

    _runtime_hooks = UDPServerHooks
    _kind: ClassVar[str] = "UDP server"
    _options: UDPServerOptions
    _incoming: Incoming | None
    _formers: Formers

    def __init__(self, options: UDPServerOptions) -> None:
        if not isinstance(options, UDPServerOptions):
            raise BadOption("options", options, "give meta.UDPServerOptions")
        self._options = options
        self._linger = options.linger
        pool = options.buffer_pool
        self._lender = None if pool is None else Lender(pool, options.buffer_size, self._warn)
        self._predecessor: UDPServer | None = find(options)
        self._endpoint: Endpoint = open_endpoint(options) if self._predecessor is None else self._predecessor._endpoint
        self._adopted = False
        self._incoming = None
        self._formers = Formers(self._close_one)
        self._held = False
        self._pool: Process | None = None

    # --- life ---------------------------------------------------------------------------------------------

    def init(self, process: MetaRunner) -> Result:  # type: ignore[override]
        self._own(process)
        self._prepare()
        options = self._options
        inherited = None
        if self._predecessor is not None:
            before = self._predecessor.statistics()
            self._send_pauses, self._lost_reports = before.send_pauses, before.dropped_errors
            self._incoming, inherited = self._predecessor._hand_over()
            self._formers = self._predecessor._formers
            self._formers.closes = self._close_one
            self._report_to(options.on_error)
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
        options, to = self._options, self._receiver()
        protect(self._endpoint, options)
        if self._incoming is None:
            self._incoming = self._reading(self._endpoint, self.process.id)
        else:
            self._incoming.begin(to, options, self._lender, self._socket_gone)
        for incoming in self._formers.incomings:
            incoming.begin(to, options, self._lender, self._socket_gone)

    def _receiver(self) -> Target:
        if self._pool is not None:
            return self._pool.id
        return self.process.parent if self._options.process is None else self._options.process

    def _reading(self, endpoint: Endpoint, id: Alias) -> Incoming:
        to, options = self._receiver(), self._options
        return Incoming(self.process, endpoint, to, options, self._lender, self._socket_gone, id)

    def _endpoints(self) -> list[Endpoint]:
        return [self._endpoint, *self._formers.endpoints]

    def _incomings(self) -> list[Incoming]:
        return ([] if self._incoming is None else [self._incoming]) + self._formers.incomings

    async def start(self) -> None:
        """Reads until the server is ended. Raises `OSError` if the socket itself is gone."""
        self._gone = self.process.loop.create_future()
        if self._endpoint.handed_over is not None:
            await self._endpoint.handed_over.wait()
        if self._incoming is not None:
            for endpoint, incoming in zip(self._endpoints(), self._incomings(), strict=True):
                endpoint.open(self.process.loop, incoming.readable)
                incoming.resume()
        self.process.log.info("UDP server listens on %s", format_address(self.local_address))
        await self._gone

    def _adopts(self) -> MetaRunner | None:
        if self._predecessor is None:
            return None
        process = self._predecessor.process
        if process.behavior is not self._predecessor:
            raise NotAllowed(f"{process.id} does not linger any more for this one; create another one")
        return process

    def _orphaned(self) -> None:
        """Reads no more. What the kernel and the arena hold waits there for the successor."""
        for incoming in self._incomings():
            incoming.drain()
            incoming.close()
        linger(self)

    def _transferred(self) -> None:
        if self._pool is None and self._options.process is None:
            for incoming in self._incomings():
                incoming.redirect(self.process.parent)

    def _hold(self, hold: bool) -> None:
        """True: what comes waits in the kernel, what was read already is still delivered. False: no more."""
        self._held = hold
        for incoming in self._incomings():
            incoming.limit(0 if hold else self._options.receive_batch)

    def drain(self) -> None:
        self._hold(True)

    def drained(self) -> bool:
        undelivered = any(incoming.deliverable for incoming in self._incomings())
        return not undelivered and not any(endpoint.send_queue.waiting for endpoint in self._endpoints())

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
        self._formers.close()
        super()._close()

    # --- other options ------------------------------------------------------------------------------------

    def _reconfigure(self, sender: PID, request: Reconfigure) -> Any:
        if sender not in (self.process.parent, self.process.core.pid):
            raise NotAllowed(f"only its owner, {self.process.parent}, can reconfigure {self.process.id}")
        if self._held or self._endpoint.shared:
            raise NotAllowed(f"{self.process.id} is about to end, or its socket to be taken over")
        return reconfigure(self, request)

    def _change(self, options: UDPServerOptions, moved: Endpoint | None, grace: float) -> None:
        """From now on with these options, and on another socket, if one was bound for them. Cannot fail."""
        told = (self._options.on_error, self._options.high_water) != (options.on_error, options.high_water)
        self._options = options
        self._linger = options.linger
        if moved is not None:
            self._move(moved, grace)
        if told or moved is not None:
            self._report_to(options.on_error)
        for endpoint in self._endpoints():
            endpoint.send_queue.set_limit(options.send_queue, drop_oldest=options.send_overflow == "drop_oldest")
        for incoming in self._incomings():
            incoming.adjust(self._receiver(), options)

    def _move(self, endpoint: Endpoint, grace: float) -> None:
        """Reads `endpoint` as well; the former one for a while only."""
        if self._incoming is not None:
            self._formers.add(self.process.loop, self._endpoint, self._incoming, grace)
        self._endpoint = endpoint
        self._incoming = self._reading(endpoint, Alias(*self.process.id))
        if self._gone is not None:
            endpoint.open(self.process.loop, self._incoming.readable)
        self.process.log.info("UDP server listens on %s now", format_address(endpoint.local_address))

    # --- to the socket ------------------------------------------------------------------------------------

    def _leaves_from(self, message: MessageUDP) -> Endpoint:
        return self._formers.endpoint_of(message) or self._endpoint

    def handle_message(self, sender: PID, message: Any) -> None:
        """What is no datagram. (Those go through `_take_main`, or come with a higher priority.)"""
        if not isinstance(message, Reconfigure):
            super().handle_message(sender, message)
            return
        try:
            self._reconfigure(sender, message)
        except HomingError as error:
            self.process.log.warning("UDP server %s stays as it was: %s", format_address(self.local_address), error)

    def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        """As that of all UDP sockets. Changes options, and answers with what is in force now."""
        if not isinstance(request, Reconfigure):
            return super().handle_call(sender, ref, request)
        try:
            return self._reconfigure(sender, request)
        except HomingError as error:
            self.process.send_response_error(sender, ref, error)
            return NO_REPLY

    # --- what it tells ------------------------------------------------------------------------------------

    def statistics(self) -> Statistics:
        """A snapshot of the counters, also after the end."""
        return self._formers.total(Statistics(**self._counters()))

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
            **protection_facts(self._endpoint, self._options),
        )
        return {key: facts[key] for key in items if key in facts} if items else facts


def create_udp_server(options: UDPServerOptions) -> UDPServer:
    """Binds a UDP socket and gives the server, to be started by `spawn_meta`, with which its life begins.

    It is bound from here on: what arrives waits in the kernel. Until it is started it belongs to the caller, who
    ends it by `terminate(reason)` or uses it as a context manager; if `spawn_meta` fails, it has been terminated.
    Where a server with the same address lingers on this event loop (`UDPServerOptions.linger`), no socket is bound:
    that one is adopted when the server is started.
    Raises `BindFailed` with host, port and what to do.
    """
    return UDPServer(options)
