"""The edge: the stand-in, on this node, for a UDP server of another one from which datagrams come.

Answers are sent to it as to a server of this node: into a mailbox. Its forwarder takes them out in bulk, and sends
them as one frame. All else that is sent to the server's alias goes the ordinary way to another node.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from ...datagram.message import MessageUDP
from ...gen import PID, Alias, HomingError, ProcessState
from ...gen.foreign import safe_repr
from ...meta.udp.outgoing import any_leased, take_datagrams
from ...node.mailbox.envelope import Exit
from ...node.scheduling.activity import Activity
from ...node.scheduling.forwarder import Forwarder
from ..datagram_frames import Replies
from .columns import cut_by_size, pack
from .outflow import PART

if TYPE_CHECKING:
    from .exchange import Exchange

_TAKEN = 512
"""Most datagrams taken in one go, as of a server's sender."""

_LIMIT = 65536
"""Answers that may wait for a node that is busy; then `send` raises `MailboxFull`."""

_AGAIN = 0.005
"""Seconds, as of an `Outflow`."""

_SLEEP = ProcessState.SLEEP


class _Behavior:
    """The behavior of an edge: everything that is no datagram goes to the other node."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def handle_message(self, sender: Any, message: Any) -> None:
        """Sends on a message with a higher priority."""
        self._edge.hand_over((sender, message), 1)

    def terminate(self, reason: Exception) -> None:
        """Does nothing."""


class Edge(Activity):
    """The stand-in for one server.

    link: the connection to its node. id: the server's alias. sender: the PID from which its datagrams come.
    flows: how many come from it now.
    """

    __slots__ = ("_marks", "exchange", "flows", "link")

    def __init__(self, exchange: Exchange, link: Any, alias: Alias, owner: PID) -> None:
        super().__init__(exchange.core, alias, owner, 0, False)
        self.exchange = exchange
        self.link = link
        self.flows = 0
        self.behavior: Any = _Behavior(self)
        self.handler = self.behavior.handle_message
        self.forwards = True
        self.forwarder = _ToEdge(self)
        self.pending = link.pending
        self._marks: dict[int, Alias] = {0: alias}
        self.start()

    @property
    def title(self) -> str:
        return f"UDP server {self.id} of another node"

    @property
    def log_adapter(self) -> Any:
        return self.core.log

    def mark(self, number: int) -> Alias:
        """Returns the alias for datagrams of a socket: for each an object of its own, by which an answer is known."""
        found = self._marks.get(number)
        if found is None:
            if len(self._marks) >= 256:
                return self._marks[0]
            found = self._marks[number] = Alias(*self.id)
        return found

    def mark_of(self, id: Any) -> int:
        """Returns the socket that an answer belongs to; 0 if that is not known."""
        if id is not self.id:
            for number, alias in self._marks.items():
                if alias is id:
                    return number
        return 0

    # --- what is no datagram ---------------------------------------------------------------------------------

    def put(self, entry: Any, priority: int, limit: int = 0) -> bool:
        """Puts a datagram into the mailbox. Sends everything else on at once, after the datagrams."""
        if priority == 0 and type(entry) is tuple:
            return Activity.put(self, entry, priority, limit)
        self.flush()
        return self.hand_over(entry, priority)

    def put_exit(self, signal: Exit, priority: int = 2) -> None:
        """Sends an exit signal on."""
        target: Any = self.exchange.target(self)
        if target is not None:
            target.put_exit(signal, priority)

    def put_runtime(self, entry: Any, priority: int) -> None:
        """Sends an entry of the runtime on."""
        self.hand_over(entry, priority)

    def hand_over(self, entry: Any, priority: int) -> bool:
        """Sends an entry to the alias on the other node, the ordinary way. Raises as sending there does."""
        target: Any = self.exchange.target(self)
        return target is not None and bool(target.put(entry, priority, 0))

    def flush(self) -> None:
        """Sends the datagrams that wait, if the node has room for them."""
        while self.main and not self.paused:
            self.forwarder.take_main(self.main)  # type: ignore[union-attr]

    # --- life ---------------------------------------------------------------------------------------------------

    def busy(self) -> None:
        """Waits, as the outbox is full."""
        self.pause()
        self.limit = _LIMIT
        self.guarded = True
        self.core.loop.call_later(_AGAIN, self._continue)

    def _continue(self) -> None:
        if self.alive:
            self.limit = 0
            self.guarded = self.main is None
            self.resume()

    def failed(self, error: BaseException) -> None:
        """Logs a failure, and continues: it has no callbacks of a user."""
        self.state = _SLEEP
        text = "answers for %s failed: %s"
        self.core.log_failure(self.core.log, text, self.title, safe_repr(error), fault=error)

    def end(self, reason: Exception, fault: BaseException | None = None) -> None:
        """Ends it, as the connection has ended. Answers that wait are dropped."""
        if not self.alive:
            return
        self.state = ProcessState.TERMINATED
        self.scheduled = True
        if self.core.registry.routes.get(self.id) is self:
            del self.core.registry.routes[self.id]
        self.pending = None
        for _ in self.release():
            pass


class _ToEdge(Forwarder):
    """Takes the answers for one server."""

    def __init__(self, edge: Edge) -> None:
        super().__init__()
        self._edge = edge

    def take_main(self, main: deque[Any]) -> int:
        """Sends the datagrams at the head of the main lane. Returns how many entries it took."""
        messages = take_datagrams(main, _TAKEN)
        if messages:
            return self._send(main, messages)
        entry = main.popleft()
        try:
            self._edge.hand_over(entry, 0)
        except HomingError as error:
            self._edge.exchange.refused(self._edge, error)
        return 1

    def _send(self, main: deque[Any], messages: list[MessageUDP]) -> int:
        edge, done = self._edge, 0
        try:
            parts = cut_by_size(messages, PART)
        except (TypeError, ValueError):
            parts = cut_by_size([message for message in messages if self._fits(message)], PART)
            messages = [message for part in parts for message in part]
        for part in parts:
            if not self._send_part(part):
                for message in reversed(messages[done:]):
                    main.appendleft((edge.sender, message))
                edge.busy()
                break
            done += len(part)
        return max(done, 1)

    def _send_part(self, part: list[MessageUDP]) -> bool:
        """Sends answers that belong to one socket. Returns False if the other node is busy."""
        edge = self._edge
        try:
            columns = pack(part)
        except (TypeError, ValueError):
            part = [message for message in part if self._fits(message)]
            if not part:
                return True
            columns = pack(part)
        if not edge.exchange.post(edge.link, Replies(edge.id.id, edge.mark_of(part[0].id), *columns)):
            return False
        edge.exchange.replied += len(part)
        if any_leased(part):
            for message in part:
                if message._lease is not None:
                    message._lease.release_after(message.data)
        return True

    def _fits(self, message: MessageUDP) -> bool:
        try:
            pack([message])
        except (TypeError, ValueError) as error:
            self._edge.exchange.refused(self._edge, error)
            return False
        return True
