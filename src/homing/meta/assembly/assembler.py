"""Joins the numbered chunks of messages, bounded on every side."""

from __future__ import annotations

from array import array
from collections import Counter, OrderedDict
from collections.abc import Callable
from operator import index
from typing import Any, NamedTuple, get_args

from ...gen import BadOption
from ...gen.foreign import is_a
from ...gen.options import check_choice, check_integer, check_number, check_seconds
from .arguments import Alone, check_function, check_now, check_payload, check_source, is_payload, key_size
from .chunk import Chunk
from .counters import ENDS, OUTCOMES, AssemblerCounters
from .inflate import MOST_OUTPUT, Bomb, Form, inflate
from .sources import CHUNK_OVERHEAD, MESSAGE_OVERHEAD, Message, Source, Sources

LEAST_BYTES = 4096
"""Fewest bytes that a source must be able to hold: a message with the longest key and a chunk."""

ENDED_OVERHEAD = 550
"""Bytes that the memory of a completed message takes beside 8 for each chunk and the bytes of its key."""


class _Ended(NamedTuple):
    """A message that was completed: enough to know its chunks again."""

    deadline: float
    hashes: array[int]
    size: int


class Assembler:
    """Joins the numbered chunks of messages that are larger than a datagram. A plain object, for one handler or test:
    it has no socket, no clock and no task.

        self.assembler = meta.Assembler(parse=meta.gelf_chunk, decompress="auto")
        ...
        whole = self.assembler.add(message.data, message.addr, time.monotonic())

    Messages are told apart by source address and id, so that a source cannot spoil the messages of another one, unless
    it forges the address. Every quantity has a limit, and each drop a counter.

    If `most_messages` or `most_bytes` is exceeded, the oldest message of the source with the largest share is dropped.
    To refuse new messages instead would leave the table to those who filled it first, until the timeout; to drop the
    oldest of all would let a flood push out everybody else's (RFC 8900 section 3.7 has these attacks on IP's own
    fragments). If a source alone exceeds its part, its own oldest message is dropped.

    A message with two different chunks under one number, or with two totals, is dropped whole, and its later chunks are
    refused until its timeout: none of the versions can be trusted (RFC 5722 demands this of IPv6). Repeated equal
    chunks are ignored. The chunks of completed messages are remembered for `timeout` seconds as long as there is room,
    so that duplicates open no new message.

    parse: a function of (data, addr) that returns a `Chunk`; None if the datagram is a whole message. It may raise, or
        return anything else: the datagram is then counted as malformed. It must not keep `data` if that is a pooled
        buffer.
    most_messages: most messages that are open at once.
    most_bytes: most bytes held, which includes honest overhead: 140 bytes for a chunk, 1700 for a message. At least
        4096 for each source, by `per_source`.
    per_source: the largest part of `most_messages` and of `most_bytes` that one source address may hold, above 0 up to
        1. A single message can be no larger either.
    timeout: seconds that a message may take from its first chunk to its last. Later chunks do not extend it. 5 is
        GELF's.
    most_chunks: most chunks of a message, up to 65536. A chunk with a larger total is refused. 128 is GELF's.
    decompress: "gzip", "zlib" or "raw" (deflate without a header): each message, also one that came in one datagram, is
        decompressed before it is handed back. "auto": gzip or zlib if the message begins so, otherwise as it is. None:
        nothing is decompressed.
    most_output: most bytes of a decompressed message. A longer one is dropped as soon as that shows. One MiB takes
        about 2 ms, in which the event loop waits; Graylog's own limit is 8 MiB.

    Raises `BadOption`.
    """

    def __init__(
        self,
        *,
        parse: Callable[[Any, Any], Chunk | None],
        most_messages: int = 1024,
        most_bytes: int = 16 * 1024 * 1024,
        per_source: float = 0.25,
        timeout: float = 5.0,
        most_chunks: int = 128,
        decompress: Form | None = None,
        most_output: int = 1024 * 1024,
    ) -> None:
        check_function("parse", parse)
        self._parse = parse
        self._most_messages = check_integer("most_messages", most_messages, 1)
        self._most_bytes = check_integer("most_bytes", most_bytes, LEAST_BYTES, 2**62)
        per_source = check_number("per_source", per_source, 1e-9, 1, "a part of the whole, above 0 and up to 1")
        self._has_share = per_source < 1
        self._source_messages = max(1, int(self._most_messages * per_source))
        self._source_bytes = int(self._most_bytes * per_source)
        if self._source_bytes < LEAST_BYTES:
            least = int(LEAST_BYTES / per_source) + 1
            raise BadOption("most_bytes", most_bytes, f"give {least} or more, or a larger per_source={per_source:g}")
        self._timeout = check_seconds("timeout", timeout)
        self._most_chunks = check_integer("most_chunks", most_chunks, 1, 65536)
        if decompress is not None:
            check_choice("decompress", decompress, get_args(Form))
        self._decompress = decompress
        self._most_output = check_integer("most_output", most_output, 1, MOST_OUTPUT)
        self._open: OrderedDict[tuple[Any, Any], Message] = OrderedDict()  # in the order of their deadlines
        self._ended: OrderedDict[tuple[Any, Any], _Ended] = OrderedDict()  # likewise
        self._ended_bytes = 0
        self._sources = Sources(self._most_messages, self._most_bytes)
        self._counts: Counter[str] = Counter()
        self._spoiled = 0
        self._latest = float("-inf")
        self._alone = Alone("assembler", self._start_over)

    def __repr__(self) -> str:
        return f"<Assembler: {len(self._open)} open, {self._held} bytes>"

    def add(self, data: bytes | bytearray | memoryview, addr: Any, now: float) -> bytes | None:
        """Takes a datagram. Returns the whole message if this completes it, or is it; otherwise None.

        data: the payload, which is copied if it is kept.
        addr: the source of the datagram: `message.addr`.
        now: seconds of a clock that does not run backwards: `time.monotonic()`. An earlier time than before counts as
            the latest one.
        Raises `BadOption` for an argument of the wrong kind, and `NotAllowed` if it is called while another call runs,
        from a thread or a finalizer. If memory runs out, `MemoryError` is raised, and all open messages are dropped.
        """
        check_payload(data)
        check_source(addr)
        now = check_now(now)
        found = self._read(data, addr)
        with self._alone:
            self._expire(now)
            whole: bytes | None = None
            if found is None:
                self._counts["malformed"] += 1
            elif type(found) is bytes:
                self._counts["whole"] += 1
                whole = found
            else:
                whole = self._keep(addr, found)
        return None if whole is None else self._finished(whole)

    def expire(self, now: float) -> int:
        """Drops the messages whose `timeout` is over. Returns their number. `add` does the same, so it is only needed
        to free memory while nothing comes.

        now: as for `add`. Raises what `add` raises.
        """
        now = check_now(now)
        with self._alone:
            return self._expire(now)

    @property
    def counters(self) -> AssemblerCounters:
        """A snapshot of the counters, for `handle_inspect` by `dataclasses.asdict`."""
        counts = {name: self._counts[name] for name in AssemblerCounters.__slots__}
        counts["datagrams"] = sum(counts[name] for name in OUTCOMES)
        counts["open"] = len(self._open) - self._spoiled
        counts["opened"] = counts["open"] + sum(counts[name] for name in ENDS)
        now = {"spoiled": self._spoiled, "sources": len(self._sources), "held_bytes": self._held}
        return AssemblerCounters(**{**counts, **now})

    @property
    def _held(self) -> int:
        return self._sources.held + self._ended_bytes

    def _read(self, data: Any, addr: Any) -> Any:
        """Returns a `Chunk` of plain integers and bytes, the `bytes` of a whole message, or None if the datagram is
        malformed. Runs before the tables are looked at: `parse` is code of the program."""
        try:
            found: Any = self._parse(data, addr)
            if found is None:
                return bytes(data)
            if not is_a(found, tuple):
                return None
            identifier, number, total, payload = tuple.__iter__(found)
            if not is_payload(payload) or key_size(identifier) < 0:
                return None
            return Chunk(identifier, index(number), index(total), bytes(payload))
        except Exception:
            return None

    def _keep(self, addr: Any, chunk: Chunk) -> bytes | None:
        """Keeps a chunk. Returns the whole message if it is complete."""
        number, total, payload = chunk.number, chunk.total, bytes(chunk.payload)
        if not 0 <= number < total <= self._most_chunks:
            self._counts["out_of_range"] += 1
            return None
        key = (addr, chunk.id)
        message = self._open.get(key)
        if message is None:
            if self._was_in(key, number, total, payload):
                self._counts["duplicates"] += 1
                return None
            message = self._start(key, total)
        parts = message.parts
        if parts is None:
            self._counts["refused"] += 1
        elif message.total != total or parts.get(number, payload) != payload:
            self._spoil(message, "conflicting")
        elif number in parts:
            self._counts["duplicates"] += 1
        else:
            return self._put(message, parts, number, payload)
        return None

    def _was_in(self, key: tuple[Any, Any], number: int, total: int, payload: bytes) -> bool:
        """Returns True if a message that was completed has this chunk."""
        ended = self._ended.get(key)
        return ended is not None and len(ended.hashes) == total and ended.hashes[number] == hash(payload)

    def _start(self, key: tuple[Any, Any], total: int) -> Message:
        base = MESSAGE_OVERHEAD + key_size(key)
        message = Message(key, self._sources.of(key[0]), total, self._latest + self._timeout, base)
        self._open[key] = message
        self._sources.open(message)
        return message

    def _put(self, message: Message, parts: dict[int, bytes], number: int, payload: bytes) -> bytes | None:
        parts[number] = payload
        self._sources.grow(message, CHUNK_OVERHEAD + len(payload))
        if len(parts) == message.total:
            self._counts["chunks"] += 1
            return self._complete(message, parts)
        if message.size > self._source_bytes:
            self._spoil(message, "oversized")
        else:
            self._counts["chunks"] += 1
        self._limit(message.source)
        return None

    def _complete(self, message: Message, parts: dict[int, bytes]) -> bytes:
        chunks = [parts[number] for number in range(message.total)]
        whole = b"".join(chunks)
        size = ENDED_OVERHEAD + key_size(message.key) + 8 * message.total
        ended = _Ended(self._latest + self._timeout, array("q", map(hash, chunks)), size)
        self._remove(message)
        self._counts["completed"] += 1
        self._forget(message.key)
        self._ended[message.key] = ended
        self._ended_bytes += size
        while len(self._ended) > self._most_messages or (self._ended and self._held > self._most_bytes):
            self._forget(next(iter(self._ended)))
        return whole

    def _forget(self, key: tuple[Any, Any]) -> None:
        ended = self._ended.pop(key, None)
        if ended is not None:
            self._ended_bytes -= ended.size

    def _finished(self, whole: bytes) -> bytes | None:
        """Returns a whole message, decompressed if that was asked for and succeeds."""
        if self._decompress is None:
            return whole
        try:
            return inflate(whole, self._decompress, self._most_output)
        except Bomb:
            self._counts["bombs"] += 1
        except ValueError:
            self._counts["undecodable"] += 1
        return None

    # --- what is dropped --------------------------------------------------------------------------------------

    def _limit(self, source: Source) -> None:
        """Drops what is too much: of a source first, then of all."""
        if self._has_share:  # otherwise a source alone may fill the table
            while source.held > self._source_bytes or len(source.open) > self._source_messages:
                self._drop(next(iter(source.open.values())), "dropped_source")
        while len(self._open) > self._most_messages or self._held > self._most_bytes:
            if self._ended and self._held > self._most_bytes:
                self._forget(next(iter(self._ended)))
            else:
                self._drop(next(iter(self._sources.largest().open.values())), "dropped_full")

    def _spoil(self, message: Message, reason: str) -> None:
        """Drops the chunks of a message, and refuses the later ones until its deadline."""
        self._counts[reason] += 1
        self._counts["refused"] += 1
        self._sources.grow(message, message.base - message.size)
        message.parts = None
        self._spoiled += 1

    def _drop(self, message: Message, reason: str) -> None:
        if message.parts is not None:  # otherwise it has been counted
            self._counts[reason] += 1
        self._remove(message)

    def _remove(self, message: Message) -> None:
        del self._open[message.key]
        self._sources.close(message)
        if message.parts is None:
            self._spoiled -= 1

    def _expire(self, now: float) -> int:
        """Drops all that is over at `now`, or at the latest time before. Returns the number of messages."""
        now = self._latest = max(now, self._latest)
        before = self._counts["expired"]
        while self._open and (message := next(iter(self._open.values()))).deadline <= now:
            self._drop(message, "expired")
        while self._ended and next(iter(self._ended.values())).deadline <= now:
            self._forget(next(iter(self._ended)))
        return self._counts["expired"] - before

    def _start_over(self) -> None:
        """Drops everything. Called if memory has run out, when the tables may contradict each other."""
        try:
            self._counts["dropped_full"] += sum(message.parts is not None for message in self._open.values())
        finally:
            self._open.clear()
            self._ended.clear()
            self._sources.clear()
            self._spoiled = self._ended_bytes = 0
