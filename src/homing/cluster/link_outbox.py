"""The outbox of one link: messages are encoded at `send`, into the batch that their lane is filling.

So an error of encoding is raised at the sender, no object of a user is kept, and the bytes that wait are known exactly.
A batch is complete at 64 KiB or when the loop's iteration ends; it leaves as soon as the window allows.

Messages of one type that one process sends to one receiver, one after the other, become a `Run`: its head is written
once, and the number of its messages when it ends.

Rule: while a message is being encoded (`_busy`), nothing else may touch the buffers: an encoder calls code of the
message's class, and allocations run finalizers, which may send messages too. Such a message is encoded on its own and
added as soon as the first one is complete.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec.msgpack import Encoder

from ..gen import MessageTooLarge, NodeBusy
from ..gen.copying import refuse_copy
from .engine import MAIN, SIGNALS, SYSTEM, Peer
from .wire import BATCH, HEADER

if TYPE_CHECKING:
    import asyncio

    from ..node.scheduling.scheduler import Scheduler
    from .engine import Engine
    from .types import Types

_encode, _encode_into = Encoder().encode, Encoder().encode_into
_HEAD = b"\0" * HEADER.size
_COUNT = b"\xc6\0\0\0\0\xdd\0\0\0\0"
"""Bytes, as many as the next four say: an array of as many items as the last four say."""

_LIGHT = 512 << 10
"""Bytes under way, of all lanes that the window counts, up to which a batch is `light`: see `Engine.put`. The zenoh
engine has buffers for twice as many in each lane to each peer: they are taken even if neither zenoh's own threads run
nor the peer reads."""

_RESERVE = 4
"""Answers may exceed the limit, by this factor: no sender waits to learn that they were refused."""


class OutLane:
    """One lane: the batch that is being filled, and those that wait for the window.

    number: the lane. sent: the number of its last batch; probed: what that was at the last heartbeat.
    frames, messages: those in the buffer. run: the number of messages in the run at its end; 0: there is none.
    target, sender, kind: those of the last frame, if it is a message that a run can continue.
    """

    __slots__ = (
        "buffer",
        "frames",
        "kind",
        "messages",
        "number",
        "probed",
        "ready",
        "run",
        "run_at",
        "sender",
        "sent",
        "start",
        "target",
    )

    __reduce__ = refuse_copy

    def __init__(self, number: int) -> None:
        self.number = number
        self.sent = self.probed = 0
        self.ready: deque[tuple[bytearray, int, int]] = deque()
        self.clear()

    def clear(self) -> None:
        """Begins a new batch."""
        self.buffer = bytearray(_HEAD)
        self.frames = self.messages = self.run = self.run_at = self.start = self.kind = 0
        self.target: Any = None
        self.sender: Any = None

    def end_run(self) -> None:
        """Writes the length of the run, and the number of its messages."""
        if self.run:
            at, size = self.run_at, len(self.buffer) - self.run_at + 1
            self.buffer[at - 5 : at - 1] = size.to_bytes(4, "big")
            self.buffer[at : at + 4] = self.run.to_bytes(4, "big")
            self.run = 0
        self.target = None


class Outbox:
    """Encodes and batches what goes to one peer in one epoch.

    waiting: bytes that have not left, without those in the batches being filled. in_flight: bytes that have left and
    are not acknowledged. sent_bytes, acked_bytes: since the link came up, of the lanes SYSTEM and MAIN.
    received_bytes: those of the peer that were handled; told_bytes: the last value that was sent to it.
    """

    __slots__ = (
        "_busy",
        "_engine",
        "_later",
        "_loop",
        "_main",
        "_peer",
        "_posted",
        "_ready",
        "_scheduler",
        "_sorter",
        "_sources",
        "_types",
        "acked_bytes",
        "batches",
        "closed",
        "dropped",
        "epoch",
        "high",
        "lanes",
        "limit",
        "low",
        "max_message",
        "messages",
        "on_dropped",
        "on_high",
        "on_low",
        "open",
        "over",
        "overflow",
        "peer_epoch",
        "received_bytes",
        "sent_bytes",
        "told_bytes",
        "total_bytes",
        "waiting",
        "window",
    )

    __reduce__ = refuse_copy

    def __init__(
        self,
        engine: Engine,
        peer: Peer,
        loop: asyncio.AbstractEventLoop,
        scheduler: Scheduler,
        types: Types,
        *,
        epoch: int,
        window: int,
        limit: int,
        max_message: int,
        overflow: str,
    ) -> None:
        self._engine = engine
        self._peer = peer
        self._loop = loop
        self._scheduler = scheduler
        ready = getattr(loop, "_ready", None)  # asyncio's callbacks that are due
        self._ready: deque[Any] | None = ready if type(ready) is deque else None
        self._types = types
        self._sorter = types.sorter
        self._posted = False
        self._busy = False
        self._later: list[tuple[Any, ...]] = []
        self._sources: list[Callable[[], None]] = []
        self._main = OutLane(MAIN)
        self.lanes = (OutLane(SIGNALS), OutLane(SYSTEM), self._main)
        self.epoch = epoch
        self.peer_epoch = 0
        self.window = window
        self.limit = limit
        self.high = limit * 3 // 4
        self.low = limit // 4
        self.max_message = max_message
        self.overflow = overflow
        self.open = False
        self.closed = False
        self.over = False
        self.on_high: Callable[[], None] = _nothing
        self.on_low: Callable[[], None] = _nothing
        self.on_dropped: Callable[[bytearray], tuple[bytes, int]] = _nothing_kept
        self.waiting = self.messages = self.batches = self.dropped = 0
        self.sent_bytes = self.acked_bytes = self.received_bytes = self.told_bytes = self.total_bytes = 0

    @property
    def in_flight(self) -> int:
        """Bytes that have left and are not acknowledged."""
        return self.sent_bytes - self.acked_bytes

    @property
    def queued(self) -> int:
        """All bytes that have not left."""
        return self.waiting + sum(len(lane.buffer) - len(_HEAD) for lane in self.lanes)

    # --- messages ---------------------------------------------------------------------------------------------

    def send(self, target: Any, sender: Any, head: bytes, message: Any) -> bool:
        """Encodes `message`, for the lane MAIN. head: [to, sender] of its frame, encoded. Returns False if it was
        dropped. Raises `NodeBusy`, `NotTransferable`, `MessageTooLarge`."""
        lane = self._main
        if self.waiting + len(lane.buffer) > self.limit and not self._has_room(target):
            return False
        if self._busy:
            kind, encoded = self.encode(message)
            self._later.append((MAIN, b"\x95\x01" + head + _number(kind) + encoded, True))
            return True
        kind, body = self._sorter.number_of(message), message
        if kind < 0:
            kind, body = self._sorter.other(message)
        buffer = lane.buffer
        before = len(buffer)
        if lane.target is not target or lane.sender is not sender or lane.kind != kind:
            lane.end_run()
            buffer += b"\x95\x01"
            buffer += head
            buffer += _number(kind)
            start = len(buffer)
            first = True
        else:
            if not lane.run:
                # the last message was the first of this kind: its frame becomes the head of a run
                earlier = bytes(buffer[lane.start :])
                at = lane.run_at
                buffer[at + 1] = 2
                del buffer[lane.start :]
                buffer += _COUNT
                lane.run_at = len(buffer) - 4
                buffer += earlier
                lane.run = 1
            start = len(buffer)
            first = False
        self._busy = True
        try:
            _encode_into(body, buffer, -1)
        except Exception as error:
            del buffer[before if first else start :]
            if first:
                lane.target = None
            self._busy = False
            self._catch_up()
            raise self._types.refused(message, error) from None
        self._busy = False
        size = len(buffer) - start
        if size > self.max_message:
            del buffer[before if first else start :]
            if first:
                lane.target = None
            self._catch_up()
            raise MessageTooLarge(size, self.max_message)
        if first:
            lane.target, lane.sender, lane.kind = target, sender, kind
            lane.run_at, lane.start = before, start
            lane.frames += 1
        else:
            lane.run += 1
        lane.messages += 1
        self.messages += 1
        if self._later:
            self._catch_up()
        if len(lane.buffer) >= BATCH:
            self._cut(lane)
            self._push(lane)
        elif not self._posted:
            self._post()
        return True

    def enclose(
        self, before: bytes, message: Any, after: bytes, number: int, must: bool = False, target: object = None
    ) -> bool:
        """Queues the frame of `before`, the number of the type of `message`, its body, and `after`; as `post` does,
        without an object for the frame. Raises `NodeBusy`, `NotTransferable`, `MessageTooLarge`."""
        lane = self.lanes[number]
        if self.waiting + len(lane.buffer) > self.limit and not self._admits(lane, must, target):
            return False
        if self._busy:
            kind, encoded = self.encode(message)
            self._later.append((number, before + _number(kind) + encoded + after, False))
            return True
        kind, body = self._sorter.number_of(message), message
        if kind < 0:
            kind, body = self._sorter.other(message)
        if self.closed:
            return True
        lane.end_run()
        buffer = lane.buffer
        at = len(buffer)
        buffer += before
        buffer += _number(kind)
        start = len(buffer)
        self._busy = True
        try:
            _encode_into(body, buffer, -1)
        except Exception as error:
            del buffer[at:]
            self._busy = False
            self._catch_up()
            raise self._types.refused(message, error) from None
        self._busy = False
        size = len(buffer) - start
        if size > self.max_message:
            del buffer[at:]
            self._catch_up()
            raise MessageTooLarge(size, self.max_message)
        buffer += after
        lane.frames += 1
        if self._later:
            self._catch_up()
        if len(lane.buffer) >= BATCH:
            self._cut(lane)
            self._push(lane)
        elif not self._posted:
            if not must and self._ready is not None and self._scheduler.runs_alone(self._ready):
                self.flush()  # a lone call, whose caller is about to wait: it has no other frame to wait for
            else:
                self._post()
        return True

    def encode(self, message: Any) -> tuple[int, bytes]:
        """Returns the number and the bytes of `message`. Raises `NotTransferable`, `MessageTooLarge`."""
        kind, outgoing = self._sorter.outgoing(message)
        try:
            body = _encode(outgoing)
        except Exception as error:
            raise self._types.refused(message, error) from None
        if len(body) > self.max_message:
            raise MessageTooLarge(len(body), self.max_message)
        return kind, body

    def _catch_up(self) -> None:
        """Adds what was sent while a message was being encoded."""
        while self._later:
            number, frame, is_message = self._later.pop(0)
            self._append(self.lanes[number], frame, is_message)

    # --- other frames -----------------------------------------------------------------------------------------

    def post(self, frame: Any, number: int = MAIN, must: bool = False, target: object = None) -> bool:
        """Encodes and queues a frame. must: also if there is no room. Returns False if it was dropped. Raises
        `NodeBusy`."""
        lane = self.lanes[number]
        if number != SIGNALS and self.waiting + len(lane.buffer) > self.limit and not self._admits(lane, must, target):
            return False
        data = _encode(frame)
        if self._busy:
            self._later.append((number, data, False))
        else:
            self._append(lane, data, False)
        return True

    def _append(self, lane: OutLane, data: bytes, is_message: bool) -> None:
        if self.closed:
            return
        lane.end_run()
        lane.buffer += data
        lane.frames += 1
        if is_message:
            lane.messages += 1
            self.messages += 1
        if len(lane.buffer) >= BATCH:
            self._cut(lane)
            self._push(lane)
        elif not self._posted:
            self._post()

    def _admits(self, lane: OutLane, must: bool, target: object) -> bool:
        """Returns True if a frame is queued although the limit is reached. Raises `NodeBusy`."""
        if not must:
            return self._has_room(target or self._peer.name)
        if self.waiting + len(lane.buffer) <= _RESERVE * self.limit:
            return True
        self.dropped += 1
        return False

    def _has_room(self, target: object) -> bool:
        """Returns True if there is room after all, False if the message is to be dropped. Raises `NodeBusy`."""
        if self.overflow == "raise":
            raise NodeBusy(getattr(target, "id", target), self._peer.name, self.limit)
        if self.overflow == "drop_oldest" and self.drop_oldest():
            return True
        self.dropped += 1
        return False

    def drop_oldest(self) -> bool:
        """Drops the batch that has waited longest in the lane MAIN. Returns False if there is none."""
        lane = self._main
        for at, (buffer, frames, messages) in enumerate(lane.ready):
            if messages:
                lane.end_run()
                buffer[HEADER.size - 5 : HEADER.size] = b"\xdd" + frames.to_bytes(4, "big")
                kept, count = self.on_dropped(buffer)
                lane.ready[at] = (bytearray(_HEAD) + kept, count, 0)
                self.waiting += len(_HEAD) + len(kept) - len(buffer)
                self.dropped += messages
                return True
        return False

    # --- batches ----------------------------------------------------------------------------------------------

    def _post(self) -> None:
        self._posted = True
        self._loop.call_soon(self.flush)

    def hold(self) -> None:
        """Sends nothing that is short until `flush`, which the caller calls in this iteration of the loop."""
        self._posted = True

    def before_flush(self, source: Callable[[], None]) -> None:
        """Calls `source` once, before the next `flush`, at the latest when the loop's iteration ends: it may post
        frames. It must not raise."""
        self._sources.append(source)
        if not self._posted:
            self._post()

    def flush(self) -> None:
        """Sends all that the window allows."""
        while self._sources:
            self._posted = True  # so that nothing that they post asks for another flush
            self._sources.pop()()
        self._posted = False
        self._push_all()

    def _push_all(self) -> None:
        if self.closed or self._busy:
            return
        for lane in self.lanes:
            self._push(lane)

    def _cut(self, lane: OutLane) -> None:
        """Completes the batch of a lane, which has frames."""
        lane.end_run()
        buffer = lane.buffer
        lane.ready.append((buffer, lane.frames, lane.messages))
        self.waiting += len(buffer)
        lane.clear()
        if self.waiting > self.high and not self.over:
            self.over = True
            self.on_high()

    def _push(self, lane: OutLane) -> None:
        """Sends the batches of a lane, while the window allows."""
        free = lane.number == SIGNALS
        if not self.open and not free:
            return
        while lane.ready or lane.frames:
            size = len(lane.ready[0][0]) if lane.ready else len(lane.buffer)
            if not free and self.in_flight and self.in_flight + size > self.window:
                return
            if not lane.ready:
                self._cut(lane)
            buffer, frames, _ = lane.ready.popleft()
            self.waiting -= size
            if not free:
                self.sent_bytes += size
            self._put(lane, buffer, frames)
        if self.over and self.waiting <= self.low:
            self.over = False
            self.on_low()

    def _put(self, lane: OutLane, buffer: bytearray, frames: int) -> None:
        lane.sent += 1
        HEADER.pack_into(
            buffer,
            0,
            *(0x95, 0xCF, self.epoch, 0xCF, self.peer_epoch, 0xCF, lane.sent, 0xCF, self.received_bytes, 0xDD, frames),
        )
        self.told_bytes = self.received_bytes
        self.batches += 1
        self.total_bytes += len(buffer)
        # In the lane SIGNALS an acknowledgement is: it is sent only for what the peer has just sent.
        light = self.sent_bytes - self.acked_bytes <= _LIGHT if lane.number != SIGNALS else frames == 0
        self._engine.put(self._peer, lane.number, buffer, light)

    def acknowledge(self) -> None:
        """Sends a batch without frames, which acknowledges what has come, unless that was sent."""
        if self.told_bytes < self.received_bytes and not self.closed:
            lane = self.lanes[SIGNALS]
            if lane.frames:
                self._push(lane)
            else:
                self._put(lane, bytearray(_HEAD), 0)

    def probe(self) -> None:
        """Shows the peer a hole at the end of a lane: sends a batch without frames behind the last one, if that was
        sent before the last `probe` and not all is acknowledged. Called with each heartbeat. As no batch overtakes
        another in its lane, a slow one is never taken for lost. It needs no room in the window.

        This is the tail loss probe of RFC 8985, section 7."""
        for lane in self.lanes[SYSTEM:]:
            if lane.sent == lane.probed and lane.sent and self.in_flight:
                buffer = bytearray(_HEAD)
                self.sent_bytes += len(buffer)
                self._put(lane, buffer, 0)
            lane.probed = lane.sent

    def acknowledged(self, count: int) -> bool:
        """Notes how many bytes the peer has received. Returns True if these are more than before."""
        if count <= self.acked_bytes or count > self.sent_bytes:
            return False
        self.acked_bytes = count
        if not self._posted:
            self.flush()
        elif self.waiting:  # otherwise a flush comes soon, with all that is added until then
            self._push_all()
        return True

    def close(self) -> None:
        """Drops all that has not left."""
        self.closed = True
        self.open = False
        for lane in self.lanes:
            lane.ready.clear()
            lane.clear()
        self._later.clear()
        self._sources.clear()
        self.waiting = 0


def _nothing() -> None:
    """Does nothing."""


def _nothing_kept(batch: bytearray) -> tuple[bytes, int]:
    """Returns no frames."""
    return b"", 0


_NUMBERS = [_encode(number) for number in range(1024)]


def _number(kind: int) -> bytes:
    return _NUMBERS[kind] if kind < len(_NUMBERS) else _encode(kind)
