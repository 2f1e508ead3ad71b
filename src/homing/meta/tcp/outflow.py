"""The way of frames from the server's mailbox to their connections."""

from __future__ import annotations

from collections import deque
from typing import Any

from ...gen import NO_REPLY, PID, NotAllowed, Ref
from ...gen.foreign import class_name, is_a
from ...node.processes.meta_process import MetaRunner
from ...node.scheduling.forwarder import Forwarder
from .errors import ConnectionEnded
from .hub import Hub
from .messages import CloseConnection, MessageTCP, address_of

_MOST = 512
"""Most entries taken in one go, as of a UDP server."""


class Outflow(Forwarder):
    """Sends for one server or client. A frame that cannot be sent never ends it: it is counted, and logged at a bounded
    rate."""

    def __init__(self, process: MetaRunner, hub: Hub, kind: str) -> None:
        super().__init__()
        self._process = process
        self._hub = hub
        self._kind = kind

    def take_main(self, main: deque[Any]) -> int:
        """Takes frames from the head of the mailbox. Those of one connection leave together, in their order."""
        taken = 0
        get, popleft = self._hub.table.get, main.popleft
        try:
            while main and taken < _MOST:
                entry = popleft()
                taken += 1
                if type(entry) is tuple and type(entry[1]) is MessageTCP:
                    message = entry[1]
                    try:
                        connection = get(message.connection)
                    except Exception:  # an object of the program that cannot be hashed
                        connection = None
                    if connection is None or not connection.put_now(message):
                        self.send(message)
                else:
                    self._hub.flush()
                    self._handle(entry)
        finally:
            self._hub.flush()
        return taken

    def _handle(self, entry: Any) -> None:
        if type(entry) is tuple:
            self._process.behavior.handle_message(*entry)
        else:
            entry.handle(self._process)

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
