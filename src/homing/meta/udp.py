"""The UDP server: a meta-process that turns datagrams into messages, and messages into datagrams."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from ..datagram import Address, Endpoint, Statistics, bind, format_address
from ..gen import (
    NO_REPLY,
    PID,
    BadOption,
    BufferReleased,
    HomingError,
    MetaBehavior,
    NotAllowed,
    Ref,
    Target,
)
from ..node.flow import Inlet
from ..node.logs import RateLimited
from ..node.meta import MetaProcess
from .lending import Lease, Lender
from .messages import MessageUDP
from .options import UDPServerOptions


class UDPServer(MetaBehavior):
    """A bound UDP socket. Each datagram comes as a `MessageUDP` to the parent, or to `process`; a `MessageUDP` sent
    to the alias goes out to its `addr`.

    Never stops for one datagram's fate: counts it and goes on. Ends by exit signal, with its parent, with the node,
    or if
    the socket itself is gone. Reading pauses while the receiver's mailbox is full or nobody is there; what comes
    meanwhile waits in the kernel's buffer, and what finds no room there is counted as `kernel_drops`.
    """

    process: MetaProcess

    def __init__(self, options: UDPServerOptions) -> None:
        if not isinstance(options, UDPServerOptions):
            raise BadOption("options", options, "give meta.UDPServerOptions")
        self._options = options
        sock = bind(options.host, options.port, options.receive_buffer, options.send_buffer)
        pool = options.buffer_pool
        size = options.buffer_size if pool is None else 0
        self._endpoint = Endpoint(sock, buffer_size=size, send_queue=options.send_queue)
        self._endpoint.on_sent = self._sent_later
        self._lender = None if pool is None else Lender(pool, options.buffer_size, self._warn)
        self._inlet: Inlet | None = None
        self._log: RateLimited | None = None
        self._gone: asyncio.Future[None] | None = None
        self._draining = False
        self._delivered = self._dropped_no_receiver = self._pauses = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the socket unless the server was started by `spawn_meta`: then it belongs to its parent."""
        if "process" not in self.__dict__:
            self._close()

    @property
    def local_address(self) -> Address:
        """The address the socket is bound to, with the port that the system chose where 0 was asked for."""
        return self._endpoint.local_address

    # --- life ---------------------------------------------------------------------------------------------

    def init(self, process: MetaProcess) -> None:  # type: ignore[override]
        self.process = process
        if self._endpoint.closed:
            raise NotAllowed(f"UDP server {format_address(self.local_address)} was terminated; create another one")
        self._log = RateLimited(process.log)
        options = self._options
        to: Target = process.parent if options.process is None else options.process
        low_water = options.high_water // 4 if options.low_water is None else options.low_water
        self._inlet = process.inlet(to, options.high_water, low_water, self._resume)
        asked = options.receive_buffer
        if asked is not None and self._endpoint.receive_buffer < asked:
            process.log.warning(
                "UDP server %s: the system granted a receive buffer of %d bytes, not %d; raise net.core.rmem_max "
                "(sysctl -w net.core.rmem_max=%d)",
                format_address(self.local_address),
                self._endpoint.receive_buffer,
                asked,
                asked,
            )

    async def start(self) -> None:
        """Reads until the server is ended. Raises `OSError` if the socket itself is gone."""
        self._gone = self.process.loop.create_future()
        self._endpoint.open(self.process.loop, self._readable)
        self._resume()
        self.process.log.info("UDP server listens on %s", format_address(self.local_address))
        await self._gone

    def drain(self) -> None:
        self._draining = True
        self._endpoint.pause()

    def drained(self) -> bool:
        return self._endpoint.send_waiting == 0

    def terminate(self, reason: Exception) -> None:
        """Closes the socket. A second time does nothing."""
        self._close()

    def _close(self) -> None:
        if self._inlet is not None:
            self._inlet.close()
        for message, _ in self._endpoint.close():
            self._finished(message)  # who waits for it by `call` is told by the runtime: MetaTerminated

    # --- from the socket ----------------------------------------------------------------------------------

    def _readable(self) -> None:
        """The socket has datagrams: they are delivered, and handled at once."""
        self.process.run_with(self._deliver)

    def _deliver(self) -> None:
        """As many as the receiver takes, a batch at most, go into its mailbox."""
        inlet = self._inlet
        if inlet is None:
            return
        room = inlet.room()
        if room == 0:
            self._pauses += 1
            self._endpoint.pause()
            return
        try:
            messages = self._receive(min(room, self._options.receive_batch))
        except OSError as error:
            self._endpoint.pause()
            if self._gone is not None and not self._gone.done():
                self._gone.set_exception(error)
            return
        if messages:
            taken = inlet.put(messages)
            self._delivered += taken
            self._dropped_no_receiver += len(messages) - taken

    def _receive(self, limit: int) -> list[MessageUDP]:
        alias = self.process.id
        lender = self._lender
        if lender is None:
            return [MessageUDP(alias, addr, data, cut) for data, addr, cut in self._endpoint.receive(limit)]
        messages = []
        for buffer, length, addr, cut in self._endpoint.receive_pooled(limit, lender.get, lender.put):
            lease = Lease(buffer, length, lender.put)
            messages.append(MessageUDP(alias, addr, lease.view, cut, lease))
        return messages

    def _resume(self) -> None:
        if not self._draining:
            self._endpoint.resume()

    # --- to the socket ------------------------------------------------------------------------------------

    def handle_message(self, sender: PID, message: Any) -> None:
        if not isinstance(message, MessageUDP):
            self._warn("message", "a %s was sent to a UDP server, which takes MessageUDP", type(message).__name__)
            return
        try:
            if self._endpoint.send(message.data, message.addr, (message, None)) is not None:
                self._finished(message)
        except Exception as error:
            self._failed(message, error)

    def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        """Sends, and answers with the number of bytes that the kernel took, or with the error."""
        if not isinstance(request, MessageUDP):
            error: Exception = NotAllowed(f"a UDP server takes MessageUDP, not {type(request).__name__}")
            self.process.send_response_error(sender, ref, error)
            return NO_REPLY
        try:
            size = self._endpoint.send(request.data, request.addr, (request, ref))
        except Exception as failure:
            self.process.send_response_error(sender, ref, self._failed(request, failure))
            return NO_REPLY
        if size is None:
            return NO_REPLY
        self._finished(request)
        return size

    def _sent_later(self, token: tuple[MessageUDP, Ref | None], size: int, error: Exception | None) -> None:
        """A datagram that had to wait was sent or refused."""
        message, ref = token
        if error is None:
            self._finished(message)
        else:
            error = self._failed(message, error)
        if ref is not None and error is None:
            self.process.send_response(self.process.parent, ref, size)
        elif ref is not None and error is not None:
            self.process.send_response_error(self.process.parent, ref, error)

    def _failed(self, message: MessageUDP, error: Exception) -> Exception:
        """One datagram could not be sent: it is counted, logged at a bounded rate, and its buffer goes back."""
        if isinstance(error, ValueError) and not isinstance(error, HomingError) and _was_released(message):
            error = BufferReleased()
        number = error.errno if isinstance(error, OSError) else None
        kind = errno.errorcode.get(number or 0, type(error).__name__)
        self._warn(f"send {kind}", "a datagram to %s was not sent: %s", message.addr, error)
        self._finished(message)
        return error

    def _finished(self, message: MessageUDP) -> None:
        """The datagram has gone out, or never will: a pooled buffer goes back."""
        if message._lease is not None:
            message._lease.release_after(message.data)
        elif self._lender is not None:
            self._lender.put_sent(message.data)

    # --- what it tells ------------------------------------------------------------------------------------

    def _warn(self, kind: str, text: str, *args: object) -> None:
        if self._log is not None:
            self._log.warning(self.process.loop.time(), kind, text, *args)

    def statistics(self) -> Statistics:
        """A snapshot of the counters, also after the end."""
        endpoint = self._endpoint
        return Statistics(
            packets_in=endpoint.packets_in,
            bytes_in=endpoint.bytes_in,
            delivered=self._delivered,
            dropped_no_receiver=self._dropped_no_receiver,
            truncated=endpoint.truncated,
            kernel_drops=endpoint.kernel_drops,
            receive_errors=dict(endpoint.receive_errors),
            packets_out=endpoint.packets_out,
            bytes_out=endpoint.bytes_out,
            send_errors=dict(endpoint.send_errors),
            send_waiting=endpoint.send_waiting,
            dropped_send_queue=endpoint.dropped_send_queue,
            pool_errors=self._lender.errors if self._lender is not None else 0,
            pauses=self._pauses,
        )

    def handle_inspect(self, sender: PID, *items: str) -> dict[str, Any]:
        """The counters of `statistics()` (kernel_drops "n/a" where the system does not tell), and: listener, process,
        backend, reading, waiting_for ("mailbox", "receiver" or ""), receive_buffer and send_buffer as granted."""
        facts = asdict(self.statistics())
        if facts["kernel_drops"] is None:
            facts["kernel_drops"] = "n/a"
        inlet = self._inlet
        facts.update(
            listener=format_address(self.local_address),
            process=str(inlet.receiver) if inlet is not None else "",
            backend=self._endpoint.backend_name,
            reading=self._endpoint.reading,
            waiting_for=inlet.waiting_for if inlet is not None else "",
            receive_buffer=self._endpoint.receive_buffer,
            receive_buffer_asked=self._options.receive_buffer,
            send_buffer=self._endpoint.send_buffer,
            send_buffer_asked=self._options.send_buffer,
            buffer_pool=repr(self._options.buffer_pool) if self._lender is not None else "",
        )
        return {key: facts[key] for key in items if key in facts} if items else facts


def _was_released(message: MessageUDP) -> bool:
    data = message.data
    if not isinstance(data, memoryview):
        return False
    try:
        data.nbytes  # noqa: B018 - a released view raises
    except ValueError:
        return True
    return False


def create_udp_server(options: UDPServerOptions) -> UDPServer:
    """Binds a UDP socket and gives the server, to be started by `spawn_meta`, with which its life begins.

    It is bound from here on: what arrives waits in the kernel. Until it is started it belongs to the caller, who
    ends it by `terminate(reason)` or uses it as a context manager; if `spawn_meta` fails, it has been terminated.
    Raises `BindFailed` with host, port and what to do.
    """
    return UDPServer(options)
