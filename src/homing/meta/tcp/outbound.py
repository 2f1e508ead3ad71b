"""The way of frames from the server's mailbox to their connections."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from ...gen import NO_REPLY, PID, NotAllowed, Ref
from ...gen.copying import refuse_copy
from ...gen.foreign import class_name, is_a
from ...node.mailbox.lane import COMPILED, STAND_INS
from ...node.processes.meta_process import MetaRunner
from ...node.scheduling.forwarder import Forwarder
from .errors import ConnectionEnded
from .hub import Hub
from .messages import CloseConnection, MessageTCP, address_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeGuard

    from ...node.scheduling.activity import Activity

    filled: Callable[[deque[Any] | None], TypeGuard[deque[Any]]]

if not COMPILED:
    globals().update(STAND_INS)

_COMPILED = COMPILED

_MOST = 512
"""Most entries taken in one go, as of a UDP server."""


class Outflow(Forwarder):
    """Sends for one server or client. A frame that cannot be sent never ends it: it is counted, and logged at a bounded
    rate.

    Frames that a receiver sends while it runs for frames that have just come do not go through the mailbox, unless
    something waits there: see `Hub.collects`.
    """

    __slots__ = ("_connections", "_hub", "_kind", "_process")

    __reduce__ = refuse_copy

    def __init__(self, process: MetaRunner, hub: Hub, kind: str) -> None:
        super().__init__()
        self._process = process
        self._hub = hub
        self._kind = kind
        self._connections = hub.table.numbered
        self.sends_now = True

    def take_main(self, main: deque[Any]) -> int:
        """Takes frames from the head of the mailbox. Those of one connection leave together, in their order."""
        taken = 0
        sender: Any
        message: Any
        try:
            while filled(main) and taken < _MOST:
                if _COMPILED:
                    message = main.take()  # type: ignore[attr-defined]
                    sender = main.sender  # type: ignore[attr-defined]
                else:
                    entry = main.popleft()
                    sender, message = entry if type(entry) is tuple else (None, entry)
                taken += 1
                if sender is not None and type(message) is MessageTCP:
                    if not self._put(message):
                        self.send(message)
                else:
                    self._hub.flush()
                    self._handle(sender, message)
        finally:
            self._hub.flush()
        return taken

    def send_now(self, sender: Activity, target: Activity, message: Any) -> bool:
        """Queues a frame until the flush that follows the turn of its sender, if nothing waits in the mailbox."""
        if not self._hub.collects or type(message) is not MessageTCP:
            return False
        own = target
        if filled(own.main) or own.scheduled or own.paused or not self._put(message):
            return False
        own.handled += 1
        return True

    def _put(self, message: MessageTCP) -> bool:
        """Queues a frame for a connection by its number. Returns False if it has done nothing."""
        try:
            number = message.connection
        except AttributeError:  # its `__init__` never ran
            return False
        if type(number) is not int:
            return False
        connection = self._connections.get(number)
        return connection is not None and connection.put_now(message)

    def _handle(self, sender: Any, message: Any) -> None:
        if sender is not None:
            self._process.behavior.handle_message(sender, message)
        else:
            message.handle(self._process)

    def send(self, message: MessageTCP) -> None:
        """Queues one frame until the flush."""
        try:
            self._hub.queue(message)
        except ConnectionEnded:
            pass  # counted: the peer may go at any time
        except Exception as error:
            self._process.warn("encode", "a frame for %s was not sent: %s", address_of(message), error)

    def handle_message(self, message: Any) -> None:
        """Sends a frame that came with a higher priority. Closes a connection. Warns of other messages."""
        if is_a(message, MessageTCP):
            self.send(message)
            self._hub.flush()
        elif type(message) is CloseConnection:
            self._hub.close_one(message.connection)
        else:
            text = "a %s was sent to a %s, which takes MessageTCP"
            self._process.warn("message", text, class_name(message), self._kind)

    def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        """Sends a frame, and answers with its length on the wire, or with the error."""
        if not is_a(request, MessageTCP):
            error: Exception = NotAllowed(f"a {self._kind} takes MessageTCP, not {class_name(request)}")
            self._process.send_response_error(sender, ref, error)
            return NO_REPLY
        try:
            size = self._hub.queue(request)
        except Exception as failure:
            self._process.send_response_error(sender, ref, failure)
            return NO_REPLY
        self._hub.flush()
        return size
