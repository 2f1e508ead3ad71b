"""Decoders: one for each connection. They hold the bytes that came until their frames are taken, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from ...gen.copying import refuse_copy
from ...gen.foreign import class_name, is_instance, safe_repr
from ...node.mailbox.lane import COMPILED
from .frames import BadFrame, Delimiter, Frame, FrameError, FrameTooLong, LengthPrefix, Raw

if TYPE_CHECKING:
    from collections.abc import Callable

    piece: Callable[[bytearray, int, int], bytes]
    find: Callable[[bytearray, bytes, int, int], int]
    has_mark: Callable[[bytes, bytes], bool]

_LONG = 1 << 32

_COMPACT = 65536
"""Bytes taken from the front of a buffer after which it is moved: to move it for each frame would cost too much."""


def _piece(buffer: bytearray, start: int, end: int) -> bytes:
    """Returns a part of a buffer. Stands for the C function of `pieces`, as the next two do."""
    return bytes(buffer[start:end])


def _find(buffer: bytearray, mark: bytes, start: int, end: int) -> int:
    return buffer.find(mark, start, end)


def _has_mark(data: bytes, mark: bytes) -> bool:
    return mark in data


if not COMPILED:
    globals().update(piece=_piece, find=_find, has_mark=_has_mark)


class Decoder:
    """Base of the decoders.

    more: False once all complete frames were taken. error: the reason why no more frames follow; None: none so far.
    own: True for the framing of a program, which may do anything.
    """

    __slots__ = ("_at", "_data", "error", "more", "own")

    __reduce__ = refuse_copy

    def __init__(self) -> None:
        self.more = self.own = False
        self.error: FrameError | None = None
        self._data = bytearray()
        self._at = 0  # where the first byte that was not taken is

    def unfinished(self) -> int:
        """Returns the number of bytes that belong to no frame yet, once `more` is False."""
        return len(self._data) - self._at

    def alone(self, buffer: bytearray, size: int) -> bytes | None:
        """Returns the content of the frame that the next bytes of the stream are, the first `size` of `buffer`, if they
        are a single frame and nothing waits before them. None: they are to be fed."""
        if self.more or self.error is not None or len(self._data):
            return None
        return self._alone(buffer, size)

    def _alone(self, buffer: bytearray, size: int) -> bytes | None:
        return None

    def feed(self, data: memoryview) -> None:
        """Takes the next bytes of the stream."""
        self._data += data
        self.more = self.error is None

    def take(self, most: int) -> list[Any]:
        """Returns the next complete frames, at most `most`. Never raises: see `error`."""
        frames: list[Any] = []
        try:
            self.more = self._take(frames, most)
        except FrameError as error:
            self.error = error
            self.more = False
        if self._at == len(self._data) or self._at >= _COMPACT:
            del self._data[: self._at]
            self._moved(self._at)
            self._at = 0
        return frames

    def _moved(self, by: int) -> None:
        """Called when the buffer was moved to the front by `by` bytes."""

    def _take(self, frames: list[Any], most: int) -> bool:
        """Appends up to `most` frames. Returns False if there are no more."""
        raise NotImplementedError

    def encode(self, data: Any) -> bytes:
        """Returns the bytes of a frame. Raises `FrameError`, or what a framing of the program raises."""
        raise NotImplementedError


class LengthDecoder(Decoder):
    """Frames with their length before them."""

    __slots__ = ("_big", "_extra", "_most", "_size")

    def __init__(self, frame: LengthPrefix) -> None:
        super().__init__()
        self._size = frame.size
        self._big = frame.order == "big"
        self._most = frame.most or 0
        self._extra = frame.size if frame.inclusive else 0

    def _alone(self, buffer: bytearray, size: int) -> bytes | None:
        start = self._size
        if size < start or start > 4:
            return None
        length = self._length_at(buffer, 0)
        if length > self._most or length != size - start:
            return None
        return piece(buffer, start, size)

    def _length_at(self, data: bytearray, at: int) -> int:
        """Returns the length that a prefix tells, without the prefix: below 0 if it does not count itself. Raises
        `FrameTooLong` for one of 8 bytes that is above 4 GiB."""
        length, size = 0, self._size
        if size > 4:
            order: Literal["big", "little"] = "big" if self._big else "little"
            told = int.from_bytes(data[at : at + size], order) - self._extra
            if told >= _LONG:
                raise FrameTooLong(self._most, told)
            return told
        for index in range(size):
            length = length << 8 | data[at + (index if self._big else size - 1 - index)]
        return length - self._extra

    def _take(self, frames: list[Any], most: int) -> bool:
        data, at, size, end = self._data, self._at, self._size, len(self._data)
        try:
            while most > 0:
                start = at + size
                if start > end:
                    return False
                length = self._length_at(data, at)
                if length < 0:
                    raise BadFrame(f"a length of {length + self._extra} bytes does not count its own {size}")
                if length > self._most:
                    raise FrameTooLong(self._most, length)
                if start + length > end:
                    return False
                at = start + length
                frames.append(piece(data, start, at))
                most -= 1
            return True
        finally:
            self._at = at

    def encode(self, data: Any) -> bytes:
        plain = bytes_of(data)
        length = len(plain)
        if length > self._most:
            raise FrameTooLong(self._most, length)
        length += self._extra
        return length.to_bytes(self._size, "big" if self._big else "little") + plain


class DelimiterDecoder(Decoder):
    """Frames with a mark behind them."""

    __slots__ = ("_mark", "_most", "_searched")

    def __init__(self, frame: Delimiter) -> None:
        super().__init__()
        self._mark = frame.mark
        self._most = frame.most
        self._searched = 0  # no mark begins before this place

    def _alone(self, buffer: bytearray, size: int) -> bytes | None:
        end = size - len(self._mark)
        if end < 0 or end > self._most or find(buffer, self._mark, 0, size) != end:
            return None
        return piece(buffer, 0, end)

    def _take(self, frames: list[Any], most: int) -> bool:
        data, at, mark, width = self._data, self._at, self._mark, len(self._mark)
        begin, size = max(at, self._searched), len(data)
        try:
            while most > 0:
                found = find(data, mark, begin, size)
                if found < 0:
                    begin = max(at, size - width + 1)
                    if begin - at > self._most:
                        raise FrameTooLong(self._most)
                    return False
                if found - at > self._most:
                    raise FrameTooLong(self._most, found - at)
                frames.append(piece(data, at, found))
                at = begin = found + width
                most -= 1
            return True
        finally:
            self._at, self._searched = at, begin

    def _moved(self, by: int) -> None:
        self._searched -= by

    def encode(self, data: Any) -> bytes:
        plain = data if type(data) is bytes else bytes_of(data)
        frame = plain + self._mark
        length = len(plain)
        if has_mark(plain, self._mark) or (len(self._mark) > 1 and frame.find(self._mark) != length):
            raise BadFrame(f"the data contains the mark {safe_repr(self._mark)}, so it would be more than one frame")
        if length > self._most:
            raise FrameTooLong(self._most, length)
        return frame


class RawDecoder(Decoder):
    """Bytes as they come."""

    __slots__ = ("_most",)

    def __init__(self, frame: Raw) -> None:
        super().__init__()
        self._most = frame.most

    def _alone(self, buffer: bytearray, size: int) -> bytes | None:
        return piece(buffer, 0, size) if size <= self._most else None

    def _take(self, frames: list[Any], most: int) -> bool:
        while most > 0 and self._at < len(self._data):
            end = min(self._at + self._most, len(self._data))
            frames.append(piece(self._data, self._at, end))
            self._at = end
            most -= 1
        return self._at < len(self._data)

    def encode(self, data: Any) -> bytes:
        return bytes_of(data)


class ForeignDecoder(Decoder):
    """Frames of a `Framing` of the program, which may do anything."""

    __slots__ = ("_drawn", "_fed", "_framing")

    def __init__(self, framing: Any) -> None:
        super().__init__()
        self.own = True
        self._framing = framing
        self._drawn: Iterator[Any] | None = None
        self._fed = 0  # bytes since the last frame

    def unfinished(self) -> int:
        return self._fed

    def _take(self, frames: list[Any], most: int) -> bool:
        try:
            while most > 0:
                drawn = self._drawn or self._next()
                if drawn is None:
                    return False
                for frame in drawn:
                    self._fed = 0
                    frames.append(frame)
                    most -= 1
                    if most == 0:
                        return True
                self._drawn = None
            return True
        except FrameError:
            raise
        except Exception as error:
            raise BadFrame(f"the decoder raised {safe_repr(error)}") from error

    def _next(self) -> Iterator[Any] | None:
        """Passes all bytes that wait to the framing. Returns an iterator over its frames; None: no bytes wait."""
        if not self._data:
            return None
        data = bytes(self._data)
        self._data.clear()
        self._fed += len(data)
        frames = self._framing.feed(data)
        if is_instance(frames, (bytes, bytearray, memoryview, str)):  # each byte of which would be a frame
            raise BadFrame(f"feed() returned {class_name(frames)}, not a list or generator of frames")
        drawn: Iterator[Any] = iter(frames)
        self._drawn = drawn
        return drawn

    def encode(self, data: Any) -> bytes:
        return bytes_of(self._framing.encode(data), "encode() returned")


def bytes_of(data: Any, words: str = "the data is") -> bytes:
    """Returns the content of a bytes-like object. Raises `BadFrame` for anything else: `bytes(5)` would be zeros."""
    if type(data) is bytes:
        return data
    if not is_instance(data, (bytes, bytearray, memoryview)):
        raise BadFrame(f"{words} {class_name(data)}, not bytes")
    return bytes(data)


def decoder_of(frame: Frame) -> Decoder:
    """Returns the decoder for one more connection. Raises what a factory of the program raises."""
    if isinstance(frame, LengthPrefix):
        return LengthDecoder(frame)
    if isinstance(frame, Delimiter):
        return DelimiterDecoder(frame)
    if isinstance(frame, Raw):
        return RawDecoder(frame)
    return ForeignDecoder(frame())
