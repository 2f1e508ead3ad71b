"""The load generator: load.c where it can be compiled, else load_python.py, which does what it can of the same."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from . import child, native
from .suite import Sample

SIZE = 64
"""Bytes of a datagram, where nothing else is said."""


@dataclass(frozen=True, kw_only=True)
class Flood:
    """A flood's packets.

    size: bytes of each.
    segmented: the kernel gets many at a time and cuts them apart (UDP_SEGMENT), which makes the sender fast; a receiver
        that asks for it (UDP_GRO) gets them uncut.
    sources: 0: all from one connected socket; else from so many addresses in turn.
    """

    size: int = SIZE
    segmented: bool = True
    sources: int = 0


def kind() -> str:
    """What makes the load, in words."""
    return "C, sendmmsg" if native.program("load") else "Python, send"


def flood(port: int, seconds: float, shape: Flood, in_c: bool = True) -> Sample:
    """Sends as fast as it can. Gives `sent`, and `segments`: the datagrams that the kernel got at a time."""
    return _run(in_c, "flood", port, seconds, shape.size, int(shape.segmented), shape.sources)


def echo(port: int, seconds: float, outstanding: int, in_c: bool = True) -> Sample:
    """Keeps `outstanding` requests under way. Gives `sent`, `answered` (rightly), `wrong`, `late`, and the percentiles
    `p50`, `p99` and `p99.9` of the round trip in microseconds."""
    return _run(in_c, "echo", port, seconds, SIZE, outstanding)


def open_loop(port: int, seconds: float, rate: int, in_c: bool = True) -> Sample:
    """Makes `rate` requests a second on schedule, whatever becomes of them. As `echo`, but round trips begin when the
    request was to leave; `behind` is the share of those that left more than 0.1 ms later than that."""
    return _run(in_c, "open", port, seconds, SIZE, rate)


def _run(in_c: bool, *args: object) -> Sample:
    program = native.program("load") if in_c else None
    command = [program] if program else [sys.executable, "-m", "bench.load_python"]
    sample: Sample = json.loads(child.output([*command, *map(str, args)], core=1))
    return sample
