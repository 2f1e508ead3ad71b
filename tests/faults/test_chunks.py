"""Cases 47 and 48: chunks that lie, and datagrams that come again."""

from __future__ import annotations

import random
import tracemalloc
import zlib

from homing import meta

from .figures import figure

HONEST = ("192.0.2.1", 4000)
MOST_BYTES = 2_000_000
BOMB = zlib.compress(bytes(5_000_000))


def hostile(chance: random.Random, number: int) -> tuple[bytes, tuple[str, int]]:
    """A chunk of GELF by a few sources: an endless id, a lie about the total, an overlap, or a part of a bomb."""
    addr = ("203.0.113.9", 1000 + chance.randrange(20))
    known = chance.randrange(50).to_bytes(8, "big")
    header, payload = chance.choice(
        (
            (number.to_bytes(8, "big") + b"\0\2", b"x" * 1000),
            (known + bytes((0, chance.randrange(256))), b"y"),
            (known + bytes((chance.randrange(3), 3)), chance.randbytes(500)),
            (chance.randbytes(8) + b"\0\1", BOMB),
            (known + b"\5\2", b""),
        )
    )
    return b"\x1e\x0f" + header + payload, addr


def test_case_47_hostile_chunks_cost_bounded_memory_and_an_honest_source_nothing() -> None:
    chance = random.Random(47)
    options = {"most_messages": 200, "most_bytes": MOST_BYTES, "most_output": 100_000}
    subject = meta.Assembler(parse=meta.gelf_chunk, decompress="auto", **options)  # type: ignore[arg-type]
    found, now = 0, 0.0
    tracemalloc.start()
    try:
        for number in range(10_000):
            now += 0.0005
            subject.add(*hostile(chance, number), now)
            if number % 100 == 0:
                subject.add(b"\x1e\x0f" + b"%8d" % number + b"\0\2hello ", HONEST, now)
            if number % 100 == 60:
                found += subject.add(b"\x1e\x0f" + b"%8d" % (number - 60) + b"\1\2world", HONEST, now) == b"hello world"
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    figure(47, "messages of an honest source that were whole, of 100", found)
    figure(47, f"bytes at most, of {MOST_BYTES:,} allowed and a bomb", f"{most:,}")
    counts = subject.counters
    assert found == 100
    assert most < MOST_BYTES + 1_000_000
    assert min(counts.dropped_source + counts.dropped_full, counts.conflicting, counts.out_of_range, counts.bombs) > 0
    assert (counts.malformed > 0, counts.undecodable) == (True, 0)


def test_case_48_a_replay_of_a_whole_stream_is_counted_and_not_handed_on() -> None:
    subject = meta.Dedupe(key=lambda data, addr: int.from_bytes(data, "big"), bits=32, window=1024)
    stream = [(2**32 - 5000 + number) % 2**32 for number in range(10_000)]
    first = [subject.fresh(number.to_bytes(4, "big"), HONEST, 0.0) for number in stream]
    again = [subject.fresh(number.to_bytes(4, "big"), HONEST, 1.0) for number in stream]
    figure(48, "numbers of a replay that were handed on, of 10,000", sum(again))
    assert all(first)
    assert not any(again)
    assert (subject.counters.duplicates, subject.counters.old) == (1024, 10_000 - 1024)
