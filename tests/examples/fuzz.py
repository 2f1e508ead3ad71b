"""Random datagrams for the parsers of the examples. As a program it has them led by what they reach:

python -m tests.examples.fuzz gelf CORPUS -max_total_time=60      # needs atheris, and its options
"""

from __future__ import annotations

import contextlib
import gzip
import io
import random
import runpy
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import homing
from homing import meta

EXAMPLES = Path(__file__).parents[2] / "examples"
ADDRESS = ("192.0.2.1", 9)
SEEDS = {
    "resolver": (b"\0\7\x81\x80\0\1\0\1\0\0\0\0\3one\7example\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1",),
    "gelf": (
        b'{"version":"1.1","host":"h","short_message":"text","level":3}',
        zlib.compress(b'{"version":"1.1","host":"h","short_message":"text"}'),
        b"\x1e\x0f12345678\0\2{}",
        b"\x1e\x0f12345678\0\1" + gzip.compress(b'{"host":"h","short_message":""}'),
    ),
}
"""Well-formed datagrams, for each example that takes datagrams apart."""


def load(name: str) -> SimpleNamespace:
    """What an example defines; it does not run."""
    with patch.object(homing, "run"), patch.object(sys, "argv", [name]):
        return SimpleNamespace(**runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name=f"examples.{name}"))


def parser(example: SimpleNamespace) -> Callable[[bytes], None]:
    """What an example does with the payload of a datagram, without a node and without a memory."""

    def resolver(payload: bytes) -> None:
        try:
            example.addresses(payload)
        except ValueError:
            pass  # which it says of what is malformed

    def gelf(payload: bytes) -> None:
        behavior = example.Collector.__new__(example.Collector)
        behavior.assembler, behavior.malformed = meta.Assembler(parse=meta.gelf_chunk, decompress="auto"), 0
        with contextlib.redirect_stdout(io.StringIO()):
            behavior.handle_message(None, meta.MessageUDP(None, ADDRESS, payload))

    return resolver if hasattr(example, "addresses") else gelf


def mutated(seed: bytes, chance: random.Random) -> bytes:
    """The seed, now and then many times over, with some octets changed, taken out or put in."""
    data = bytearray(seed * chance.choice((1, 1, 1, 2, 1000)))
    for _ in range(chance.randrange(8)):
        place = chance.randrange(len(data) + 1)
        data[place : place + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
    return bytes(data[:65507])


if __name__ == "__main__":
    import atheris

    example = load(sys.argv.pop(1))
    for behavior in vars(example).values():
        if isinstance(behavior, type) and behavior.__module__.startswith("examples."):
            for name, function in list(vars(behavior).items()):
                if callable(function):
                    setattr(behavior, name, atheris.instrument_func(function))
    atheris.Setup(sys.argv, parser(example))
    atheris.Fuzz()
