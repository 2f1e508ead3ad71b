"""The stand-in for a process of another node: an activity whose mailbox is the outbox of the link to that node.

So all that puts something into a mailbox works unchanged: sends, calls, requests, forwarded ones, timers, inspections,
exit signals. Nothing is ever queued here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..gen import PID, Alias, MessagePriority, NodeBusy, NodeUnknown, ProcessID, ProcessState, Ref
from ..node.mailbox.envelope import Exit, Inspection, Request, SplitMessage, Tick
from ..node.messaging.sending import ELSEWHERE
from ..node.messaging.sent_request import SentRequest
from ..node.scheduling.activity import Activity
from . import wire
from .engine import MAIN, SIGNALS, SYSTEM

if TYPE_CHECKING:
    from ..node.core import Core
    from .link import Link

_SLEEP, _TERMINATED = ProcessState.SLEEP, ProcessState.TERMINATED

_NORMAL = MessagePriority.NORMAL

_CALL = bytes((0x98, wire.CALL))
"""Begins the frame of a call: an array of eight, of which the first is its tag."""

_PRIORITIES = tuple(wire.ENCODER.encode(priority) for priority in range(3))

_SENDERS = 64
"""Encoded heads kept by a target, one for each sender."""


class RemoteTarget(Activity):
    """One address of another node. link: the connection to that node, in one epoch. address: as frames have it.

    Its calls that are open are those of the link, so that all of them end with it.
    """

    __slots__ = ("_calls", "_head", "_heads", "_outbox", "_sender", "address", "link")

    def __init__(self, core: Core, link: Link, to: PID | Alias | ProcessID) -> None:
        super().__init__(core, to, core.pid, ELSEWHERE, False)  # type: ignore[arg-type] # a name is an address here
        self.link = link
        self.address: int | str = to.name if isinstance(to, ProcessID) else to.id
        self._outbox = link.outbox
        self._calls = core.calls
        self._sender: Any = None
        self._head = b""
        self._heads: dict[Any, bytes] = {}
        self.state = _SLEEP
        self.scheduled = True
        self.guarded = True
        self.pending = link.pending

    def __repr__(self) -> str:
        return f"{self.id} of another node"

    def put(self, entry: Any, priority: int, limit: int = 0) -> bool:
        """Encodes what `entry` says and queues it for the other node.

        Raises `NodeUnknown`, `NodeBusy`, `NotTransferable`, `MessageTooLarge`.
        """
        if self._outbox.closed:
            raise NodeUnknown(self.id, self.link.peer.name)
        if type(entry) is tuple:
            sender, message = entry
            if priority == 0:
                if sender is not self._sender:
                    self._head = self._head_of(sender)
                    self._sender = sender
                self._outbox.send(self, sender, self._head, message)
            else:
                self._send_urgent(sender, message, priority)
        elif isinstance(entry, Request):
            self._call(entry, priority)
        elif isinstance(entry, SplitMessage):
            if not isinstance(entry, Tick) or entry.claim():
                self.put((entry.sender, entry.message), priority)
        elif isinstance(entry, Exit):
            self.put_exit(entry)
        elif isinstance(entry, Inspection):
            self._inspect(entry)
        else:
            raise TypeError(f"{type(entry).__name__} cannot be sent to another node")
        return True

    def put_runtime(self, entry: Any, priority: int) -> None:
        """Like `put`; nothing if the other node is down or busy."""
        if self.state is not _TERMINATED:
            self.put(entry, priority)

    def put_exit(self, signal: Exit, priority: int = 2) -> None:
        """Sends an exit signal."""
        if self.state is not _TERMINATED:
            reason = self.link.types.error_out(signal.reason)
            self.link.post(wire.Exit(self.address, self.link.address_of(signal.sender), reason), SIGNALS)

    def _head_of(self, sender: Any) -> bytes:
        """Returns the encoded receiver and sender of a frame."""
        head = self._heads.get(sender)
        if head is None:
            if len(self._heads) >= _SENDERS:
                self._heads.clear()
            head = wire.ENCODER.encode(self.address) + wire.ENCODER.encode(self.link.address_of(sender))
            self._heads[sender] = head
        return head

    def _send_urgent(self, sender: Any, message: Any, priority: int) -> None:
        kind, body = self._outbox.encode(message)
        frame = wire.Send(self.address, self.link.address_of(sender), kind, wire.Raw(body), int(priority))
        if self._outbox.post(frame, SYSTEM, False, self.id):
            self._outbox.messages += 1

    def _call(self, request: Request, priority: int) -> None:
        sender, ref = request.sender, request.ref
        head = self._head if sender is self._sender else self._head_of(sender)
        before = _CALL + wire.ENCODER.encode(self.link.reference(ref)) + head + wire.ENCODER.encode(self._left(ref))
        lane = MAIN if priority == 0 else SYSTEM
        if not self._outbox.enclose(before, request.request, _PRIORITIES[priority], lane, False, self.id):
            raise NodeBusy(self.id, self.link.peer.name, self._outbox.limit)  # it was dropped

    def _inspect(self, request: Inspection) -> None:
        link = self.link
        left = self._left(request.ref)
        sender = link.address_of(request.sender)
        self._ask(wire.Inspect(link.reference(request.ref), self.address, sender, left, list(request.items)), SYSTEM)

    def _ask(self, frame: Any, lane: int) -> None:
        """Queues a frame that somebody waits for the answer to. Raises `NodeBusy` also if it was dropped."""
        if not self._outbox.post(frame, lane, False, self.id):
            raise NodeBusy(self.id, self.link.peer.name, self._outbox.limit)

    def _left(self, ref: Ref) -> int:
        """Returns the milliseconds for which the caller still waits."""
        waiter = self._calls.open(ref)
        if waiter is None:
            return 5000
        left = waiter.seconds
        if isinstance(waiter, SentRequest) and waiter.due > 0:
            left = waiter.due - self.core.loop.time()
        return max(1, int(1000 * left))
