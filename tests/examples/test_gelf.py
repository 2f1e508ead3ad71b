"""The GELF collector reads what pygelf, a client that others wrote, sends it by a real socket."""

from __future__ import annotations

import gzip
import logging
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from ..support import UDPPeer
from .test_examples import program

pygelf = pytest.importorskip("pygelf", reason="pygelf is not installed (pip install pygelf)")


@contextmanager
def logger(port: int, **options: Any) -> Iterator[logging.Logger]:
    """A logger that sends its records as GELF."""
    handler = pygelf.GelfUdpHandler("127.0.0.1", port, **options)
    found = logging.Logger("gelf")
    found.addHandler(handler)
    yield found
    handler.close()


@pytest.mark.parametrize("compress", [True, False])
async def test_gelf_prints_each_message_of_pygelf_short_or_in_many_chunks(compress: bool) -> None:
    chance = random.Random(4)
    async with program("examples/gelf.py", "0") as running:
        with logger(await running.port(), compress=compress, chunk_size=200) as sender:
            for length in (5, 150, 190, 5000, 9000):
                text = chance.randbytes(length // 2).hex()  # compressed, half of it is left
                sender.error("%s", text)
                line = await running.line_with(text[:20])
                assert line.split() == ["err", repr(socket.gethostname()), repr(text)]
        running.process.terminate()
        counts = await running.line_with("counts:")
        assert "'completed': 0" not in counts
        assert "'expired': 0" in counts
        assert "'not_gelf': 0" in counts
        assert await running.end() == 0


async def test_chunks_of_several_clients_at_once_do_not_mix() -> None:
    async with program("examples/gelf.py", "0") as running:
        port = await running.port()
        texts = [f"{number}" * 2000 for number in range(5)]
        with ExitStack() as stack:
            for text in texts:
                stack.enter_context(logger(port, compress=False, chunk_size=100)).warning("%s", text)
            lines = [await running.line_with("warning") for _ in texts]
        assert sorted(line.split()[2] for line in lines) == [repr(text) for text in texts]


async def test_gelf_answers_its_docstring_and_counts_what_is_not_gelf(peer: UDPPeer) -> None:
    async with program("examples/gelf.py", "0") as running:
        address = ("127.0.0.1", await running.port())
        peer.send(b'{"level":-1,"host":"h","short_message":"m"}', address)
        peer.send(b"no json", address)
        message = b'{"version":"1.1","host":"here","short_message":"disk is full","level":3}'
        peer.send(gzip.compress(message), address)
        assert (await running.line_with("disk")).split(maxsplit=2) == ["err", "'here'", "'disk is full'\n"]
        running.process.terminate()
        assert "'not_gelf': 2" in await running.line_with("counts:")
