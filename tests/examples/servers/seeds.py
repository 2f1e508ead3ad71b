"""Well-formed datagrams of clients, from which the fuzzers begin: for each server, by its name."""

from __future__ import annotations

SEEDS: dict[str, tuple[bytes, ...]] = {
    "stun": (
        b"\0\1\0\0\x21\x12\xa4\x42" + bytes(range(12)),  # turnutils_stunclient
        b"\0\1\0\x08" + bytes(range(16)) + b"\0\3\0\4\0\0\0\0",  # stun, a client of RFC 3489
        b"\0\1\0\x08\x21\x12\xa4\x42" + bytes(12) + b"\x80\x28\0\4\xb2\xaa\xf9\xf6",
        b"hello",
    ),
    "statsd": (
        b"page.views:1|c|@0.5|#site:shop,flag",  # datadog
        b"load:-0.5|g",
        b"wait:12|ms|@0.1",
        b"user:ann|s",
        b"size:3e2|h",
    ),
}
