"""The counters of an assembler and of a filter of duplicates."""

from __future__ import annotations

from dataclasses import dataclass

OUTCOMES = ("whole", "chunks", "duplicates", "refused", "out_of_range", "malformed")
"""The counters of datagrams. Their sum is not counted beside them, so that it is right also if memory runs out."""

ENDS = ("completed", "expired", "dropped_source", "dropped_full", "conflicting", "oversized")
"""The counters of messages that are no longer open."""

VERDICTS = ("fresh", "duplicates", "old", "jumps", "malformed")
"""The counters of datagrams at a filter of duplicates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssemblerCounters:
    """A snapshot of the counters of an `Assembler`. Each datagram, and each message of chunks, is counted exactly once:

    `datagrams == whole + chunks + duplicates + refused + out_of_range + malformed`
    `opened == completed + expired + dropped_source + dropped_full + conflicting + oversized + open`

    The messages handed back are `whole + completed - bombs - undecodable`.

    datagrams: datagrams that were added.
    whole: datagrams that were whole messages.
    chunks: chunks that were kept.
    duplicates: chunks that were there already, with the same bytes; also those of messages completed a short time ago.
    refused: chunks of messages that are conflicting or oversized, which includes the one that made the message so.
    out_of_range: chunks whose number is not below their total, or whose total is 0 or above `most_chunks`.
    malformed: datagrams for which `parse` raised an exception, or returned something other than a `Chunk` or None. If
        it grows: log the payloads of some.
    opened: messages of which a first chunk was kept.
    completed: messages that were complete.
    expired: messages that were not complete within `timeout`. If it grows: datagrams are lost.
    dropped_source: messages dropped because their source held more than `per_source`. If it grows for an honest sender:
        raise `per_source`.
    dropped_full: messages dropped because `most_messages` or `most_bytes` was reached. If it grows: raise the limit, or
        set a `rate_limit` on the server.
    conflicting: messages dropped because their chunks contradict each other: other bytes under the same number, or
        another total. If it grows: ids are used again too soon, or somebody forges datagrams.
    oversized: messages dropped because a single one was larger than its source may hold.
    bombs: messages dropped because they were longer than `most_output` when decompressed.
    undecodable: messages dropped because they are not one whole compressed stream.
    open: messages that wait for chunks now.
    spoiled: conflicting and oversized messages whose later chunks are still refused; each has a place in the table.
    sources: sources that have an open or spoiled message now.
    held_bytes: bytes held now, overhead included: at most `most_bytes`.
    """

    datagrams: int
    whole: int
    chunks: int
    duplicates: int
    refused: int
    out_of_range: int
    malformed: int
    opened: int
    completed: int
    expired: int
    dropped_source: int
    dropped_full: int
    conflicting: int
    oversized: int
    bombs: int
    undecodable: int
    open: int
    spoiled: int
    sources: int
    held_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DedupeCounters:
    """A snapshot of the counters of a `Dedupe`. Each datagram is counted exactly once:

    `datagrams == fresh + duplicates + old + jumps + malformed`

    datagrams: datagrams that were checked.
    fresh: datagrams for which `fresh` returned True.
    duplicates: datagrams whose number had come before.
    old: datagrams whose number is below the window. If it grows in a healthy network: raise `window`.
    jumps: datagrams whose number is more than `most_jump` ahead, and not yet confirmed by the next one.
    malformed: datagrams for which `key` raised an exception, or returned something other than a sequence number or
        (stream, number).
    restarts: times that a stream continued elsewhere.
    evicted: streams forgotten because there were more than `most_streams`. If it grows: raise the limit; a duplicate
        may have passed.
    expired: streams forgotten because nothing fresh came for `idle` seconds.
    streams: streams that are known now.
    """

    datagrams: int
    fresh: int
    duplicates: int
    old: int
    jumps: int
    malformed: int
    restarts: int
    evicted: int
    expired: int
    streams: int
