"""One connection: between its transport and the hub of the server.

Rule 1: it is read only while nothing of it waits for the receiver, and the peer takes its answers.
Rule 2: its messages come in order: `MessageTCPConnect`, its frames, `MessageTCPDisconnect`, each delivered by `take`.
Rule 3: `end` is the reason of its end, and set once. The transport's end (`connection_lost`) comes once, and after it
        no byte is read or sent.
Rule 4: it keeps its place in the table until its `MessageTCPDisconnect` has been delivered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...gen.copying import refuse_copy
from .decoding import Decoder
from .info import ConnectionInfo, info_of
from .messages import MessageTCP, MessageTCPConnect, MessageTCPDisconnect, frame_of
from .reasons import ClosedByPeer, ConnectionEnd, SlowReader, cut_for, reason_of
from .times import Times

if TYPE_CHECKING:
    import asyncio

    from .hub import Hub
    from .inflow import Inflow


class Connection(Times):
    """One connection of a server, or that of a client. Its transport calls it by the protocol of `serving`.

    hub: what it has in common with others. number: which it is, of all of its hub. addr: the peer's address.
    source: what counts it among its source's. queued: it waits in its inflow for its turn.
    lost: its transport has ended. end: the reason.
    info: facts about it, once it was made.
    asked: frames that were delivered. answered: answers to them that were sent.
    """

    __slots__ = (
        "_abandoned",
        "_announced",
        "_decoder",
        "_drains",
        "_finished",
        "_held",
        "_out",
        "_paused",
        "_reading",
        "_told",
        "_waits_for_rate",
        "addr",
        "answered",
        "asked",
        "end",
        "hub",
        "inflow",
        "info",
        "lost",
        "number",
        "queued",
        "source",
        "transport",
    )

    __reduce__ = refuse_copy

    def __init__(self, hub: Hub, number: int, addr: Any, source: Any, decoder: Decoder, inflow: Inflow | None) -> None:
        super().__init__(hub.now())
        self.hub = hub
        self._decoder = decoder
        self.inflow = inflow
        self.number = number
        self.addr = addr
        self.source = source
        self.transport: asyncio.Transport | None = None
        self.info: ConnectionInfo | None = None
        self.queued = self.lost = False
        self.end: ConnectionEnd | None = None
        self._finished = False  # the peer will send no more
        self._announced = self._told = False
        self._reading = True
        self._held: list[Any] = []  # a frame that is above the rate of its source
        self._waits_for_rate = self._drains = self._abandoned = self._paused = False
        self._out: list[bytes] = []
        self.asked = self.answered = 0

    # --- called by the transport ----------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """Called once, before anything else."""
        self.transport = transport
        self.info = info_of(transport)
        self.since = self.last = self.hub.now()
        if self.end is not None:
            transport.abort()
            return
        options = self.hub.options
        transport.set_write_buffer_limits(high=options.send_buffer, low=options.send_buffer // 4)
        if self._is_secured():
            transport.set_read_buffer_limits(high=1, low=0)  # see `RECORD` in `hub`
        self.hub.opened(self)

    def buffer(self, size: int) -> memoryview:
        """Returns the memory into which the transport is to read, in slices, which would be copies of a `bytearray`."""
        return self.hub.view

    def received(self, size: int) -> None:
        """Called when the next `size` bytes of the stream are in the hub's buffer."""
        if self.end is not None:
            return
        hub = self.hub
        hub.counters.received_bytes += size
        self.active = self.has_received = True
        inflow = self.inflow
        if inflow is not None and self._announced and not self.queued and not self._held and inflow.gives(hub):
            frame = self._decoder.alone(hub.buffer, size)
            if frame is not None and inflow.give(self, frame):
                return
        self._decoder.feed(hub.view[:size])
        self.deliver()

    def eof_received(self) -> bool:
        """Called when the peer has closed its side. Keeps the connection open for the answers to what has come."""
        self._finished = True
        self.last = self.hub.now()
        self.deliver()
        return not self._is_secured()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Called once, after everything else."""
        if self.lost:
            return
        self.lost = True
        reason = reason_of(exc, self._decoder.unfinished())
        if self.end is None:
            self.end = reason
        self.hub.forget(self)
        if self._abandoned:
            self.abandon(reason)
        else:
            self.deliver()

    def pause_writing(self) -> None:
        """Called when more waits to be sent than `send_buffer`."""
        self.blocked = self.hub.now()
        self.settle()

    def resume_writing(self) -> None:
        """Called when a quarter of that is left."""
        self.blocked = 0.0
        self.settle()

    def _is_secured(self) -> bool:
        return self.info is not None and self.info.tls is not None

    # --- to the receiver ------------------------------------------------------------------------------------

    def has_more(self) -> bool:
        """Returns True while it has a message for the receiver that may be delivered now."""
        if self._told or self._waits_for_rate:
            return False
        return not self._announced or bool(self._held) or self._decoder.more or self.lost

    @property
    def waiting(self) -> int:
        """The number of frames that were taken from the stream and wait for their rate."""
        return len(self._held)

    def deliver(self) -> None:
        """Delivers what it has, now or as soon as there is room."""
        if self.inflow is not None and self.has_more():
            self.inflow.add(self)
        else:
            self.settle()

    def use(self, inflow: Inflow) -> None:
        """Delivers by `inflow` from now on."""
        self.inflow = inflow
        self.deliver()

    def take(self, most: int) -> list[Any]:
        """Returns its next messages, at most `most`."""
        hub = self.hub
        messages: list[Any] = []
        if not self._announced:
            self._announced = True
            if hub.options.announce:
                messages.append(MessageTCPConnect(hub.alias, self.addr, self.number, self.info))
                most -= 1
        if most > 0 and (self._decoder.more or self._held):
            frames = self._within_rate(most) if hub.limiter.active else self._take_frames(most)
            if frames:
                self.begun = 0.0  # a part of the next frame begins its time anew
                self.asked += len(frames)
                most -= len(frames)
            alias, addr, number, info = hub.alias, self.addr, self.number, self.info
            for frame in frames:
                messages.append(frame_of(alias, addr, frame, number, info))
            error = self._decoder.error
            if error is not None and not self._decoder.more:
                self.cut(cut_for(error))
        if self.lost and most > 0 and not self._told and not self._decoder.more and not self._held:
            self._told = True
            messages += hub.gone(self)
        return messages

    def disconnected(self) -> MessageTCPDisconnect:
        """Returns the message of its end."""
        return MessageTCPDisconnect(self.hub.alias, self.addr, self.number, self.end or ClosedByPeer(), self.info)

    def _take_frames(self, most: int) -> list[Any]:
        held, self._held = self._held, []
        frames = self._decoder.take(most - len(held))
        self.hub.counters.received += len(frames)
        return held + frames

    def _within_rate(self, most: int) -> list[Any]:
        """Returns the next frames for which the source has a token; the next one is held, and tried again later."""
        frames: list[Any] = []
        while len(frames) < most:
            was_held = bool(self._held)
            frame = self._take_frames(1)
            if not frame:
                break
            if not self.hub.within_rate(self):
                self._held, self._waits_for_rate = frame, True
                self.hub.counters.limited += not was_held
                self.hub.try_later(self)
                break
            frames += frame
        return frames

    def try_again(self) -> None:
        """Tries the frame that was above the rate of its source."""
        self._waits_for_rate = False
        self.deliver()

    def settle(self) -> None:
        """Reads, or does not, as rule 1 says; and closes a connection whose peer has ended and has its answers."""
        transport = self.transport
        if transport is None or self.lost or self.end is not None or self._is_closing():
            return
        waits = self.queued or self.has_more() or bool(self._held)
        if not waits:
            unfinished = self._decoder.unfinished() > 0
            self.begun = (self.begun or self.hub.now()) if unfinished else 0.0
        if self._finished:
            if not waits and self.hub.is_done(self):
                self.close_half()
            return
        wanted = not waits and not self.blocked and not self._drains and not self._paused
        if wanted != self._reading:
            self._reading = wanted
            if wanted:
                transport.resume_reading()
            else:
                self.hub.counters.pauses += 1
                transport.pause_reading()

    # --- to the peer ----------------------------------------------------------------------------------------

    def encode(self, data: Any) -> bytes:
        """Returns the bytes of a frame. May raise anything."""
        return self._decoder.encode(data)

    def put_now(self, message: MessageTCP) -> bool:
        """Queues a frame, if nothing is unusual about it. Returns False if it has done nothing: then the caller tries
        another way, which reports what is wrong."""
        try:
            if type(message.data) is not bytes or self._decoder.own:
                return False
            return self.put(self._decoder.encode(message.data), message.is_answer is True)
        except Exception:
            return False

    def put(self, data: bytes, answers: bool) -> bool:
        """Queues the bytes of a frame until `flush`. answers: it is the answer to a frame. Returns False if the
        connection has ended."""
        out = self._out
        if not out:
            if self.end is not None or self._is_closing():
                return False
            self.hub.touched.append(self)
        out.append(data)
        self.answered += answers
        return True

    def flush(self) -> None:
        """Hands the queued bytes to the transport."""
        out, self._out = self._out, []
        if not out or self._is_closing():
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        counters = self.hub.counters
        counters.sent += len(out)
        counters.sent_bytes += len(data)
        self.active = True
        if self.transport is not None:
            self.transport.write(data)
        if self.blocked and self.unsent > self.hub.options.send_most:
            self.cut(SlowReader())
        elif self._drains:
            self.hub.close_if_done(self)
        elif self._finished:
            self.settle()

    def _is_closing(self) -> bool:
        """Returns True if nothing can be written."""
        return self.transport is None or self.transport.is_closing()

    @property
    def unsent(self) -> int:
        """The number of bytes that wait to be sent."""
        return 0 if self.transport is None or self.lost else self.transport.get_write_buffer_size()

    # --- its end --------------------------------------------------------------------------------------------

    def close(self, reason: ConnectionEnd) -> None:
        """Closes it after what was sent before; nothing more is read. Cut off if that takes too long."""
        self.flush()
        if self.end is None and not self.lost:
            self.end = reason
            if self.transport is not None:
                self.transport.close()

    def close_half(self) -> None:
        """Closes this side too, as the peer has closed its own."""
        self.close(ClosedByPeer(self._decoder.unfinished()))

    def cut(self, reason: ConnectionEnd) -> None:
        """Breaks it off: what waits to be sent is dropped."""
        if self.end is None:
            self.end = reason
        self._out.clear()
        if self.transport is not None and not self.lost:
            self.transport.abort()

    def drain(self) -> None:
        """Reads no more."""
        self._stop_reading()
        self._drains = True

    def _stop_reading(self) -> None:
        if self.transport is not None and self._reading and self.end is None and not self._is_closing():
            self._reading = False
            self.transport.pause_reading()

    def finish(self, reason: ConnectionEnd) -> None:
        """Ends it as the server does: nothing more is delivered."""
        if self.end is None:
            self.end = reason
        self._told = True
        transport = self.transport
        if transport is not None and not self.lost:
            self.lost = True
            if transport.get_write_buffer_size() or self._is_secured():
                transport.abort()
            else:
                transport.close()

    def forsake(self) -> None:
        """Reads and delivers no more, as its receiver has ended. Frames still leave until it is closed."""
        self._stop_reading()
        self._abandoned = self._paused = True

    def abandon(self, reason: ConnectionEnd) -> None:
        """Closes it: its receiver has ended, so what came and was not delivered is dropped."""
        self._abandoned = True
        self.close(reason)
        if self.lost and not self._told:
            self._told = True
            self.hub.counters.dropped += self.waiting
            self.hub.gone(self)

    @property
    def idle(self) -> bool:
        """True if all that came was answered, and nothing of it waits: another program could continue with it."""
        if self.transport is None or self.end is not None or self.lost or self._finished or self._is_secured():
            return False
        waits = self.has_more() or self.queued or bool(self._held) or bool(self._out) or self._decoder.unfinished()
        return not waits and self.answered >= self.asked and not self.unsent

    def pause(self, paused: bool) -> None:
        """Reads no more, or again, while another program may take it over."""
        self._paused = paused
        self.settle()

    @property
    def finished(self) -> bool:
        """True if the peer will send no more."""
        return self._finished

    @property
    def announced(self) -> bool:
        """True once its `MessageTCPConnect` was taken."""
        return self._announced

    @property
    def reads(self) -> bool:
        """True while it is read: only then its peer can be overdue."""
        return self._reading and not self.queued
