"""What the meta-processes that own a UDP socket have in common: to send, to tell what failed, to count, to close."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections import deque
from collections.abc import Sized
from dataclasses import asdict
from types import TracebackType
from typing import Any, ClassVar, Protocol, Self

from ...datagram import (
    VARIABLE,
    Address,
    Endpoint,
    JoinGroup,
    LeaveGroup,
    MessageUDP,
    Pacing,
    Statistics,
    format_address,
    name_of,
    why_portable,
)
from ...gen import (
    NO_REPLY,
    PID,
    BufferReleased,
    HomingError,
    MetaBehavior,
    MetaTerminated,
    NotAllowed,
    Ref,
    ReplyLimited,
    Target,
)
from ...gen.hooks import MetaHooks
from ...node.logs import ContextAdapter, RateLimited
from ...node.processes.meta_process import MetaRunner
from ..udp_server.options import Overflow
from ..udp_server.reader import TURN
from .buffer_lease import Lender
from .counters import Reading, count
from .error_reports import Reporter
from .outgoing import any_leased, take_datagrams


class Options(Protocol):
    """What it asks of its options."""

    @property
    def receive_buffer(self) -> int | None: ...
    @property
    def send_buffer(self) -> int | None: ...
    @property
    def send_rate(self) -> Pacing | None: ...
    @property
    def error_queue(self) -> bool: ...
    @property
    def process(self) -> Target | None: ...
    @property
    def high_water(self) -> int: ...
    @property
    def send_queue(self) -> int: ...
    @property
    def send_overflow(self) -> Overflow: ...
    @property
    def on_error(self) -> Target | None: ...


class UDPSocketHooks(MetaHooks):
    """Hooks of a meta-process that owns a UDP socket."""

    __slots__ = ()

    behavior: UDPSocket
    forwards: ClassVar[bool] = True

    def __init__(self, behavior: UDPSocket) -> None:
        super().__init__(behavior)
        self.take_main = behavior._take_main

    def transferred(self) -> None:
        self.behavior._transferred()


class UDPSocket(MetaBehavior):
    """A UDP socket. A `MessageUDP` sent to the alias goes out.

    Never stops for one datagram's fate: counts it and goes on.
    """

    process: MetaRunner

    _runtime_hooks: ClassVar[type[MetaHooks]] = UDPSocketHooks
    _kind: ClassVar[str]
    _takes: ClassVar[str] = "MessageUDP"
    _endpoint: Endpoint
    _options: Options
    _incoming: Reading | None = None
    _lender: Lender | None = None
    _log: RateLimited | None = None
    _reporter: Reporter | None = None
    _gone: asyncio.Future[None] | None = None
    _pauses_sending = False
    _send_pauses = 0
    _lost_reports = 0  # of reporters before this one
    _formers: Sized = ()  # sockets that it had before, see `moving`

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the socket unless it was started by `spawn_meta`: then it belongs to its parent. One that was to be
        adopted lingers on."""
        if "process" not in self.__dict__:
            self._close()

    @property
    def local_address(self) -> Address:
        """The address the socket is bound to, with the port that the system chose where 0 was asked for."""
        return self._endpoint.local_address

    # --- life ---------------------------------------------------------------------------------------------

    def _own(self, process: MetaRunner) -> None:
        """Its life begins, with `process`."""
        self.process = process
        self._log = RateLimited(process.log)

    def _prepare(self) -> None:
        """The socket is there, and is used from here on."""
        process, options = self.process, self._options
        if self._endpoint.closed:
            raise NotAllowed(f"{self._kind} {format_address(self.local_address)} was terminated; create another one")
        _tell_once_why_portable(process.log)
        self._pauses_sending = options.send_overflow == "pause"
        if self._pauses_sending and not process.limit:
            process.bound(options.send_queue)
        self._endpoint.send_queue.pace(options.send_rate)
        self._report_to(options.on_error)
        self._warn_of_small_buffers()

    def _endpoints(self) -> list[Endpoint]:
        """All its sockets."""
        return [self._endpoint]

    def _report_to(self, on_error: Target | None) -> None:
        """From now on tells `on_error` of what fails."""
        if self._reporter is not None:
            self._lost_reports += self._reporter.lost
        high_water = self._options.high_water
        self._reporter = None if on_error is None else Reporter(self.process, on_error, high_water, self._warn)
        for endpoint in self._endpoints():
            endpoint.send_queue.on_sent = self._sent_later
            endpoint.report_errors(None if self._reporter is None else self._reporter.tell)

    def _warn_of_small_buffers(self) -> None:
        for name, sysctl in (("receive", "net.core.rmem_max"), ("send", "net.core.wmem_max")):
            asked, granted = getattr(self._options, f"{name}_buffer"), getattr(self._endpoint.kernel, f"{name}_buffer")
            if asked is not None and granted < asked:
                self.process.log.warning(
                    "%s %s: the system granted a %s buffer of %d bytes, not %d; raise %s (sysctl -w %s=%d)",
                    self._kind,
                    format_address(self.local_address),
                    name,
                    granted,
                    asked,
                    sysctl,
                    sysctl,
                    asked,
                )

    def _socket_gone(self, error: OSError) -> None:
        if self._gone is not None and not self._gone.done():
            self._gone.set_exception(error)

    def _transferred(self) -> None:
        """Datagrams that go to the owner go to the new one."""
        if self._incoming is not None and self._options.process is None:
            self._incoming.redirect(self.process.parent)

    def drain(self) -> None:
        if self._incoming is not None:
            self._incoming.drain()

    def drained(self) -> bool:
        return self._endpoint.send_queue.waiting == 0

    def terminate(self, reason: Exception) -> None:
        """Closes the socket. A second time does nothing."""
        self._close()

    def _close(self) -> None:
        if self._incoming is not None:
            self._incoming.close()
        self._close_one(self._endpoint)

    def _close_one(self, endpoint: Endpoint) -> None:
        for message, token in endpoint.close():
            if token is None:
                self._report(message, MetaTerminated(self.process.id))
            self._finished(message)  # who waits for it by `call` is told by the runtime: MetaTerminated

    # --- to the socket ------------------------------------------------------------------------------------

    _take = staticmethod(take_datagrams)

    def _take_main(self, main: deque[Any]) -> int:
        """Drains the main lane, many datagrams with one system call. Gives how many entries it took."""
        most = TURN
        if self._pauses_sending:
            most = min(most, self._endpoint.send_queue.room)
            if most == 0:
                self._send_pauses += 1
                self.process.hold()
                return 0
        messages = self._take(main, most)
        if messages:
            self._send(messages)
            return len(messages)
        entry = main.popleft()
        if type(entry) is tuple:
            self.handle_message(*entry)
        else:
            entry.handle(self.process)
        return 1

    def _leaves_from(self, message: MessageUDP) -> Endpoint:
        """The socket by which a datagram goes out."""
        return self._endpoint

    def _send(self, messages: list[MessageUDP]) -> None:
        if not self._formers:
            self._send_by(self._endpoint, messages)
            return
        for endpoint in self._endpoints():
            self._send_by(endpoint, [message for message in messages if self._leaves_from(message) is endpoint])

    def _send_by(self, endpoint: Endpoint, messages: list[MessageUDP]) -> None:
        done, failures = endpoint.send_many(messages)
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
            self._warn(
                "message", "a %s was sent to a %s, which takes %s", type(message).__name__, self._kind, self._takes
            )

    def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        """Sends, and answers with the number of bytes that the kernel took, or with the error. Joins and leaves
        groups."""
        if isinstance(request, (JoinGroup, LeaveGroup)):
            return self._change_groups(sender, ref, request)
        if not isinstance(request, MessageUDP):
            error: Exception = NotAllowed(f"a {self._kind} takes {self._takes}, not {type(request).__name__}")
            self.process.send_response_error(sender, ref, error)
            return NO_REPLY
        try:
            endpoint = self._leaves_from(request) if self._formers else self._endpoint
            size = endpoint.send(request, ref)
        except Exception as failure:
            self.process.send_response_error(sender, ref, self._failed(request, failure, ref))
            return NO_REPLY
        if size is None:
            return NO_REPLY
        self._finished(request)
        return size

    def _change_groups(self, sender: PID, ref: Ref, request: JoinGroup | LeaveGroup) -> Any:
        memberships = self._endpoint.kernel.memberships
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
        self._go_on_sending()
        if error is None:
            self._finished(message)
        else:
            error = self._failed(message, error, ref)
        if ref is not None and error is None:
            self.process.send_response(self.process.parent, ref, size)
        elif ref is not None and error is not None:
            self.process.send_response_error(self.process.parent, ref, error)

    def _go_on_sending(self) -> None:
        if self.process.held and self._endpoint.send_queue.waiting <= self._options.send_queue // 2:
            self.process.resume()

    def _failed(self, message: MessageUDP, error: Exception, ref: Ref | None) -> Exception:
        """One datagram could not be sent: it is logged at a bounded rate, `on_error` is told unless who sent it by
        `call` is (`ref`), and its buffer goes back."""
        if isinstance(error, ValueError) and not isinstance(error, HomingError) and _was_released(message):
            error = BufferReleased()
        self._warn(f"send {name_of(error)}", "a datagram to %s was not sent: %s", message.addr, error)
        if ref is None and not isinstance(error, ReplyLimited):
            self._report(message, error)
        self._finished(message)
        return error

    def _report(self, message: MessageUDP, error: Exception) -> None:
        if self._reporter is not None:
            endpoint = self._leaves_from(message)
            mtu = endpoint.mtu(message.addr[0]) if getattr(error, "errno", None) == errno.EMSGSIZE else None
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

    def _counters(self) -> dict[str, Any]:
        """The fields of `Statistics`."""
        return {
            **count(self._endpoint, self._incoming),
            "send_pauses": self._send_pauses,
            "dropped_errors": self._lost_reports + (self._reporter.lost if self._reporter is not None else 0),
            "pool_errors": self._lender.errors if self._lender is not None else 0,
        }

    def _facts(self, statistics: Statistics) -> dict[str, Any]:
        """What `inspect_meta` tells of the socket."""
        facts = asdict(statistics)
        if facts["kernel_drops"] is None:
            facts["kernel_drops"] = "n/a"
        incoming = self._incoming
        facts.update(
            process=str(incoming.receiver) if incoming is not None else "",
            backend=self._endpoint.backend.name,
            gro=self._endpoint.backend.gro,
            gso=self._endpoint.backend.gso,
            reading=self._endpoint.reading,
            waiting_for=incoming.waiting_for() if incoming is not None else "",
            receive_buffer=self._endpoint.kernel.receive_buffer,
            receive_buffer_asked=self._options.receive_buffer,
            send_buffer=self._endpoint.kernel.send_buffer,
            send_buffer_asked=self._options.send_buffer,
            error_queue=self._options.error_queue,
            groups=[str(group) for group in self._endpoint.kernel.memberships.groups],
            transfers=self.process.transfers,
        )
        return facts


def _tell_once_why_portable(log: ContextAdapter) -> None:
    """Where the native backend could serve and does not, the user is told, once in a program."""
    reason = why_portable()
    if reason and reason not in _told and sys.platform == "linux" and VARIABLE not in os.environ:
        _told.add(reason)
        log.warning(
            "UDP sockets use the portable datagram backend, which costs about three times as much per datagram: %s. "
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
