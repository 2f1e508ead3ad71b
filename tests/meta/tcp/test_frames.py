"""Frames: however a stream is divided, the same frames come out; and each kind refuses what it cannot mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing import gen, meta
from homing.meta.tcp.decoding import decoder_of


class Numbers:
    """Frames of the program: numbers, with a comma behind each."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> Iterator[int]:
        *numbers, self.rest = (self.rest + data).split(b",")
        for number in numbers:
            yield int(number)

    def encode(self, data: int) -> bytes:
        return b"%d," % data


KINDS: list[Any] = [
    meta.LengthPrefix(1, most=200),
    meta.LengthPrefix(2),
    meta.LengthPrefix(2, inclusive=True),
    meta.LengthPrefix(3, order="little"),
    meta.LengthPrefix(4, most=1000),
    meta.LengthPrefix(8, order="little", inclusive=True),
    meta.Delimiter(b"\n"),
    meta.Delimiter(b"\r\n"),
    meta.Delimiter(b"aab"),
]


def take_all(decoder: Any, at_a_time: int) -> list[Any]:
    found: list[Any] = []
    while decoder.more:
        found += decoder.take(at_a_time)
    return found


@given(st.data())
def test_any_division_of_a_stream_gives_the_same_frames(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    content = st.binary(max_size=150)
    if isinstance(kind, meta.Delimiter):
        content = content.filter(lambda frame: (frame + kind.mark).find(kind.mark) == len(frame))
    frames = data.draw(st.lists(content, max_size=30))
    decoder = decoder_of(kind)
    stream = b"".join(decoder.encode(frame) for frame in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=40)))
    found: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        decoder.feed(memoryview(stream[start:end]))
        found += take_all(decoder, data.draw(st.integers(1, 5)))
    assert found == frames
    assert decoder.error is None
    assert decoder.unfinished() == 0


@given(st.data())
def test_bytes_are_a_frame_alone_if_and_only_if_they_are_fed_as_one(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([*KINDS, meta.Raw(most=20), Numbers]))
    content = data.draw(st.lists(st.binary(max_size=20), max_size=3))
    try:
        stream = b"".join(decoder_of(kind).encode(frame) for frame in content)
    except Exception:  # what is no frame of that kind
        stream = b"".join(content)
    stream = stream[data.draw(st.integers(0, 2)) :] + data.draw(st.binary(max_size=2)) or b"x"
    buffer = bytearray(stream + b"\n")  # the rest of a buffer is of no account
    decoder = decoder_of(kind)
    found = decoder.alone(buffer, len(stream))
    decoder.feed(memoryview(buffer)[: len(stream)])
    frames = take_all(decoder, 2)
    if found is not None:
        assert (frames, decoder.unfinished(), decoder.error) == ([found], 0, None)
        assert type(found) is bytes
    elif kind is not Numbers and not isinstance(kind, meta.LengthPrefix):
        assert len(frames) != 1 or decoder.unfinished() or decoder.error is not None


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_frame_is_not_alone_behind_a_part_of_one(kind: Any) -> None:
    decoder = decoder_of(kind)
    stream = decoder.encode(b"hello")
    decoder.feed(memoryview(stream[:3]))
    assert take_all(decoder, 1) == []
    assert decoder.alone(bytearray(stream), len(stream)) is None


