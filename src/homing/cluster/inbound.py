"""The batches of one peer: they are checked and decoded, and messages put into mailboxes.

May be called with any bytes: what cannot be read is counted in `undelivered`, by cause, and never raises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from msgspec import MsgspecError

from ..gen import PID, Alias, HomingError, MailboxFull, ProcessState
from ..gen.copying import refuse_copy
from ..node.mailbox.envelope import SplitMessage
from ..node.mailbox.lane import COMPILED
from ..node.mailbox.overflow import message_overflows
from .wire import DECODE_FRAME, DECODE_FRAMES, DECODE_RAWS, FRAMES_AT, HEADER, Run, Send

if TYPE_CHECKING:
    from ..node.core import Core
    from ..node.scheduling.activity import Activity
    from .link import Link

_ZOMBIE, _TERMINATED = ProcessState.ZOMBIE, ProcessState.TERMINATED

_COMPILED = COMPILED

_KEPT = 4096
"""Senders and names whose addresses are kept at hand, for each peer."""


class Inbound:
    """Reads the batches of one link.

    numbers: the last number of each lane. undelivered: messages that reached nobody, by cause.
    """

    __slots__ = (
        "_core",
        "_creation",
        "_exposed",
        "_late",
        "_link",
        "_node",
        "_readers",
        "_routes",
        "_scheduler",
        "_senders",
        "_shown",
        "batches",
        "bytes",
        "handlers",
        "messages",
        "numbers",
        "undelivered",
    )

    __reduce__ = refuse_copy

    def __init__(
        self, core: Core, link: Link, handlers: dict[type, list[Callable[[Any, Any], None]]], exposed: tuple[str, ...]
    ) -> None:
        self._core = core
        self._link = link
        self._node = core.name
        self._creation = core.registry.creation
        self._routes = core.registry.routes
        self._scheduler = core.scheduler
        self._exposed = exposed
        self._late = core.publishing.late
        self._shown: dict[str, bool] = {}
        self._senders: dict[Any, PID | Alias] = {}
        self._readers: list[Any] = []
        self.handlers = handlers
        self.numbers = [0, 0, 0]
        self.undelivered: Counter[str] = Counter()
        self.messages = self.batches = self.bytes = 0

    def learn(self, readers: list[Any]) -> None:
        """Sets the decoders for the peer's types."""
        self._readers = readers

    # --- batches ------------------------------------------------------------------------------------------------

    def read_header(self, data: bytes) -> tuple[int, int, int, int] | None:
        """Returns epoch, peer_epoch, number and acknowledged bytes of a batch; None if it has no header."""
        if len(data) < HEADER.size:
            return None
        found = HEADER.unpack_from(data)
        if found[0] != 0x95 or found[9] != 0xDD or any(found[at] != 0xCF for at in (1, 3, 5, 7)):
            return None
        return found[2], found[4], found[6], found[8]

    def take(self, data: bytes) -> bool:
        """Handles the frames of a batch, whose header was read. Returns False if it is garbage."""
        part = memoryview(data)[FRAMES_AT:]
        try:
            frames = DECODE_FRAMES(part)
        except (MsgspecError, RecursionError):
            return self._take_one_by_one(part)
        self.batches += 1
        self.bytes += len(data)
        for frame in frames:
            self.handle(frame)
        return True

    def _take_one_by_one(self, part: memoryview) -> bool:
        """Handles the frames that can be read, if there are others among them."""
        try:
            raws = DECODE_RAWS(part)
        except (MsgspecError, RecursionError):
            return False
        bad = 0
        for raw in raws:
            try:
                frame = DECODE_FRAME(raw)
            except (MsgspecError, RecursionError):
                self.undelivered["frame"] += 1
                bad += 1
                continue
            self.handle(frame)
        return bad < len(raws)

    def handle(self, frame: Any) -> None:
        """Handles one frame. If that raises, the error is logged, and the frames behind it are still handled."""
        kind = type(frame)
        try:
            if kind is Run:
                self._run(frame)
            elif kind is Send:
                message = self.read(frame.kind, frame.body)
                if message is not _NOTHING:
                    self.deliver(frame.to, self.sender(frame.sender), message, frame.priority)
            else:
                for handler in self.handlers.get(kind, ()):
                    handler(self._link, frame)
        except Exception as error:
            self.undelivered["failed"] += 1
            text = "a frame %s of node %s failed: %s"
            self._core.log_failure(self._core.log, text, kind.__name__, self._link.peer.name, error, fault=error)

    def read(self, kind: int, body: Any) -> Any:
        """Returns the message in `body`, or `NOTHING` if it cannot be read, which is counted."""
        readers = self._readers
        reader = readers[kind] if 0 <= kind < len(readers) else None
        if reader is None:
            self.undelivered["type"] += 1
            return _NOTHING
        try:
            return reader(body)
        except Exception:
            self.undelivered["invalid"] += 1
            return _NOTHING

    def _run(self, run: Run) -> None:
        messages = self._read_many(run.kind, run.bodies)
        target = self.find(run.to)
        if target is None:
            self.undelivered["nobody"] += len(messages)
            return
        sender = self.sender(run.sender)
        if self._late or target.guarded or target.split or target.state is _ZOMBIE or target.state is _TERMINATED:
            for message in messages:
                self.deliver(run.to, sender, message, 0)
            return
        lane: Any = target.main
        if _COMPILED:
            lane.extend_from(sender, messages)
        else:
            lane.extend([(sender, message) for message in messages])
        if lane is not target.main:
            target.settle(lane)  # the receiver has ended while these were put into its mailbox
        self.messages += len(messages)
        if not target.scheduled:
            scheduler = self._scheduler
            scheduler.schedule(target)

    def _read_many(self, kind: int, bodies: Any) -> list[Any]:
        """Returns the messages in `bodies`, without those that cannot be read, which are counted."""
        readers = self._readers
        reader = readers[kind] if 0 <= kind < len(readers) else None
        if reader is not None:
            try:
                return reader.many(bodies)  # type: ignore[no-any-return]
            except Exception:
                reader = None  # one of them cannot be read, or all
        try:
            messages = [self.read(kind, body) for body in DECODE_RAWS(bodies)]
        except (MsgspecError, RecursionError):
            self.undelivered["invalid"] += 1
            return []
        return [message for message in messages if message is not _NOTHING]

    # --- delivery -------------------------------------------------------------------------------------------------

    def sender(self, address: Any) -> PID | Alias:
        """Returns the address of a sender. The same object each time, as far as there is room to keep it."""
        found = self._senders.get(address)
        if found is None:
            peer = self._link.peer
            node, number, creation = address if type(address) is tuple else (peer.name, address, peer.creation)
            found = PID(node, number, creation) if number >= 0 else Alias(node, -number, creation)
            if len(self._senders) >= _KEPT:
                self._senders.clear()
            self._senders[address] = found
        return found

    def find(self, to: int | str) -> Activity | None:
        """Returns the activity at an address of this node, None if there is none."""
        if isinstance(to, int):
            return self._routes.get((self._node, to, self._creation))
        return self._routes.get(to) if self.shows(to) else None

    def shows(self, to: int | str) -> bool:
        """Returns False for a name that other nodes cannot address: see `ClusterOptions.exposed`."""
        if isinstance(to, int):
            return True
        shown = self._shown.get(to)
        if shown is None:
            if len(self._shown) >= _KEPT:
                self._shown.clear()
            shown = self._shown[to] = _matches(to, self._exposed)
        return shown

    def address(self, to: int | str, target: Activity) -> Any:
        """Returns the name or alias that a target with `split_handle` handles; None for others."""
        if not target.split:
            return None
        if isinstance(to, str):
            return to
        return None if target.id[1] == to else Alias(self._node, to, self._creation)

    def deliver(self, to: int | str, sender: PID | Alias, message: Any, priority: int) -> None:
        """Puts a message into a mailbox, or counts it."""
        target = self.find(to)
        if target is None:
            self.undelivered["nobody"] += 1
            return
        if self._late and priority == 0:
            self._core.publishing.catch_up(sender, target)  # publications that it has sent before
        address = self.address(to, target)
        entry: Any = (sender, message) if address is None else SplitMessage(address, sender, message)
        try:
            if not target.put(entry, priority, target.limit):
                message_overflows(target, target.id, sender, message, entry, priority)
            elif not target.scheduled:
                self._core.scheduler.schedule(target)
        except MailboxFull:
            self.undelivered["full"] += 1
        except HomingError:
            self.undelivered["refused"] += 1
        else:
            self.messages += 1


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


_NOTHING: Any = object()
NOTHING = _NOTHING
