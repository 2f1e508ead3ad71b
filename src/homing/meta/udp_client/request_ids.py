"""The ids of requests, if the client draws them (`UDPClientOptions.id`): unpredictable, as RFC 5452 asks for."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from ...datagram.errors import RequestIdsTaken
from ...gen import BadOption
from ...gen.options import set_integer

_SIZES = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestId:
    """Where the id of a request, and of its reply, is in a datagram: the bytes from `at` to `at + size`.

    at: number of bytes before the id. In DNS 0.
    size: bytes of the id: 1, 2, 4 or 8. An id of 1 or 2 bytes can be guessed: see `UDPClientOptions.ports`.

    Raises `BadOption` for other values.
    """

    at: int = 0
    size: int = 2

    def __post_init__(self) -> None:
        set_integer(self, "size", 1, 8)
        if self.size not in _SIZES:
            raise BadOption("size", self.size, "give 1, 2, 4 or 8 bytes")
        set_integer(self, "at", 0, 65535 - self.size)


class Ids:
    """Draws, reads and writes the ids of one client. most: number of different ids."""

    __slots__ = ("_at", "_bits", "_end", "_place", "_size", "most")

    def __init__(self, place: RequestId) -> None:
        self._place = place
        self._at = place.at
        self._size = place.size
        self._end = place.at + place.size
        self._bits = 8 * place.size
        self.most = 1 << self._bits

    def read(self, data: bytes) -> bytes:
        """Returns the id in `data`. Raises `ValueError` if `data` is too short to have one."""
        if len(data) < self._end:
            raise ValueError(f"{len(data)} bytes have no id")
        return data[self._at : self._end]

    def of_request(self, data: bytes) -> bytes:
        """As `read`, for a request. Raises `BadOption`."""
        if len(data) < self._end:
            raise BadOption(
                "id", self._place, f"a request needs {self._end} bytes to have an id there; this one has {len(data)}"
            )
        return data[self._at : self._end]

    def write(self, data: bytes, id: bytes) -> bytes:
        """Returns a copy of `data` with this id."""
        return data[: self._at] + id + data[self._end :]

    def blank(self, data: bytes) -> bytes:
        """Returns a copy of `data` with zeros in the place of the id."""
        return self.write(data, bytes(self._size))

    def draw(self, peer: str, used: Callable[[bytes], bool], count: int, kept: Callable[[bytes], bool]) -> bytes:
        """Returns an id that nobody can predict.

        used: returns True for the ids of open requests, of which there are `count`. kept: returns True for ids that a
        late reply may still have: they are drawn only if there are no others. Raises `RequestIdsTaken` if all are used.
        """
        if count < self.most:
            # A random start and a random odd step visit all ids once, in an order that depends on both: that takes few
            # steps while many ids are free, and ends if none is.
            start, step = secrets.randbits(self._bits), secrets.randbits(self._bits) | 1
            for avoids_kept in (True, False):
                for number in range(self.most):
                    drawn = (start + number * step & self.most - 1).to_bytes(self._size, "big")
                    if not used(drawn) and not (avoids_kept and kept(drawn)):
                        return drawn
        raise RequestIdsTaken(peer, self.most)
