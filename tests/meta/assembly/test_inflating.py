"""Messages are decompressed up to a limit, and never beyond."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing import meta

from .chunks import ONE, assembler, check_account, written


def raw(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


COMPRESS: dict[Any, Any] = {"gzip": gzip.compress, "zlib": zlib.compress, "raw": raw}


@given(data=st.binary(max_size=300), form=st.sampled_from(sorted(COMPRESS)), cuts=st.integers(1, 5))
def test_a_message_is_handed_back_as_it_was_before_it_was_compressed(data: bytes, form: Any, cuts: int) -> None:
    packed = COMPRESS[form](data)
    step = -(-len(packed) // cuts)
    parts = [packed[at : at + step] for at in range(0, len(packed), step)]
    for decompress in {form, form if form == "raw" else "auto"}:
        subject = assembler(decompress=decompress)
        found = [subject.add(written(1, number, len(parts), part), ONE, 0.0) for number, part in enumerate(parts)]
        assert found[-1] == data
        if not packed.startswith(b"C"):
            assert subject.add(packed, ONE, 0.0) == data


def test_auto_hands_back_what_is_not_compressed_as_it_is() -> None:
    subject = assembler(decompress="auto")
    for data in (b"", b"{", b'{"short_message":"x"}', b"<34>text", b"\x1f", b"\x78"):
        assert subject.add(data, ONE, 0.0) is data
    assert subject.counters.undecodable == 0


@pytest.mark.parametrize("form", COMPRESS)
def test_a_message_of_exactly_most_output_passes_and_one_byte_more_is_a_bomb(form: str) -> None:
    subject = assembler(decompress=form, most_output=5000)
    assert subject.add(COMPRESS[form](b"x" * 5000), ONE, 0.0) == b"x" * 5000
    assert subject.add(COMPRESS[form](b"x" * 5001), ONE, 0.0) is None
    assert (subject.counters.bombs, subject.counters.undecodable) == (1, 0)


@pytest.mark.parametrize("form", COMPRESS)
def test_a_bomb_costs_no_more_memory_than_the_limit(form: str) -> None:
    bomb = COMPRESS[form](bytes(60_000_000))
    assert len(bomb) < 65_507
    subject = assembler(decompress=form, most_output=100_000)
    tracemalloc.start()
    try:
        assert subject.add(bomb, ONE, 0.0) is None
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()
    assert subject.counters.bombs == 1


def test_no_more_than_one_byte_beyond_the_limit_is_ever_decompressed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Spy:
        def __init__(self, wbits: int) -> None:
            self.stream = real(wbits)

        def decompress(self, data: bytes, most: int) -> bytes:
            asked.append(most)
            return self.stream.decompress(data, most)

    real = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", Spy)
    subject = assembler(decompress="zlib", most_output=1000)
    assert subject.add(zlib.compress(bytes(50_000)), ONE, 0.0) is None
    assert asked == [1001]


def test_a_bomb_in_chunks_is_one_too() -> None:
    bomb = zlib.compress(bytes(60_000_000))
    subject = assembler(decompress="auto")
    parts = [bomb[at : at + 8000] for at in range(0, len(bomb), 8000)]
    for number, part in enumerate(parts):
        assert subject.add(written(1, number, len(parts), part), ONE, 0.0) is None
    assert (subject.counters.bombs, subject.counters.completed) == (1, 1)
    check_account(subject.counters)


SPOILED: dict[str, tuple[Any, bytes]] = {
    "cut off": ("gzip", gzip.compress(b"text" * 100)[:-5]),
    "without its last byte": ("zlib", zlib.compress(b"text")[:-1]),
    "another checksum": ("zlib", zlib.compress(b"text")[:-1] + b"?"),
    "another format": ("gzip", zlib.compress(b"text")),
    "none": ("zlib", b"no stream"),
    "empty": ("raw", b""),
    "followed by others": ("gzip", gzip.compress(b"text") + b"more"),
    "many streams": ("gzip", gzip.compress(b"") * 1000),
    "only a head": ("auto", b"\x1f\x8b"),
    "a preset dictionary": ("zlib", b"\x78\xbb\0\0\0\0"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_anything_but_one_whole_stream_is_counted_as_undecodable(name: str) -> None:
    form, data = SPOILED[name]
    subject = assembler(decompress=form)
    assert subject.add(data, ONE, 0.0) is None
    assert (subject.counters.undecodable, subject.counters.bombs) == (1, 0)
    check_account(subject.counters)


@given(data=st.binary(max_size=200), form=st.sampled_from(["auto", *COMPRESS]))
def test_random_bytes_are_handed_back_or_counted_and_raise_nothing(data: bytes, form: Any) -> None:
    subject = meta.Assembler(parse=lambda data, addr: None, decompress=form, most_output=1000)
    whole = subject.add(data, ONE, 0.0)
    counters = subject.counters
    assert (whole is None) == (counters.bombs + counters.undecodable == 1)
