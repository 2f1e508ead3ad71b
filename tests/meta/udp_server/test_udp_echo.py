"""The shortest way through everything: a datagram in, a message, an answer, a datagram out."""

from __future__ import annotations

from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import UDPPeer

pytestmark = [pytest.mark.backends, pytest.mark.loops]


class Echo(act.Actor):
    async def init(self) -> None:
        self.server = meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1"))
        self.udp = await self.spawn_meta(self.server)

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        match message:
            case meta.MessageUDP(data=data):
                self.send(message.id, message.reply(b"OK: " + data))

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return self.server.local_address


async def test_a_datagram_is_answered_to_where_it_came_from(node: homing.Node, peer: UDPPeer) -> None:
    address = await node.call(await node.spawn(Echo), "address")
    assert await peer.ask(b"hello", address) == b"OK: hello"
