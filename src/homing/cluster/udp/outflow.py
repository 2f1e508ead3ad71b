"""The near end of a flow: datagrams of a UDP server on their way to a receiver of another node.

Rule 1: no more datagrams are on their way, or wait over there for room in the receiver's mailbox, than the window
allows. `room` tells for how many more there is room, and `ready` is called when that changes from none.
Rule 2: what is on its way when the connection ends is lost, and counted. The window is free again then.
Rule 3: datagrams are gathered until the loop's iteration ends, or there are enough for a frame: a socket is read many
times in an iteration, and a frame costs as much as tens of datagrams. No other frame of the exchange overtakes them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

from ...datagram.message import MessageUDP
from ...gen import PID, Alias, ProcessID
from ...gen.copying import refuse_copy
from ..datagram_frames import Datagrams, Flow, FlowEnd
from .columns import BESIDE, MOST, cut_by_size, gathered_size, pack

if TYPE_CHECKING:
    from ...node.processes.meta_process import MetaRunner
    from .exchange import Exchange

PART = 48 << 10
"""Bytes of one frame, about: several fit into a batch of 64 KiB with other messages."""

_PART, _BESIDE, _MOST = PART, BESIDE, MOST
"""The same as C integers, where this is compiled."""

_AGAIN = 0.005
"""Seconds after which a full outbox is tried again: at 100 MB/s, half a MiB has left by then."""


class Outflow:
    """The datagrams of one server to one receiver.

    node: the receiver's node. to: the receiver; a text is the name of sessions.
    window: most datagrams, and most_bytes: most bytes, on their way or waiting over there.
    sent: datagrams in frames since the flow was opened; those gathered are on their way too.
    lost: those on their way when a connection ended, since ever.
    last: when the last frame was sent, by the loop's clock.
    waits: True if `ready` is to be called.
    """

    __slots__ = (
        "_bytes",
        "_exchange",
        "_gathered",
        "_gathered_bytes",
        "_link",
        "_low",
        "_outbox",
        "_parts",
        "_ready",
        "_server",
        "_taken",
        "closed",
        "last",
        "lost",
        "most_bytes",
        "node",
        "number",
        "sent",
        "to",
        "total",
        "unfit",
        "waits",
        "window",
    )

    __reduce__ = refuse_copy

    def __init__(
        self,
        exchange: Exchange,
        server: MetaRunner,
        node: str,
        to: PID | Alias | ProcessID | str,
        limits: tuple[int, int, int],
        ready: Callable[[], None],
    ) -> None:
        self._exchange = exchange
        self._server = server
        self._ready = ready
        self._link: Any = None
        self._outbox: Any = None
        self._parts: deque[tuple[int, int]] = deque()
        self._taken = self._bytes = self._gathered_bytes = 0
        self._gathered: list[MessageUDP] = []
        self.node = node
        self.to = to
        self.window, self._low, self.most_bytes = limits
        self.number = self.sent = self.total = self.lost = self.unfit = 0
        self.waits = self.closed = False
        self.last = -inf
        exchange.add_outflow(self)

    @property
    def limits(self) -> tuple[int, int, int]:
        """The limits that it was made with."""
        return self.window, self._low, self.most_bytes

    # --- room ---------------------------------------------------------------------------------------------

    @property
    def on_the_way(self) -> int:
        """Datagrams sent, or gathered, for which no credit has come back."""
        return self._under_way()

    def _under_way(self) -> int:
        return self.sent + len(self._gathered) - self._taken

    @property
    def state(self) -> str:
        """Why nothing is sent now: "node" (it is not up), "receiver" (it belongs to an earlier start of that node), or
        "mailbox" (the receiver is full); "" otherwise."""
        link = self._exchange.link_to(self.node)
        if link is None:
            return "node"
        if self._address(link) is None:
            return "receiver"
        return "mailbox" if self._left() <= 0 else ""

    def _left(self) -> int:
        return 0 if self._bytes + self._gathered_bytes >= self.most_bytes else self.window - self._under_way()

    def room(self) -> int:
        """Returns how many datagrams can be sent now. After 0, `ready` is called once when there may be room."""
        if self._link is None and not self._open():
            self.waits = True
            return 0
        left = self._left()
        self.waits = left <= 0
        return left if left > 0 else 0

    def _address(self, link: Any) -> int | str | None:
        """Returns the receiver as a frame has it, None if it belongs to another start of the node."""
        to = self.to
        if isinstance(to, ProcessID):
            return to.name
        if isinstance(to, str):
            return to
        return to.id if to.creation == link.peer.creation else None

    def _open(self) -> bool:
        """Opens the flow over the present connection. Returns False if there is none."""
        link = self._exchange.link_to(self.node)
        address = None if link is None or self.closed else self._address(link)
        if address is None:
            return False
        server, number = self._server, self._exchange.next_number()
        flow = Flow(
            number,
            address,
            isinstance(self.to, str),
            server.sender.id,
            server.id.id,
            self.window,
            self._low,
            self.most_bytes,
        )
        if not self._exchange.post(link, flow):
            self._try_again()
            return False
        self._exchange.opened(self, self.number, number)
        self.number, self._link, self._outbox = number, link, link.outbox
        self.sent = self._taken = self._bytes = 0
        self._parts.clear()
        return True

    def _try_again(self) -> None:
        self._exchange.core.loop.call_later(_AGAIN, self.wake)

    def wake(self) -> None:
        """Calls `ready` if it waits."""
        if self.waits and not self.closed:
            self.waits = False
            self._ready()

    # --- datagrams ------------------------------------------------------------------------------------------

    def put(self, messages: list[MessageUDP]) -> int:
        """Sends datagrams, at most `room()` many. Returns how many were sent or dropped as unfit; the others found the
        outbox full, and `ready` will be called. Pooled buffers among them can be released then."""
        if not self._has_room():
            self._wait_for_outbox()
            return 0
        size = gathered_size(messages)
        if not 0 <= size <= _PART or len(messages) > _MOST:
            return self._put_now(messages)
        count = len(self._gathered) + len(messages)
        if count > _MOST or self._gathered_bytes + size + _BESIDE * count > _PART:
            self.send_gathered()
        if not self._gathered:
            self._exchange.gathers(self, self._outbox)
        self._gathered += messages
        self._gathered_bytes += size
        return len(messages)

    def _has_room(self) -> bool:
        """Returns False if the outbox is so full that datagrams have to wait."""
        return bool(self._outbox.waiting <= self._outbox.high)

    def _put_now(self, messages: list[MessageUDP]) -> int:
        """Sends datagrams that cannot be gathered: they exceed a frame, or their data may change."""
        self.send_gathered()
        done = 0
        for part in self._parts_of(messages):
            if not self._has_room():
                self._wait_for_outbox()
                return done
            self._send(part)
            done += len(part)
        return len(messages)

    def send_gathered(self) -> None:
        """Sends the datagrams gathered so far."""
        if not self._gathered:
            return
        messages = self._forget_gathered()
        for part in self._parts_of(messages):
            self._send(part)

    def _forget_gathered(self) -> list[MessageUDP]:
        messages, self._gathered = self._gathered, []
        self._gathered_bytes = 0
        self._exchange.gathered(self)
        return messages

    def _parts_of(self, messages: list[MessageUDP]) -> list[list[MessageUDP]]:
        try:
            return cut_by_size(messages, _PART)
        except Exception:
            return cut_by_size([message for message in messages if self._fits(message)], _PART)

    def _send(self, part: list[MessageUDP]) -> None:
        try:
            columns = pack(part)
        except Exception:  # of a message that did not come from a socket: it may hold anything
            part = [message for message in part if self._fits(message)]
            if not part:
                return
            columns = pack(part)
        mark = self._exchange.mark_of(self._server.id, part[0].id)
        self._exchange.post_datagrams(self._link, Datagrams(self.number, self.sent, mark, *columns))
        count, size = len(part), len(columns[-1])
        self.sent += count
        self.total += count
        self._bytes += size
        self._parts.append((self.sent, size))
        self.last = self._exchange.core.loop.time()

    def _wait_for_outbox(self) -> None:
        self.waits = True
        self._try_again()

    def _fits(self, message: MessageUDP) -> bool:
        try:
            pack([message])
        except Exception:
            self.unfit += 1
            return False
        return True

    def credit(self, taken: int) -> None:
        """Notes that the receiver's mailbox has had room for so many datagrams since the flow was opened."""
        if taken < 0:  # the other end does not know the flow: what opened it was dropped there or on the way
            self.down(self._link)
            self.wake()
        if not self._taken < taken <= self.sent:
            return
        self._taken = taken
        while self._parts and self._parts[0][0] <= taken:
            self._bytes -= self._parts.popleft()[1]
        if self.waits and self._left() > 0 and self.on_the_way <= self._low:
            self.wake()

    # --- the connection ---------------------------------------------------------------------------------------

    def down(self, link: Any) -> int:
        """Frees the window, as the connection has ended. Returns how many datagrams were on their way."""
        if self._link is not link:
            return 0
        lost = self.on_the_way
        self.lost += lost
        self._link = None
        self._forget_gathered()
        self.sent = self._taken = self._bytes = 0
        self._parts.clear()
        return lost

    def close(self) -> None:
        """Ends the flow. A second call does nothing."""
        if self.closed:
            return
        self.send_gathered()
        self.closed = True
        self._exchange.remove_outflow(self)
        link, self._link = self._link, None
        if link is not None:
            self._exchange.post(link, FlowEnd(self.number), must=True)
