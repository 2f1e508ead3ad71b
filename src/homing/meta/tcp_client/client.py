"""The TCP client: a meta-process with one connection."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from types import TracebackType
from typing import Any, ClassVar, Self

from ...act.supervisor.restart_limits import Backoff
from ...datagram import Address, format_address
from ...datagram.errors import ConnectFailed
from ...gen import NO_REPLY, PID, Alias, BadOption, DeliveryError, MetaBehavior, NotAllowed, Ref, Target
from ...gen.foreign import is_a
from ...gen.hooks import MetaHooks
from ...node.processes.meta_process import MetaRunner
from ..tcp.closing import add_hub, remove_hub
from ..tcp.connection import Connection
from ..tcp.counters import TCPStatistics
from ..tcp.errors import ConnectionEnded
from ..tcp.hub import Hub
from ..tcp.messages import MessageTCP
from ..tcp.outbound import Outflow
from ..tcp.table import Table
from ..udp.inspection import chosen
from ..udp.lifecycle import Lifecycle
from ..udp.unstarted import Unstarted
from .connecting import connect, local_address_of
from .options import TCPClientOptions
from .phase import TRANSITIONS, Phase
from .replies import Replies
from .requests import Requests

KIND = "TCP client"


class TCPClientHooks(MetaHooks):
    """Hooks of a TCP client."""

    __slots__ = ()

    behavior: TCPClient
    forwards: ClassVar[bool] = True

    @property
    def connections(self) -> TCPStatistics | None:
        return self.behavior.statistics() if "process" in self.behavior.__dict__ else None

    @property
    def receiver(self) -> Target | None:
        return self.behavior._inflow_receiver()

    def facts(self) -> dict[str, Any] | None:
        return self.behavior._facts()

    def transferred(self) -> None:
        self.behavior._transferred()

    @property
    def options(self) -> TCPClientOptions:
        return self.behavior._options

    def stood_in(self) -> None:
        self.behavior._unstarted.over()

    def stood_in_ended(self, reason: Exception) -> None:
        self.behavior.terminate(reason)


class TCPClient(MetaBehavior):
    """One TCP connection to a peer. Bytes sent to the alias, or a `MessageTCP`, are sent as one frame.
    `await self.call(alias, data)` sends a frame and returns the next `MessageTCP` that comes: answers come in the order
    of the requests, or by `key`. A frame that answers no request goes to the parent, or to `process`.

    A call raises `gen.CallTimeout`, `gen.TooManyRequests`, `meta.ConnectionEnded`, the error of the frame, and
    `gen.MetaTerminated` if the client ends. The client ends with its connection, unless it has `reconnect`: the
    `MessageTCPDisconnect` comes first. It also ends by an exit signal, with its parent, or with the node.
    """

    process: MetaRunner

    _runtime_hooks: ClassVar[type[MetaHooks]] = TCPClientHooks
    _outflow: Outflow
    _requests: Requests

    def __init__(self, options: TCPClientOptions) -> None:
        if not isinstance(options, TCPClientOptions):
            raise BadOption("options", options, "give meta.TCPClientOptions")
        self._options = options
        self._life = Lifecycle(TRANSITIONS, Phase.MADE)
        self._hub = Hub(options, Table(1, None, 32, 128))
        self._hub.answers = False
        self._connection: Connection | None = None
        self._failures = 0
        self._gone: asyncio.Future[None] | None = None
        self._local: Address | None = None
        self._unstarted = Unstarted(self, f"TCP client of {options.host}")

    def __repr__(self) -> str:
        return f"<TCPClient of {format_address((self._options.host, self._options.port))}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the client, unless it was started by `spawn_meta`: then it belongs to its parent."""
        if self._life.state is Phase.MADE:
            self.terminate(NotAllowed("it was not started"))

    @property
    def alias(self) -> Alias:
        """The client's alias, to which frames and requests are sent. Raises `NotAllowed` before the client has been
        started."""
        if "process" not in self.__dict__:
            raise NotAllowed("the client has no alias before it is started: await self.spawn_meta(...)")
        return self.process.id

    @property
    def local_address(self) -> Address:
        """The socket's address on this machine. Raises `NotAllowed` before the client has been started."""
        if self._local is None:
            raise NotAllowed("the client is not connected yet; start it by spawn_meta")
        return self._local

    @property
    def peer_address(self) -> Address:
        """The peer's address. Raises `NotAllowed` before the client has been started."""
        if self._connection is None:
            raise NotAllowed("the client is not connected yet; start it by spawn_meta")
        return self._connection.addr  # type: ignore[no-any-return]

    # --- life ---------------------------------------------------------------------------------------------

    async def init(self, process: MetaRunner) -> None:  # type: ignore[override]
        self.process = process
        self._unstarted.over()
        if self._life.state is Phase.CLOSED:
            raise NotAllowed(f"TCP client of {self._options.host} was terminated; create another one")
        self._life.enter(Phase.CONNECTING)
        options, hub = self._options, self._hub
        self._requests = Requests(process, options.max_requests, options.request_timeout, options.key)
        self._outflow = process.forwarder = Outflow(process, hub, KIND)
        hub.serve(process, Replies(process, self._receiver(), options, hub.counters, self._requests))
        hub.on_opened, hub.on_gone, hub.on_look = self._opened, self._ended, self._look
        add_hub(process, hub)
        await connect(process.loop, hub, options)
        if self._life.state is not Phase.CONNECTING:
            raise NotAllowed(f"TCP client of {options.host} was terminated; create another one")
        self._life.enter(Phase.RUNNING)

    def _receiver(self) -> Target:
        return self.process.parent if self._options.process is None else self._options.process

    def _opened(self, connection: Connection) -> None:
        self._connection = connection
        self._local = local_address_of(connection.transport)

    def _look(self, now: float) -> None:
        """Called from time to time: fails requests whose answers do not come."""
        if self._requests.time_out(now) and self._connection is not None:
            self._hub.close_one(self._connection.number)

    def _ended(self, connection: Connection) -> None:
        """Called when the connection has ended, and all of its frames were delivered."""
        if self._life.state is not Phase.CLOSED:
            self._requests.fail(ConnectionEnded(connection.addr))
            self.process.loop.call_soon(self._wake)

    def _wake(self) -> None:
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    async def start(self) -> None:
        """Serves the connection until it ends, and with `reconnect` the next ones."""
        while True:
            self._gone = self.process.loop.create_future()
            if len(self._hub.table):
                await self._gone
            if self._options.reconnect is None:
                return
            await self._connect_again(self._options.reconnect)

    async def _connect_again(self, backoff: Backoff) -> None:
        connection = self._connection
        lived = 0.0 if connection is None else self.process.loop.time() - connection.since
        self._failures = 0 if lived >= backoff.most else self._failures
        while True:
            await asyncio.sleep(backoff.delay(self._failures))
            self._failures += 1
            try:
                await connect(self.process.loop, self._hub, self._options)
                return
            except (ConnectFailed, BadOption) as error:
                self._hub.counters.connect_errors += 1
                self.process.warn("connect", "%s: it is tried again", error)

    def _transferred(self) -> None:
        """Redirects frames that go to the owner to the new owner."""
        if self._options.process is None and self._hub.inflow is not None:
            self._hub.inflow.redirect(self.process.parent)

    def drain(self) -> None:
        """Does nothing: open requests get their answers."""

    def drained(self) -> bool:
        """Returns True once no request is open and nothing is to be sent."""
        return "process" not in self.__dict__ or (not len(self._requests) and self._hub.drained)

    def terminate(self, reason: Exception) -> None:
        """Closes the connection. A second call does nothing."""
        if self._life.state is Phase.CLOSED:
            return
        self._unstarted.over()
        self._life.enter(Phase.CLOSED)
        ends = self._hub.close(reason)
        if self._hub.process is not None:
            remove_hub(self.process)
            for message in ends:
                try:
                    self.process.send(self._receiver(), message)
                except DeliveryError:
                    return

    # --- messages -----------------------------------------------------------------------------------------

    def handle_message(self, sender: PID, message: Any) -> None:
        """Sends bytes as a frame. Handles frames with a higher priority: all others are taken from the mailbox in
        bulk."""
        self._outflow.handle_message(self._addressed(message))

    def _addressed(self, message: Any) -> Any:
        """Returns a frame for the connection, if `message` is data or names none."""
        if is_a(message, MessageTCP):
            if message.connection == 0 and message.addr is None:
                message = self._frame(message.data)
        elif isinstance(message, (bytes, bytearray, memoryview)):
            message = self._frame(message)
        return message

    def _frame(self, data: Any) -> MessageTCP:
        connection = self._connection
        if connection is None:
            return MessageTCP(self.process.id, None, data, -1)
        return MessageTCP(self.process.id, connection.addr, data, connection.number)

    def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        """Sends a frame as a request; the next frame that comes and answers no earlier request is the answer. A
        `MessageTCP` with an address is only sent, as by a TCP server."""
        frame = self._addressed(request)
        if is_a(request, MessageTCP) and frame is request:
            return self._outflow.handle_call(sender, ref, request)
        if not is_a(frame, MessageTCP):
            frame = self._frame(request)  # for an encoder of the program
        try:
            key = self._requests.key_for(frame.data)
            self._hub.queue(frame)
        except Exception as error:
            self.process.send_response_error(sender, ref, error)
            return NO_REPLY
        self._requests.add(key, ref)
        self._hub.flush()
        return NO_REPLY

    # --- facts --------------------------------------------------------------------------------------------

    def statistics(self) -> TCPStatistics:
        """Returns a snapshot of the counters, also after the end."""
        return self._hub.statistics()

    def handle_inspect(self, sender: PID, *items: str) -> dict[str, Any]:
        """Returns the counters of `statistics()`, and: local (the address on this machine), peer, process, waiting_for
        ("mailbox", "receiver" or ""), requests (those that wait for their answers), answered."""
        return chosen(self._facts(), items)

    def _inflow_receiver(self) -> Target | None:
        return None if self._hub.inflow is None else self._hub.inflow.receiver

    def _facts(self) -> dict[str, Any]:
        inflow = self._hub.inflow
        return {
            **asdict(self.statistics()),
            "local": format_address(self.local_address),
            "peer": format_address(self.peer_address),
            "process": "" if inflow is None else str(inflow.receiver),
            "waiting_for": "" if inflow is None else inflow.waiting_for,
            "requests": len(self._requests),
            "answered": self._requests.answered,
        }


def create_tcp_client(options: TCPClientOptions) -> TCPClient:
    """Makes a TCP client. `spawn_meta` connects and starts it, or raises `ConnectFailed` with host, port and advice.

    If the client is not started within a second, a warning is logged.
    """
    return TCPClient(options)
