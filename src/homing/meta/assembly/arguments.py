"""Checks of payloads, keys and times."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ...gen import BadOption, NotAllowed
from ...gen.foreign import is_a
from ...gen.options import check_number

MOST_KEY = 1024
"""Most bytes of an id, a stream or an address; a character of a text counts as 4. A longer one would hold memory like a
payload. Unix paths have 108 bytes at most, ids 16 as a rule."""

_MOST_TIME = 1e12
"""Seconds, thirty thousand years: a greater number is a time in nanoseconds."""

_MOST_BITS = 64
"""Bits of an integer in a key. Python's hash of integers is known and has 61 bits: among longer ones a sender could
choose thousands with one hash, which makes dictionaries slow."""

_PARTS = (bytes, bytearray, memoryview)


def is_payload(value: object) -> bool:
    """Returns True for bytes, a bytearray or a memoryview."""
    return is_a(value, _PARTS)


def check_payload(data: object) -> None:
    """Raises `BadOption` unless `data` is the payload of a datagram."""
    if not is_payload(data):
        raise BadOption("data", data, "give the payload of a datagram, as bytes")


def check_function(option: str, value: object) -> None:
    """Raises `BadOption` unless `value` is a function that is called without `await`."""
    if not callable(value) or inspect.iscoroutinefunction(value):
        raise BadOption(option, value, "give a plain function of (data, addr)")


def check_source(addr: object) -> None:
    """Raises `BadOption` unless `addr` is the address of a datagram's source."""
    if key_size(addr) < 0:
        raise BadOption("addr", addr, "give the source of the datagram, such as message.addr")


def check_now(now: float) -> float:
    """Returns the time. Raises `BadOption` unless `now` is a number of seconds."""
    if type(now) is float and -_MOST_TIME < now < _MOST_TIME:
        return now
    return check_number("now", now, -_MOST_TIME, _MOST_TIME, "seconds, such as those of time.monotonic()")


def key_size(value: Any, depth: int = 2) -> int:
    """Returns the bytes of a key, or a negative number if it may not be one: a key consists of bytes, text, integers,
    None, and tuples of these. Objects of other classes have methods of their own, which may raise or lie."""
    kind = type(value)
    if kind is bytes:
        size = len(value)
    elif kind is str:
        size = 4 * len(value)
    elif kind is int:
        size = 8 if value.bit_length() <= _MOST_BITS else -1
    elif kind is tuple and depth and len(value) <= MOST_KEY:
        sizes = [key_size(part, depth - 1) for part in value]
        size = -1 if any(each < 0 for each in sizes) else sum(sizes) + 8 * len(sizes)
    else:
        size = 0 if value is None else -1
    return size if size <= MOST_KEY else -1


class Alone:
    """Refuses a call while another one is in the tables of an object: a finalizer may run whenever one is made.

    recover: called if the call raises: an allocation that failed may have left the tables half changed.
    """

    __slots__ = ("_busy", "_name", "_recover")

    def __init__(self, name: str, recover: Callable[[], object]) -> None:
        self._name = name
        self._recover = recover
        self._busy = False

    def __enter__(self) -> None:
        if self._busy:
            raise NotAllowed(f"the {self._name} is in use: call it from one handler, not from a thread or a finalizer")
        self._busy = True

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            if kind is not None:
                self._recover()
        finally:
            self._busy = False
