"""The UDP server: a meta-process that turns datagrams into messages, and messages into datagrams."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections import deque
from dataclasses import asdict
from types import TracebackType
from typing import Any, ClassVar, Self

from ..act.pool_options import PoolOptions
from ..datagram import (
    VARIABLE,
    Address,
    Endpoint,
    JoinGroup,
    LeaveGroup,
    MessageUDP,
    Statistics,
    asked,
    duplicate,
    format_address,
    let_go,
    name_of,
    open_socket,
    why_portable,
)
from ..gen import (
    NO_REPLY,
    PID,
    BadOption,
    BindFailed,
    BufferReleased,
    HomingError,
    MetaBehavior,
    MetaTerminated,
    NotAllowed,
    Ref,
    Target,
)
from ..gen.behavior import Result
from ..node.logs import ContextAdapter, RateLimited
from ..node.meta import MetaProcess
from ..node.process import Process
from .incoming import TURN, Incoming
from .lending import Lender
from .lingering import find, forget, linger
from .options import UDPServerOptions
from .outgoing import any_leased, take_datagrams
from .reporting import Reporter
from .workers import pool_options, retire, serves, start_workers


class UDPServer(MetaBehavior):
    """A bound UDP socket. Each datagram comes as a `MessageUDP` to the parent, or to `process`; a `MessageUDP` sent
    to the alias goes out to its `addr`. A receiver whose class defines `handle_datagrams(self, batch)` gets a
    `DatagramBatch` there instead: all that one wake-up brought.

    Never stops for one datagram's fate: counts it and goes on. Ends by exit signal, with its parent, with the node,
    or if the socket itself is gone. Reading pauses while the receiver's mailbox is full or nobody is there; what comes
    meanwhile waits in the kernel's buffer, and what finds no room there is counted as `kernel_drops`. Or something is
    dropped while the mailbox is full: see `UDPServerOptions.overflow`.
    """

    process: MetaProcess

    _forwards: ClassVar[bool] = True

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
        self._incoming: Incoming | None = None
        self._pool: Process | None = None
        self._pauses_sending = options.send_overflow == "pause"
        self._send_pauses = 0
        self._log: RateLimited | None = None
        self._reporter: Reporter | None = None
        self._gone: asyncio.Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the socket unless the server was started by `spawn_meta`: then it belongs to its parent. One that was
        to be adopted lingers on."""
        if "process" not in self.__dict__:
            self._close()

    @property
    def local_address(self) -> Address:
        """The address the socket is bound to, with the port that the system chose where 0 was asked for."""
        return self._endpoint.local_address

    # --- life ---------------------------------------------------------------------------------------------

    def init(self, process: MetaProcess) -> Result:  # type: ignore[override]
        self.process = process
        if self._endpoint.closed:
            raise NotAllowed(f"UDP server {format_address(self.local_address)} was terminated; create another one")
        self._log = RateLimited(process.log)
        _tell_once_why_portable(process.log)
        options = self._options
        if self._pauses_sending and not process.limit:
            process.bound(options.send_queue)
        self._endpoint.on_sent = self._sent_later
        if options.on_error is not None:
            self._reporter = Reporter(process, options.on_error, options.high_water, self._warn)
        self._endpoint.report_errors(None if self._reporter is None else self._reporter.tell)
        self._warn_of_small_buffers(process)
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

    def _warn_of_small_buffers(self, process: MetaProcess) -> None:
        for name, sysctl in (("receive", "net.core.rmem_max"), ("send", "net.core.wmem_max")):
            asked, granted = getattr(self._options, f"{name}_buffer"), getattr(self._endpoint, f"{name}_buffer")
            if asked is not None and granted < asked:
                process.log.warning(
                    "UDP server %s: the system granted a %s buffer of %d bytes, not %d; raise %s (sysctl -w %s=%d)",
                    format_address(self.local_address),
                    name,
                    granted,
                    asked,
                    sysctl,
                    sysctl,
                    asked,
                )

    async def start(self) -> None:
        """Reads until the server is ended. Raises `OSError` if the socket itself is gone."""
        self._gone = self.process.loop.create_future()
        if self._incoming is not None:
            self._endpoint.open(self.process.loop, self._incoming.readable)
            self._incoming.resume()
        self.process.log.info("UDP server listens on %s", format_address(self.local_address))
        await self._gone

    def _socket_gone(self, error: OSError) -> None:
        if self._gone is not None and not self._gone.done():
            self._gone.set_exception(error)

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

    def drain(self) -> None:
        if self._incoming is not None:
            self._incoming.drain()

    def drained(self) -> bool:
        return self._endpoint.send_waiting == 0

    def terminate(self, reason: Exception) -> None:
        """Closes the socket. A second time does nothing."""
        self._close()

    def _close(self) -> None:
        if self._adopted or self._predecessor is not None:
            return  # the socket is, or still is, another's
        forget(self)
        if self._incoming is not None:
            self._incoming.close()
        for message, ref in self._endpoint.close():
            if ref is None:
                self._report(message, MetaTerminated(self.process.id))
            self._finished(message)  # who waits for it by `call` is told by the runtime: MetaTerminated

    # --- to the socket ------------------------------------------------------------------------------------

    def _take_main(self, main: deque[Any]) -> int:
        """Drains the main lane, many datagrams with one system call. Gives how many entries it took."""
        most = TURN
        if self._pauses_sending:
            most = min(most, self._endpoint.send_room)
            if most == 0:
                self._send_pauses += 1
                self.process.hold()
                return 0
        messages = take_datagrams(main, most)
        if messages:
            self._send(messages)
            return len(messages)
        entry = main.popleft()
        if type(entry) is tuple:
            self.handle_message(*entry)
        else:
            entry.handle(self.process)
        return 1

    def _send(self, messages: list[MessageUDP]) -> None:
        done, failures = self._endpoint.send_many(messages)
        for index, error in failures:
            self._failed(messages[index], error, None)
        if self._lender is not None or any_leased(messages):
            failed = {index for index, _ in failures}
            for index in range(done):
                if index not in failed:
                    self._finished(messages[index])

    def handle_message(self, sender: PID, message: Any) -> None:
        """What is no datagram. (Those go through `_take_main`, or come with a higher priority.)"""
        if isinstance(message, MessageUDP):
            self._send([message])
        else:
            self._warn("message", "a %s was sent to a UDP server, which takes MessageUDP", type(message).__name__)

    def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        """Sends, and answers with the number of bytes that the kernel took, or with the error. Joins and leaves
        groups."""
        if isinstance(request, (JoinGroup, LeaveGroup)):
            return self._change_groups(sender, ref, request)
        if not isinstance(request, MessageUDP):
            error: Exception = NotAllowed(f"a UDP server takes MessageUDP, not {type(request).__name__}")
            self.process.send_response_error(sender, ref, error)
            return NO_REPLY
        try:
            size = self._endpoint.send(request, ref)
        except Exception as failure:
            self.process.send_response_error(sender, ref, self._failed(request, failure, ref))
            return NO_REPLY
        if size is None:
            return NO_REPLY
        self._finished(request)
        return size

    def _change_groups(self, sender: PID, ref: Ref, request: JoinGroup | LeaveGroup) -> Any:
        memberships = self._endpoint.memberships
        try:
            if isinstance(request, JoinGroup):
                memberships.join(request)
            else:
                memberships.leave(request)
        except HomingError as error:
            self.process.send_response_error(sender, ref, error)
            return NO_REPLY
        return memberships.groups

    def _sent_later(self, message: MessageUDP, ref: Ref | None, size: int, error: Exception | None) -> None:
        """A datagram that had to wait was sent or refused."""
        if self.process.held and self._endpoint.send_waiting <= self._options.send_queue // 2:
            self.process.resume()
        if error is None:
            self._finished(message)
        else:
            error = self._failed(message, error, ref)
        if ref is not None and error is None:
            self.process.send_response(self.process.parent, ref, size)
        elif ref is not None and error is not None:
            self.process.send_response_error(self.process.parent, ref, error)

    def _failed(self, message: MessageUDP, error: Exception, ref: Ref | None) -> Exception:
        """One datagram could not be sent: it is logged at a bounded rate, `on_error` is told unless who sent it by
        `call` is (`ref`), and its buffer goes back."""
        if isinstance(error, ValueError) and not isinstance(error, HomingError) and _was_released(message):
            error = BufferReleased()
        self._warn(f"send {name_of(error)}", "a datagram to %s was not sent: %s", message.addr, error)
        if ref is None:
            self._report(message, error)
        self._finished(message)
        return error

    def _report(self, message: MessageUDP, error: Exception) -> None:
        if self._reporter is not None:
            mtu = self._endpoint.mtu(message.addr[0]) if getattr(error, "errno", None) == errno.EMSGSIZE else None
            self._reporter.failed(message, error, mtu)

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
        backend = endpoint.backend
        incoming = self._incoming
        return Statistics(
            packets_in=backend.packets_in,
            bytes_in=backend.bytes_in,
            receive_waiting=backend.waiting,
            delivered=incoming.delivered if incoming is not None else 0,
            dropped_no_receiver=incoming.dropped if incoming is not None else 0,
            dropped_newest=incoming.dropped_newest if incoming is not None else 0,
            dropped_oldest=incoming.dropped_oldest if incoming is not None else 0,
            truncated=backend.truncated,
            kernel_drops=endpoint.kernel_drops,
            receive_errors=dict(endpoint.receive_errors),
            packets_out=backend.packets_out,
            bytes_out=backend.bytes_out,
            send_errors=dict(endpoint.send_errors),
            send_waiting=endpoint.send_waiting,
            dropped_send_queue=endpoint.dropped_send_queue,
            dropped_send_oldest=endpoint.dropped_send_oldest,
            send_pauses=self._send_pauses,
            icmp_errors=dict(endpoint.icmp_errors),
            dropped_errors=self._reporter.lost if self._reporter is not None else 0,
            pool_errors=self._lender.errors if self._lender is not None else 0,
            pauses=incoming.pauses if incoming is not None else 0,
        )

    def handle_inspect(self, sender: PID, *items: str) -> dict[str, Any]:
        """The counters of `statistics()` (kernel_drops "n/a" where the system does not tell), and: listener, process,
        backend ("native" or "portable"), gro and gso (whether the kernel joins and splits datagrams for it), reading,
        waiting_for ("mailbox", "receiver", "batch" or ""), receive_buffer and send_buffer as granted, error_queue,
        linger, adoptions (how often a successor has adopted the socket), and transfers (how often its owner has given
        it to another process)."""
        facts = asdict(self.statistics())
        if facts["kernel_drops"] is None:
            facts["kernel_drops"] = "n/a"
        incoming = self._incoming
        facts.update(
            listener=format_address(self.local_address),
            process=str(incoming.receiver) if incoming is not None else "",
            backend=self._endpoint.backend.name,
            gro=self._endpoint.backend.gro,
            gso=self._endpoint.backend.gso,
            reading=self._endpoint.reading,
            waiting_for=incoming.waiting_for() if incoming is not None else "",
            receive_buffer=self._endpoint.receive_buffer,
            receive_buffer_asked=self._options.receive_buffer,
            send_buffer=self._endpoint.send_buffer,
            send_buffer_asked=self._options.send_buffer,
            buffer_pool=repr(self._options.buffer_pool) if self._lender is not None else "",
            error_queue=self._options.error_queue,
            groups=[str(group) for group in self._endpoint.memberships.groups],
            linger=self._linger,
            adoptions=self.process.adoptions,
            transfers=self.process.transfers,
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


def _tell_once_why_portable(log: ContextAdapter) -> None:
    """Where the native backend could serve and does not, the user is told, once in a program."""
    reason = why_portable()
    if reason and reason not in _told and sys.platform == "linux" and VARIABLE not in os.environ:
        _told.add(reason)
        log.warning(
            "UDP servers use the portable datagram backend, which costs about three times as much per datagram: %s. "
            "Install a C compiler and the Python headers and install homing again, or set %s=portable to be content",
            reason,
            VARIABLE,
        )


_told: set[str] = set()


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
    Where a server with the same address lingers on this event loop (`UDPServerOptions.linger`), no socket is bound:
    that one is adopted when the server is started.
    Raises `BindFailed` with host, port and what to do.
    """
    return UDPServer(options)
