"""Datagrams on their way from a meta-process's mailbox into its socket.

A datagram that cannot be sent never stops the meta-process: it is counted, logged at a bounded rate, and reported to
the caller or to `on_error`.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from ...datagram import JoinGroup, LeaveGroup, MessageUDP, MessageUDPError, name_of
from ...datagram.endpoint import Endpoint
from ...datagram.errors import BufferReleased, ReplyLimited
from ...datagram.send_queue import SendQueue
from ...gen import NO_REPLY, PID, HomingError, MetaTerminated, NotAllowed, Ref, Target
from ...gen.foreign import class_name, is_a
from ...node.logs import RateLimited
from ...node.mailbox.lane import COMPILED, STAND_INS
from ...node.processes.meta_process import MetaRunner
from ...node.scheduling.forwarder import Forwarder
from .buffer_lease import BufferLeases
from .error_reports import Reporter
from .options import UDPOptions
from .outgoing import Note, any_leased, is_datagram, take_datagrams, take_noted

if TYPE_CHECKING:
    from ...node.scheduling.activity import Activity

    filled: Callable[[deque[Any] | None], TypeGuard[deque[Any]]]

if not COMPILED:
    globals().update(STAND_INS)

SEND_LIMIT = 512
"""Most messages sent in one go: see docs/decisions/limits.md."""


class OtherSockets(Protocol):
    """Sockets beside the sender's own. An answer leaves by the socket that received the datagram.

    sockets: all of them; always the same list, which is empty most of the time.
    """

    sockets: list[Any]

    @property
    def endpoints(self) -> list[Endpoint]: ...
    def endpoint_of(self, message: MessageUDP) -> Endpoint | None: ...


class Sender(Forwarder):
    """Sends for one meta-process.

    endpoint: the socket that datagrams leave by, unless they belong to one of `others`.
    kind, takes: names of the meta-process, and of the messages it takes, for logs and errors.
    take: takes datagrams from a mailbox's main lane, if it is not to be `take_datagrams`.
    on_icmp_error: called with each ICMP error, also without `on_error`. Must not raise.
    leases: leases of the buffer pool, if there is one. last_leases: the same, or those of the last pool.
    pauses: times that the send queue was full and messages had to wait in the mailbox.
    """

    def __init__(
        self,
        process: MetaRunner,
        endpoint: Endpoint,
        *,
        kind: str,
        takes: str,
        take: Callable[[deque[Any], int], list[MessageUDP]] | None = None,
        others: OtherSockets | None = None,
    ) -> None:
        super().__init__()
        self.endpoint = endpoint
        self.leases: BufferLeases | None = None
        self.last_leases: BufferLeases | None = None
        self.pauses = 0
        self.on_icmp_error: Callable[[MessageUDPError], None] | None = None
        self._process = process
        self._log = RateLimited(process.log, process.core.bounded_log)
        self._kind = kind
        self._takes = takes
        self._take = self._plain_take = take
        self._noted: Note | None = None
        self._others = others
        self._other_sockets: list[Any] = [] if others is None else others.sockets
        self._scheduler = process.core.scheduler
        self._sent_in = -1.0  # the turn in which a datagram was sent at once
        self._may_pause = False
        self._queue_limit = 0
        self._reporter: Reporter | None = None
        self._lost_reports = 0  # lost by the reporters before this one

    def serve(self, options: UDPOptions, leases: BufferLeases | None) -> None:
        """Sends as `options` say, from the start or the adoption of a meta-process on."""
        process = self._process
        self._log = RateLimited(process.log, process.core.bounded_log)
        self.leases = leases
        self.last_leases = leases or self.last_leases
        self.sends_now = leases is None and self._take is None
        self._may_pause = options.send_overflow == "pause"
        if self._may_pause and not process.limit:
            process.bound(options.send_queue)
        self.endpoint.send_queue.pace(options.send_rate)
        self.adjust(options)

    def note_senders(self, note: Note | None) -> None:
        """Calls `note` from now on with each datagram that is sent, and the process that sends it; None: nobody. A
        sender that was made with `take` does not."""
        if self._plain_take is None:
            self._noted = note
            self._take = None if note is None else partial(take_noted, note)
            self.sends_now = note is None and self.leases is None

    def adjust(self, options: UDPOptions) -> None:
        """Bounds the send queues, and reports failures, as `options` say from now on."""
        self._queue_limit = options.send_queue
        for endpoint in self._endpoints():
            endpoint.send_queue.set_limit(options.send_queue, drop_oldest=options.send_overflow == "drop_oldest")
        self._report_to(options.on_error, options.high_water)

    def _report_to(self, on_error: Target | None, most: int) -> None:
        if self._reporter is not None:
            self._lost_reports += self._reporter.lost
        self._reporter = None if on_error is None else Reporter(self._process, on_error, most, self.warn)
        wanted = self._reporter is not None or self.on_icmp_error is not None
        for endpoint in self._endpoints():
            endpoint.send_queue.on_sent = self.sent_later
            endpoint.report_errors(self._icmp_error if wanted else None)
            endpoint.kernel.interfaces.on_failure = self._interface_lost

    def _icmp_error(self, report: MessageUDPError) -> None:
        if self._reporter is not None:
            self._reporter.tell(report)
        if self.on_icmp_error is not None:
            self.on_icmp_error(report)

    @property
    def reporter(self) -> Reporter | None:
        """The reporter to `on_error`; None if there is no `on_error`."""
        return self._reporter

    def _endpoints(self) -> list[Endpoint]:
        return [self.endpoint] if self._others is None else [self.endpoint, *self._others.endpoints]

    def counters(self) -> dict[str, int]:
        """Returns the fields of `Statistics` that do not belong to a single socket."""
        return {
            "send_pauses": self.pauses,
            "dropped_errors": self._lost_reports + (self._reporter.lost if self._reporter is not None else 0),
            "pool_errors": self.last_leases.errors if self.last_leases is not None else 0,
        }

    def warn(self, kind: str, text: str, *args: object) -> None:
        """Logs at a bounded rate for each `kind`."""
        self._log.warning(self._process.loop.time(), kind, text, *args)

    def _interface_lost(self, error: Exception) -> None:
        self.warn("interface", "an interface was made again, but the socket could not be set to use it: %s", error)

    # --- from the mailbox ---------------------------------------------------------------------------------

    def take_main(self, main: deque[Any]) -> int:
        """Drains the main lane, many datagrams with one system call. Returns how many entries it took."""
        most = SEND_LIMIT
        if self._may_pause:
            most = min(most, self.endpoint.send_queue.room)
            if most == 0:
                self.pauses += 1
                self._process.pause()
                return 0
        messages = take_datagrams(main, most) if self._take is None else self._take(main, most)
        if messages:
            self.send(messages)
            return len(messages)
        entry = main.popleft()
        if type(entry) is tuple:
            self._process.behavior.handle_message(*entry)
        else:
            entry.handle(self._process)
        return 1

    def send_at_once(self, messages: list[MessageUDP]) -> int:
        """Sends datagrams in order, without the mailbox, in which nothing may wait. Returns how many, from the first
        on: fewer than all if the send queue is full and messages are to wait in the mailbox, 0 for a UDP client."""
        if self._take is not None:
            return 0
        done = 0
        while done < len(messages):
            most = min(SEND_LIMIT, self.endpoint.send_queue.room) if self._may_pause else SEND_LIMIT
            part = messages if done == 0 and len(messages) <= most else messages[done : done + most]
            if not part:
                break
            done += len(part)
            self._process.handled += len(part)  # first: if `send` fails, they are not sent again
            self.send(part)
        return done

    def send_columns(self, addresses: list[Any], places: Any, lengths: Any, data: bytes) -> int:
        """As `send_at_once`, for datagrams in columns: see `Backend.send_columns`. Those that it does not send are to
        be sent as messages."""
        if self._take is not None or self._other_sockets or self.leases is not None:
            return 0
        done = self.endpoint.send_queue.send_columns(addresses, places, lengths, data)
        self._process.handled += done
        return done

    def send_now(self, sender: Activity, target: Activity, message: Any) -> bool:
        """Sends the first datagram that a callback sends, if it is the answer to a lone datagram, or the like: nothing
        else waits, neither before nor behind it. With more of them, fewer system calls are needed."""
        process, own = sender, target
        scheduler = self._scheduler
        if (
            filled(process.main)
            or filled(own.main)
            or own.scheduled
            or own.paused
            or scheduler.current is not process
            or scheduler.since == self._sent_in
            or self._other_sockets
        ):
            return False
        queue = self.endpoint.send_queue
        if not queue.send_lone(message):
            if not queue.limited or not is_datagram(message):
                return False
            self._send_limited(queue, message)
        self._sent_in = scheduler.since
        own.handled += 1
        return True

    def _send_limited(self, queue: SendQueue, message: MessageUDP) -> None:
        """Sends or queues one datagram, if the limits of its destination allow it."""
        try:
            sent = queue.send(message, None) is not None
        except Exception as failure:
            self.failed(message, failure, None)
            return
        if sent:
            self._finished(message)

    def handle_message(self, message: Any) -> None:
        """Sends a datagram that came with a higher priority. Warns of other messages."""
        if is_a(message, MessageUDP):
            self.send([message])
        else:
            text = "a %s was sent to a %s, which takes %s"
            self.warn("message", text, class_name(message), self._kind, self._takes)

    def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        """Sends, and answers with the number of bytes that the kernel took, or with the error. Joins and leaves
        groups."""
        if type(request) is not MessageUDP and (is_a(request, JoinGroup) or is_a(request, LeaveGroup)):
            return self._change_groups(sender, ref, request)
        if type(request) is not MessageUDP and not is_a(request, MessageUDP):
            error: Exception = NotAllowed(f"a {self._kind} takes {self._takes}, not {class_name(request)}")
            self._process.send_response_error(sender, ref, error)
            return NO_REPLY
        if self._noted is not None:
            self._noted(request, sender)
        try:
            size = self.leaves_by(request).send(request, ref)
        except Exception as failure:
            self._process.send_response_error(sender, ref, self.failed(request, failure, ref))
            return NO_REPLY
        if size is None:
            return NO_REPLY
        self._finished(request)
        return size

    def _change_groups(self, sender: PID, ref: Ref, request: JoinGroup | LeaveGroup) -> Any:
        interfaces = self.endpoint.kernel.interfaces
        try:
            if isinstance(request, JoinGroup):
                interfaces.join(request)
            else:
                interfaces.leave(request)
        except HomingError as error:
            self._process.send_response_error(sender, ref, error)
            return NO_REPLY
        return interfaces.groups

    # --- to the socket ------------------------------------------------------------------------------------

    def leaves_by(self, message: MessageUDP) -> Endpoint:
        """Returns the socket by which a datagram leaves."""
        if self._others is None or not self._other_sockets:
            return self.endpoint
        return self._others.endpoint_of(message) or self.endpoint

    def send(self, messages: list[MessageUDP]) -> None:
        """Sends datagrams in order."""
        if not self._other_sockets:
            self._send_by(self.endpoint, messages)
            return
        for endpoint in self._endpoints():
            self._send_by(endpoint, [message for message in messages if self.leaves_by(message) is endpoint])

    def _send_by(self, endpoint: Endpoint, messages: list[MessageUDP]) -> None:
        queue = endpoint.send_queue
        done, failures = queue.send_many(messages)
        if failures:
            for index, error in failures:
                self.failed(messages[index], error, None)
        if self.leases is not None or any_leased(messages):
            failed = {index for index, _ in failures}
            for index in range(done):
                if index not in failed:
                    self._finished(messages[index])

    def sent_later(self, message: MessageUDP, ref: Ref | None, size: int, error: Exception | None) -> None:
        """Called when a datagram that had to wait was sent or refused."""
        self.go_on()
        if error is None:
            self._finished(message)
        else:
            error = self.failed(message, error, ref)
        if ref is not None and error is None:
            self._process.send_response(self._process.parent, ref, size)
        elif ref is not None and error is not None:
            self._process.send_response_error(self._process.parent, ref, error)

    def go_on(self) -> None:
        """Takes from the mailbox again, if it has paused and the send queue has room."""
        if self._process.paused and self.endpoint.send_queue.waiting <= self._queue_limit // 2:
            self._process.resume()

    def failed(self, message: MessageUDP, error: Exception, ref: Ref | None) -> Exception:
        """Handles a datagram that could not be sent: logs it at a bounded rate, reports it to `on_error` unless it was
        sent by `call` (`ref`), and returns its buffer to the pool. Returns the error to answer with."""
        if isinstance(error, ValueError) and not isinstance(error, HomingError) and _was_released(message):
            error = BufferReleased()
        self.warn(f"send {name_of(error)}", "a datagram to %s was not sent: %s", message.addr, error)
        if ref is None and not isinstance(error, ReplyLimited):
            self._report(message, error)
        self._finished(message)
        return error

    def _report(self, message: MessageUDP, error: Exception) -> None:
        if self._reporter is not None:
            too_long = is_a(error, OSError) and error.errno == errno.EMSGSIZE
            mtu = self.leaves_by(message).mtu(message.addr[0]) if too_long else None
            self._reporter.failed(message, error, mtu)

    def _finished(self, message: MessageUDP) -> None:
        """Returns the pooled buffer of a datagram that was sent or never will be."""
        if message._lease is not None:
            message._lease.release_after(message.data)
        elif self.leases is not None:
            self.leases.put_sent(message.data)

    def close(self, endpoint: Endpoint) -> None:
        """Closes one of its sockets, and reports the datagrams still queued. Callers get `MetaTerminated` from the
        runtime."""
        for message, token in endpoint.close():
            if token is None:
                self._report(message, MetaTerminated(self._process.id))
            self._finished(message)


def _was_released(message: MessageUDP) -> bool:
    data: Any = message.data
    if type(data) is not memoryview:
        return False
    try:
        data.nbytes  # noqa: B018 - a released view raises
    except ValueError:
        return True
    return False
