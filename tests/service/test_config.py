"""A service with a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import homing
from homing import gen

from ..support import UDPPeer, free_port


@dataclass
class Words:
    word: str = "default"


@pytest.mark.parametrize("how", [{}, {"workers": 2}, {"on_exception": "crash"}])
async def test_a_function_reads_values_and_its_server_has_options_by_the_name_of_the_function(
    how: dict[str, Any], peer: UDPPeer
) -> None:
    service = homing.Service("dns")

    @service.udp(host="127.0.0.1", **how)
    def answer(packet: Any) -> bytes:
        return service.config(Words, "words").word.encode()

    port = free_port()
    config = gen.Configuration(sections={"words": Words("hi")}, servers={"dns.answer": {"port": port}})
    async with service.started(options=gen.NodeOptions(config=config)):
        assert await peer.ask(b"x", ("127.0.0.1", port)) == b"hi"


async def test_a_function_on_a_thread_reads_values_too(peer: UDPPeer) -> None:
    service = homing.Service("dns")

    @service.udp(host="127.0.0.1", worker_options=gen.ProcessOptions(thread=True), workers=1)
    def answer(packet: Any) -> bytes:
        return service.config(Words).word.encode()

    async with service.started() as node:
        assert await peer.ask(b"x", node.address_of("dns.answer")) == b"default"


def test_values_are_refused_before_the_start() -> None:
    with pytest.raises(gen.NotAllowed, match="service 'dns' has not been started"):
        homing.Service("dns").config(Words)