@pytest.mark.parametrize("length", [2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("order", ["big", "little"])
def test_a_length_of_eight_bytes_is_refused_however_large_it_is(order: Any, length: int) -> None:
    decoder = decoder_of(meta.LengthPrefix(8, order=order))
    prefix = length.to_bytes(8, order)
    assert decoder.alone(bytearray(prefix), 8) is None
    decoder.feed(memoryview(prefix))
    assert take_all(decoder, 1) == []
    assert isinstance(decoder.error, meta.FrameTooLong)
    assert decoder.error.length == length


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_stream_cut_at_each_byte_gives_the_same_frames(kind: Any) -> None:
    decoder = decoder_of(kind)
    frames = [b"", b"one", b"x" * 150, b"", b"two"]
    stream = b"".join(decoder.encode(frame) for frame in frames)
    for cut in range(len(stream) + 1):
        decoder = decoder_of(kind)
        decoder.feed(memoryview(stream[:cut]))
        found = take_all(decoder, 100)
        decoder.feed(memoryview(stream[cut:]))
        assert found + take_all(decoder, 100) == frames


def test_many_frames_of_a_long_stream_are_found_while_the_buffer_is_moved() -> None:
    decoder = decoder_of(meta.Delimiter(b"\n", most=10_000))
    frames = [b"%05d" % number * 100 for number in range(1000)]
    stream = b"".join(frame + b"\n" for frame in frames)
    found = []
    for start in range(0, len(stream), 7919):
        decoder.feed(memoryview(stream[start : start + 7919]))
        found += decoder.take(3)
    assert found + take_all(decoder, 3) == frames


@pytest.mark.parametrize(
    ("kind", "stream"),
    [
        (meta.LengthPrefix(2, most=10), b"\0\x0bhello world"),
        (meta.Delimiter(b"\n", most=10), b"hello world\n"),
        (meta.Delimiter(b"\n", most=10), b"hello world"),
        (meta.Delimiter(b"\r\n", most=10), b"hello worl\rd"),
    ],
    ids=str,
)
def test_a_frame_that_is_too_long_ends_the_stream_behind_the_frames_before_it(kind: Any, stream: bytes) -> None:
    decoder = decoder_of(kind)
    decoder.feed(memoryview(decoder.encode(b"good") + stream))
    assert take_all(decoder, 10) == [b"good"]
    assert isinstance(decoder.error, meta.FrameTooLong)
    assert decoder.error.most == 10
    decoder.feed(memoryview(decoder.encode(b"late")))
    assert take_all(decoder, 10) == []


def test_a_frame_may_have_all_bytes_that_are_allowed() -> None:
    for kind in (meta.LengthPrefix(2, most=10), meta.Delimiter(b"\r\n", most=10)):
        decoder = decoder_of(kind)
        decoder.feed(memoryview(decoder.encode(b"hello worl")))
        assert take_all(decoder, 10) == [b"hello worl"]


def test_a_length_that_does_not_count_itself_is_bad() -> None:
    decoder = decoder_of(meta.LengthPrefix(2, inclusive=True))
    decoder.feed(memoryview(b"\0\1"))
    assert take_all(decoder, 10) == []
    assert isinstance(decoder.error, meta.BadFrame)


def test_raw_bytes_come_in_portions() -> None:
    decoder = decoder_of(meta.Raw(most=4))
    decoder.feed(memoryview(b"hello world"))
    assert take_all(decoder, 2) == [b"hell", b"o wo", b"rld"]


def test_frames_of_the_program_may_be_anything() -> None:
    decoder = decoder_of(Numbers)
    decoder.feed(memoryview(b"1,22,33"))
    assert take_all(decoder, 1) == [1, 22]
    decoder.feed(memoryview(b"3,"))
    assert take_all(decoder, 1) == [333]
    assert decoder.encode(7) == b"7,"


def test_a_decoder_of_the_program_that_raises_makes_a_bad_frame() -> None:
    decoder = decoder_of(Numbers)
    decoder.feed(memoryview(b"1,two,"))
    assert take_all(decoder, 10) == [1]
    assert isinstance(decoder.error, meta.BadFrame)
    assert "invalid literal" in str(decoder.error)


@pytest.mark.parametrize("frames", [b"a frame", bytearray(b"a frame"), memoryview(b"a frame"), "a frame"])
def test_a_decoder_that_returns_a_frame_instead_of_a_list_of_frames_is_told_so(frames: Any) -> None:
    class One:
        def feed(self, data: bytes) -> Any:
            return frames

        encode = staticmethod(bytes)

    decoder = decoder_of(One)
    decoder.feed(memoryview(b"x"))
    assert take_all(decoder, 10) == []
    assert str(decoder.error) == f"feed() returned {type(frames).__name__}, not a list or generator of frames"


def test_data_that_would_be_other_frames_is_refused() -> None:
    with pytest.raises(meta.BadFrame, match="contains the mark"):
        decoder_of(meta.Delimiter(b"\n")).encode(b"one\ntwo")
    with pytest.raises(meta.FrameTooLong):
        decoder_of(meta.Delimiter(b"\n", most=3)).encode(b"four")
    with pytest.raises(meta.FrameTooLong):
        decoder_of(meta.LengthPrefix(1)).encode(b"x" * 256)


@pytest.mark.parametrize(
    "make",
    [
        lambda: meta.LengthPrefix(5),
        lambda: meta.LengthPrefix(0),
        lambda: meta.LengthPrefix(1, most=256),
        lambda: meta.LengthPrefix(2, order="middle"),  # type: ignore[arg-type]
        lambda: meta.LengthPrefix(2, most=0),
        lambda: meta.Delimiter(b""),
        lambda: meta.Delimiter("\n"),  # type: ignore[arg-type]
        lambda: meta.Raw(most=0),
    ],
)
def test_frames_that_cannot_be_are_refused(make: Any) -> None:
    with pytest.raises(gen.BadOption):
        make()


@pytest.mark.parametrize("frame", [None, meta.LengthPrefix, Numbers(), b"\n", int, object])
def test_what_makes_no_frames_is_refused(frame: Any) -> None:
    with pytest.raises(gen.BadOption, match="frame"):
        meta.TCPServerOptions(frame=frame)
