"""The UDP client: a meta-process that sends requests to one peer, and finds the request that each reply answers."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, ClassVar, Self

from ...datagram import Address, MessageUDP, format_address, peers_of
from ...gen import PID, Alias, BadOption, MetaBehavior, NotAllowed, Ref
from ...gen.behavior import Result
from ...gen.hooks import MetaHooks
from ...node.messaging.flow import Inlet
from ...node.processes.meta_process import MetaRunner
from ..udp.inspection import chosen
from ..udp.lifecycle import Lifecycle
from ..udp.unstarted import Unstarted
from .connection import Connection, connect
from .destination import Destination, resolve
from .exchange import Exchange
from .guesses import Guesses
from .options import UDPClientOptions, default_plan
from .phase import TRANSITIONS, Phase
from .ports import Ports
from .questions import Questions
from .statistics import UDPClientStatistics


class UDPClientHooks(MetaHooks):
    """Hooks of a UDP client."""

    __slots__ = ()

    behavior: UDPClient
    forwards: ClassVar[bool] = True
    datagram: ClassVar[type[MessageUDP]] = MessageUDP

    def divert(self, kind: type[Inlet]) -> None:
        if self.behavior._exchange is not None:
            self.behavior._exchange.divert(kind)

    @property
    def counters(self) -> UDPClientStatistics | None:
        exchange = self.behavior._exchange
        return None if exchange is None else exchange.statistics()

    def facts(self) -> dict[str, Any] | None:
        exchange = self.behavior._exchange
        return None if exchange is None else exchange.facts()

    def transferred(self) -> None:
        self.behavior._transferred()

    @property
    def options(self) -> UDPClientOptions:
        return self.behavior._options

    def stood_in(self) -> None:
        self.behavior._unstarted.over()

    def stood_in_ended(self, reason: Exception) -> None:
        self.behavior.terminate(reason)


class UDPClient(MetaBehavior):
    """A UDP socket for one peer. Bytes sent to the alias, or a `MessageUDP` whose `addr` is the peer or None, are sent
    to the peer. `await self.call(alias, data)` sends bytes, or a `UDPRequest`, and returns the `MessageUDP` that
    answers it. The request is sent again until a reply comes, at most `retries` times.

    A datagram that answers no request goes as a `MessageUDP` to the parent, or to `process`.

    A call raises `gen.RequestTimeout`; `gen.PeerUnreachable`, at once if the peer's machine reports that no program has
    the port; `gen.TooManyRequests`, `gen.RequestKeyTaken`, `gen.RequestIdsTaken`, `gen.MatchFailed`, `gen.NotAllowed`,
    `gen.BadOption`, `gen.SendQueueFull`; and `gen.MetaTerminated` if the client ends. The call's own `timeout` is the
    outer limit: when the caller gives up, or ends, its request ends too.

    The failure of a datagram, or of the peer, does not end the client. It ends by an exit signal, with its parent, with
    the node, or if the socket itself is lost.
    """

    process: MetaRunner

    _runtime_hooks: ClassVar[type[MetaHooks]] = UDPClientHooks
    _exchange: Exchange | Ports | None = None
    _connection: Connection | None = None
    _destination: Destination | None = None
    _gone: asyncio.Future[None] | None = None

    def __init__(self, options: UDPClientOptions) -> None:
        if not isinstance(options, UDPClientOptions):
            raise BadOption("options", options, "give meta.UDPClientOptions")
        self._options = options
        self._life = Lifecycle(TRANSITIONS, Phase.NAMED)
        peers = peers_of(options.host, options.port)
        if peers is not None:
            self._connection = connect(options, peers)
            self._life.enter(Phase.CONNECTED)
        self._unstarted = Unstarted(self, f"UDP client of {options.host}")

    def __repr__(self) -> str:
        return f"<UDPClient of {format_address((self._options.host, self._options.port))}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the socket, unless the client was started by `spawn_meta`: then it belongs to its parent."""
        if self._life.state in (Phase.NAMED, Phase.CONNECTED):
            self._close()

    @property
    def alias(self) -> Alias:
        """The client's alias, to which datagrams and requests are sent. Raises `NotAllowed` before the client has been
        started."""
        if "process" not in self.__dict__:
            raise NotAllowed("the client has no alias before it is started: await self.spawn_meta(...)")
        return self.process.id

    @property
    def local_address(self) -> Address:
        """The socket's address on this machine. Raises `NotAllowed` if the peer was given by name and the client has
        not been started."""
        return self._connected().endpoint.local_address

    @property
    def peer_address(self) -> Address:
        """The peer's address. Raises `NotAllowed` as `local_address` does."""
        return self._connected().peer

    def _connected(self) -> Connection:
        if self._exchange is not None:
            return self._exchange.connection
        if self._connection is None:
            raise NotAllowed(f"the name {self._options.host!r} is not resolved yet; start the client by spawn_meta")
        return self._connection

    # --- life ---------------------------------------------------------------------------------------------

    def init(self, process: MetaRunner) -> Result:  # type: ignore[override]
        self.process = process
        self._unstarted.over()
        self._require_open()
        if self._life.state is Phase.NAMED:
            self._life.enter(Phase.RESOLVING)
            return self._look_up()
        self._run(self._connected())
        return None

    def _require_open(self) -> None:
        if self._life.state is Phase.CLOSED:
            raise NotAllowed(f"UDP client of {self._options.host} was terminated; create another one")

    async def _look_up(self) -> None:
        peers = await resolve(self.process.loop, self._options.host, self._options.port)
        self._require_open()
        connection = self._connection = connect(self._options, peers)
        self._life.enter(Phase.CONNECTED)
        self._run(connection)

    def _run(self, connection: Connection) -> None:
        process, options = self.process, self._options
        named = peers_of(options.host, options.port) is None
        destination = self._destination = Destination(process, options, connection.others, named=named)
        exchanges = destination.exchanges
        guesses = Guesses(
            options.guess_alarm,
            lambda: any(len(exchange.requests) > 0 for exchange in exchanges),
            lambda: exchanges[0].warn_of_guesses(),
        )
        questions = Questions(default_plan(options))
        for each in connection.each():
            Exchange(process, each, options, self._socket_gone, guesses, questions, destination)
        self._exchange = exchanges[0] if len(exchanges) == 1 else Ports(process, exchanges, options, guesses)
        self._life.enter(Phase.RUNNING)

    async def start(self) -> None:
        """Reads until the client is ended. Raises `OSError` if the socket itself is lost."""
        self._gone = self.process.loop.create_future()
        self._started().open()
        local, peer = format_address(self.local_address), format_address(self.peer_address)
        self.process.log.info("UDP client %s sends to %s", local, peer)
        await self._gone

    def _started(self) -> Exchange | Ports:
        if self._exchange is None:
            raise NotAllowed("the client has not been started yet: there are no counters")
        return self._exchange

    def _socket_gone(self, error: OSError) -> None:
        if self._gone is not None and not self._gone.done():
            self._gone.set_exception(error)

    def _transferred(self) -> None:
        """Redirects datagrams that go to the owner to the new owner."""
        if self._options.process is None and self._exchange is not None:
            self._exchange.redirect(self.process.parent)

    def drain(self) -> None:
        """Stops reading, except for open requests."""
        if self._exchange is not None:
            self._exchange.drain()

    def drained(self) -> bool:
        """Returns True once no request is open and nothing is to be sent."""
        return self._exchange is None or self._exchange.drained()

    def terminate(self, reason: Exception) -> None:
        """Closes the socket. A second call does nothing."""
        self._close()

    def _close(self) -> None:
        if self._life.state is Phase.CLOSED:
            return
        self._unstarted.over()
        self._life.enter(Phase.CLOSED)
        if self._destination is not None:
            self._destination.close()
        if self._exchange is not None:
            self._exchange.close()
        elif self._connection is not None:
            self._connection.close()
        if self._destination is not None:
            self._destination.tap.close()

    # --- messages -----------------------------------------------------------------------------------------

    def handle_message(self, sender: PID, message: Any) -> None:
        """Handles messages that are no datagrams, and datagrams with a higher priority: all other datagrams are taken
        from the mailbox in bulk."""
        self._started().handle_message(message)

    def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        """Sends a request, and answers the call when the request has ended. A `MessageUDP` is only sent, as by a UDP
        server. Joins and leaves groups."""
        exchange = self._exchange or self._started()
        return exchange.handle_call(sender, ref, request)

    # --- facts --------------------------------------------------------------------------------------------

    def statistics(self) -> UDPClientStatistics:
        """Returns a snapshot of the counters, also after the end. Raises `NotAllowed` before the client has been
        started."""
        return self._started().statistics()

    def handle_inspect(self, sender: PID, *items: str) -> dict[str, Any]:
        """Returns the counters of `statistics()` (kernel_drops "n/a" if the system does not count), and: local (the
        address on this machine), peer, connected, process, backend, gro and gso, reading, waiting_for, receive_buffer
        and send_buffer as granted, error_queue, groups, transfers and spin_seconds as of a UDP server."""
        return chosen(self._started().facts(), items)


def create_udp_client(options: UDPClientOptions) -> UDPClient:
    """Makes a UDP client. `spawn_meta` starts it.

    If `host` is an address, the socket is made here; if it is a name, at the start. Until the start the caller owns the
    client, and ends it by `terminate(reason)` or uses it as a context manager; if `spawn_meta` fails, it terminates the
    client. If the client is not started within a second, a warning is logged.
    Raises (or `spawn_meta` does) `ConnectFailed` with host, port and advice; `BindFailed` for `local_host` and
    `local_port`.
    """
    return UDPClient(options)
