"""The options of a tap."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from math import log, log1p
from typing import Any

from ...gen import BadOption
from ...gen.foreign import is_a
from ...gen.options import set_integer, set_number

LEAST_FILE = 4096
"""Bytes. Less would not hold the head of a file and one packet."""

_MOST_FILE = 1 << 44
_MOST_FILES = 1000
_PLACEHOLDERS = ("{pid}", "{node}")


@dataclass(frozen=True, slots=True)
class Tap:
    """Records the datagrams of a UDP server or client in a file that Wireshark, tshark and tcpdump can read: those that
    come, those that are sent, and those that are dropped. `meta.Tap("x.pcapng")`.

    path: the file, in the format pcapng. `{pid}` in it is replaced by the number of the OS process, `{node}` by the
        node's name: needed if several programs record at a time. If the file exists and is a whole pcapng file, the
        recording is added to it as another section; any other file is left as it is, and the tap ends with an error.
    most: bytes of a file. When it is full, the tap ends, or continues in a new file: see `rotate`.
    sample: the part of the datagrams that is recorded, at random: 0.01 is one of a hundred. 1: all.
    rotate: how many full files are kept. When x.pcapng is full it is renamed x.1.pcapng, x.1.pcapng to x.2.pcapng and
        so on, and the oldest is deleted. 0: none is kept, and the tap ends when the file is full.
    snap: bytes of each payload that are recorded; the rest is cut off, and its length is recorded.
    queue: bytes that may wait to be written. While the disk is too slow for that, datagrams are not recorded, and
        counted (`tap_missed`); the server does not wait. 8 MiB: a second of 8,000 datagrams of 1 KB.

    Raises `BadOption`.
    """

    path: str
    _: KW_ONLY
    most: int = 1 << 30
    sample: float = 1.0
    rotate: int = 0
    snap: int = 65535
    queue: int = 8 << 20

    def __post_init__(self) -> None:
        path: Any = self.path
        if is_a(path, os.PathLike):
            path = os.fspath(path)
            object.__setattr__(self, "path", path)
        if type(path) is not str or not path or not _is_name(path):
            raise BadOption("path", self.path, "give the name of a file, such as 'x.pcapng'")
        set_integer(self, "most", LEAST_FILE, _MOST_FILE)
        set_number(self, "sample", 1e-9, 1.0, "a part of the datagrams, above 0 and at most 1")
        set_integer(self, "rotate", 0, _MOST_FILES)
        set_integer(self, "snap", 0, 65535)
        set_integer(self, "queue", 1 << 16, 1 << 32)

    def path_for(self, node: str) -> str:
        """Returns the path with its placeholders replaced."""
        pid, name = _PLACEHOLDERS
        return self.path.replace(pid, str(os.getpid())).replace(name, node.replace("/", "_"))


def _is_name(path: str) -> bool:
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


class Sampler:
    """Chooses a part of all datagrams, at random. Costs a number for each datagram that it chooses, not for each."""

    def __init__(self, part: float, uniform: Callable[[], float] = random.random) -> None:
        self._scale = None if part >= 1.0 else 1 / log1p(-part)
        self._uniform = uniform
        self._left = self._skipped()

    def _skipped(self) -> int:
        """Returns how many datagrams are passed over before the next one: geometrically distributed."""
        return 0 if self._scale is None else int(log(1.0 - self._uniform()) * self._scale)

    def takes(self) -> bool:
        """Returns True if the next datagram is chosen."""
        if self._left:
            self._left -= 1
            return False
        self._left = self._skipped()
        return True
