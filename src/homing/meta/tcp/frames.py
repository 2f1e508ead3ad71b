"""Frames: how a stream of bytes is divided into messages, and messages are made bytes again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from ...gen import BadOption, HomingError
from ...gen.foreign import safe_repr
from ...gen.options import check_choice, check_type, set_integer

_MOST_FRAME = 2**30
"""The largest frame that may be asked for, 1 GiB: each connection may hold one in memory."""


class FrameError(HomingError, ValueError):
    """Base of the errors of frames."""


class FrameTooLong(FrameError):
    """A frame is longer than `most` bytes. A decoder of your own may raise it as well.

    most: the limit in bytes. length: the length that the frame announced, if it did.
    """

    def __init__(self, most: int, length: int | None = None) -> None:
        found = "" if length is None else f": {length} bytes"
        super().__init__(f"a frame is longer than {most} bytes{found}")
        self.most = most
        self.length = length


class BadFrame(FrameError):
    """Bytes that are not a frame; or data of which no frame can be made."""


@runtime_checkable
class Framing(Protocol):
    """The frames of one connection, made for each connection by a factory: the option `frame` of your own.

    A decoder should bound what it keeps of an unfinished frame, by raising `FrameTooLong`.
    """

    def feed(self, data: bytes) -> Iterable[Any]:
        """Takes the next bytes of the stream, divided anywhere, and returns the frames that are complete now: bytes, or
        whatever is to be `MessageTCP.data`. A generator is drawn only as fast as the receiver takes the frames, and to
        its end before the next call. May raise: then the connection is closed."""

    def encode(self, data: Any) -> bytes:
        """Returns the bytes of one frame. May raise: then nothing is sent."""


@dataclass(frozen=True, slots=True)
class LengthPrefix:
    """Frames with their length before them, as DNS over TCP has them (RFC 1035, section 4.2.2): `LengthPrefix(2)`.

    size: bytes of the length: 1, 2, 3, 4 or 8.
    most: the longest frame in bytes, without the prefix. A peer that announces more is cut off at once. None: 65535, or
        255 if `size` is 1.
    order: "big": network byte order; or "little".
    inclusive: the length counts the prefix as well.
    """

    size: int
    _: KW_ONLY
    most: int | None = None
    order: Literal["big", "little"] = "big"
    inclusive: bool = False

    def __post_init__(self) -> None:
        set_integer(self, "size", 1, 8)
        if self.size in (5, 6, 7):
            raise BadOption("size", self.size, "give 1, 2, 3, 4 or 8 bytes")
        check_choice("order", self.order, ("big", "little"))
        check_type("inclusive", self.inclusive, bool, "True or False")
        fits = (1 << 8 * self.size) - 1 - (self.size if self.inclusive else 0)
        if self.most is None:
            object.__setattr__(self, "most", min(fits, 65535))
        set_integer(self, "most", 1, min(fits, _MOST_FRAME))


@dataclass(frozen=True, slots=True)
class Delimiter:
    """Frames with a mark behind them, such as lines. The mark is not part of the frame.

    mark: the bytes behind each frame: `b"\\n"`, `b"\\r\\n"`, `b"\\0"`.
    most: the longest frame in bytes, without the mark. A peer that sends more is cut off.
    """

    mark: bytes = b"\n"
    _: KW_ONLY
    most: int = 65535

    def __post_init__(self) -> None:
        if not isinstance(self.mark, bytes) or not 1 <= len(self.mark) <= 255:
            raise BadOption("mark", self.mark, 'give 1 to 255 bytes, such as b"\\n"')
        set_integer(self, "most", 1, _MOST_FRAME)


@dataclass(frozen=True, slots=True)
class Raw:
    """No frames: the bytes as they come. How the stream is divided means nothing.

    most: the most bytes of one message.
    """

    _: KW_ONLY
    most: int = 65536

    def __post_init__(self) -> None:
        set_integer(self, "most", 1, _MOST_FRAME)


Frame: TypeAlias = LengthPrefix | Delimiter | Raw | Callable[[], Framing]
"""The option `frame`: one of the kinds here, or a function or class that makes a `Framing` for each connection."""


def check_frame(frame: object) -> None:
    """Raises `BadOption` unless `frame` is a kind of frames, or makes a `Framing`."""
    if isinstance(frame, (LengthPrefix, Delimiter, Raw)):
        return
    advice = (
        "give meta.LengthPrefix(2), meta.Delimiter(b'\\n'), meta.Raw(), or a class with feed(data) and encode(data)"
    )
    if frame in (LengthPrefix, Delimiter, Raw) or not callable(frame):
        raise BadOption("frame", frame, advice)
    try:
        made = frame()
    except Exception as error:
        raise BadOption("frame", frame, f"it raised {safe_repr(error)} when it was called; {advice}") from error
    if not (callable(getattr(made, "feed", None)) and callable(getattr(made, "encode", None))):
        raise BadOption("frame", frame, f"it made a {type(made).__name__}; {advice}")
