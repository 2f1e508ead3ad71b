"""Refuses duplicates and old sequence numbers."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from math import inf
from operator import index
from typing import Any

from ...gen import BadOption
from ...gen.foreign import is_a
from ...gen.options import check_integer, check_seconds
from .arguments import Alone, check_function, check_now, check_payload, check_source, key_size
from .counters import VERDICTS, DedupeCounters
from .stream import Limits, Stream

MOST_WINDOW = 65536
"""Most numbers of a window: 8 KiB for each stream."""


class Dedupe:
    """Tells datagrams that are new from duplicates and from those whose sequence number is old. A plain object, for one
    handler or test: it has no socket, no clock and no task.

        self.dedupe = meta.Dedupe(key=lambda data, addr: int.from_bytes(data[:4], "big"), bits=32)
        ...
        if self.dedupe.fresh(message.data, message.addr, time.monotonic()):

    Each stream has a window that ends at its highest number so far, as in RFC 4303 section 3.4.3. A number above it is
    fresh and moves the window, a number inside is fresh once, a number below it is old. So reordered datagrams within
    the window pass, and no number passes twice.

    If a sender starts again with other numbers, its datagrams are old at first. The window moves to them, which counts
    as a restart, as soon as two numbers have come one after the other and nothing else of the stream was fresh for
    `restart` seconds: the datagrams before that are refused. A number more than `most_jump` ahead waits only for the
    next one, so that a single damaged datagram does not make all others old. RFC 3550 appendix A.1 has this probation
    without the silence; that would let a burst of late duplicates in.

    This is no protection against somebody who forges datagrams: authenticate them first, and set `restart=None`.

    key: a function of (data, addr) that returns the sequence number, or (stream, number). A stream is `bytes`, a `str`,
        an `int` of 64 bits, None, or a tuple of these; without one, each source address has its own. A sender that
        knows the name of a stream can spoil it: put `addr` into it, unless the sender's address may change. `key` may
        raise, or return anything else: the datagram is then counted as malformed, and is not fresh.
    window: numbers that a datagram may be late by, up to 65536, and half of all numbers. RFC 4303 demands 32 at least.
    bits: the size of sequence numbers, 2 to 64. They wrap around and are compared as RFC 1982 says: 16 for RTP.
    most_jump: a number further ahead than this must be confirmed by the next one. 32768 is three seconds of a stream of
        10,000 datagrams a second.
    restart: seconds of silence after which a stream may continue with lower numbers. It should be longer than the
        network may delay a duplicate. None: never; a restarted sender must wait for `idle`.
    idle: seconds without a fresh datagram after which a stream is forgotten. Its next number is fresh, whatever it is.
    most_streams: most streams that are known. The one that had no fresh datagram for longest is forgotten for a new
        one. A stream takes some 600 bytes, and an eighth of `window`.

    Raises `BadOption`.
    """

    def __init__(
        self,
        *,
        key: Callable[[Any, Any], Any],
        window: int = 1024,
        bits: int = 64,
        most_jump: int = 32768,
        restart: float | None = 3.0,
        idle: float = 60.0,
        most_streams: int = 10_000,
    ) -> None:
        check_function("key", key)
        self._key = key
        bits = check_integer("bits", bits, 2, 64)
        window = check_integer("window", window, 1, MOST_WINDOW)
        if window > 1 << (bits - 1):
            raise BadOption("window", window, f"give 1 to {1 << (bits - 1)}, half of the numbers of bits={bits}")
        most_jump = check_integer("most_jump", most_jump, 1, 2**64)
        silence = inf if restart is None else check_seconds("restart", restart)
        self._limits = Limits(bits, window, most_jump, silence)
        self._idle = check_seconds("idle", idle)
        self._most_streams = check_integer("most_streams", most_streams, 1)
        self._streams: OrderedDict[Any, Stream] = OrderedDict()  # in the order of their last fresh datagrams
        self._counts: Counter[str] = Counter()
        self._latest = -inf
        self._alone = Alone("filter of duplicates", lambda: None)  # each change of a table is its last step

    def __repr__(self) -> str:
        return f"<Dedupe: {len(self._streams)} streams>"

    def fresh(self, data: bytes | bytearray | memoryview, addr: Any, now: float) -> bool:
        """Returns True if the datagram is new, and remembers its number. Returns False, and counts it, if it is a
        duplicate, old, far ahead or malformed.

        data: the payload. addr: the source of the datagram: `message.addr`.
        now: seconds of a clock that does not run backwards: `time.monotonic()`. An earlier time than before counts as
            the latest one.
        Raises `BadOption` for an argument of the wrong kind, and `NotAllowed` if it is called while another call runs,
        from a thread or a finalizer.
        """
        check_payload(data)
        check_source(addr)
        now = check_now(now)
        found = self._read(data, addr)
        with self._alone:
            now = self._latest = max(now, self._latest)
            self._forget_idle(now)
            verdict = "malformed" if found is None else self._judge(*found, now)
            self._counts[verdict] += 1
            return verdict in ("fresh", "restarts")

    @property
    def counters(self) -> DedupeCounters:
        """A snapshot of the counters, for `handle_inspect` by `dataclasses.asdict`."""
        counts = {name: self._counts[name] for name in DedupeCounters.__slots__}
        counts["fresh"] += counts["restarts"]
        counts["datagrams"] = sum(counts[name] for name in VERDICTS)
        return DedupeCounters(**{**counts, "streams": len(self._streams)})

    def _read(self, data: Any, addr: Any) -> tuple[Any, int] | None:
        """Returns the stream and the number, or None if they are malformed. Runs before the table is looked at: `key`
        is code of the program."""
        try:
            found: Any = self._key(data, addr)
            stream, number = tuple.__iter__(found) if is_a(found, tuple) else (addr, found)
            number = index(number)
        except Exception:
            return None
        return (stream, number) if key_size(stream) >= 0 and 0 <= number < self._limits.modulus else None

    def _judge(self, name: Any, number: int, now: float) -> str:
        stream = self._streams.get(name)
        if stream is None:
            self._streams[name] = Stream(self._limits, number, now)
            while len(self._streams) > self._most_streams:
                self._streams.popitem(last=False)
                self._counts["evicted"] += 1
            return "fresh"
        verdict = stream.judge(number, now)
        if verdict in ("fresh", "restarts"):
            self._streams.move_to_end(name)
        return verdict

    def _forget_idle(self, now: float) -> None:
        while self._streams and now - next(iter(self._streams.values())).last >= self._idle:
            self._streams.popitem(last=False)
            self._counts["expired"] += 1
