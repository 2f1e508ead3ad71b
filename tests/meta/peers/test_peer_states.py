"""The process of a peer keeps its state over a crash, as any process does, with or without the waiting datagrams."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import UDPPeer, eventually

pytestmark = pytest.mark.backends


class Counting(act.Actor):
    """Answers with the number of datagrams so far. load: how its state is loaded."""

    load = "now"

    def init(self) -> None:
        self.count = 0

    def handle_message(self, sender: Any, message: meta.MessageUDP) -> None:
        if message.data == b"crash":
            raise RuntimeError("on request")
        self.count += 1
        self.reply(message, b"%d" % self.count)

    def dump_state(self) -> int:
        return self.count

    def load_state(self, state: int) -> Any:
        self.count = state
        if self.load == "later":
            return self.later()
        if self.load == "raises":
            raise ValueError("not mine")
        return None

    async def later(self) -> None:
        await asyncio.sleep(0.01)


class Owner(act.Actor):
    async def init(self, worker: type[Counting], preserve: bool) -> None:
        options = gen.ProcessOptions(state=gen.StateOptions(), preserve_mailbox=preserve)
        peers = meta.PeerOptions(worker=worker, worker_options=options)
        self.server = await meta.listen_udp(self, host="127.0.0.1", port=0, peers=peers)

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return self.server.local_address


@pytest.mark.parametrize("preserve", [False, True])
@pytest.mark.parametrize(("load", "expected"), [("now", 3), ("later", 3), ("raises", 1)])
async def test_a_peer_that_crashes_goes_on_where_it_was(
    node: homing.Node, peer: UDPPeer, load: str, expected: int, preserve: bool
) -> None:
    worker = type("Worker", (Counting,), {"load": load})
    address = await node.call(await node.spawn(Owner, worker, preserve), None)
    assert await peer.ask(b"1", address) == b"1"
    assert await peer.ask(b"2", address) == b"2"
    peer.send(b"crash", address)
    await eventually(lambda: node.info().crashes == 1)
    await eventually(lambda: any(told(node, pid) for pid in node.processes()), "a successor")
    assert await peer.ask(b"3", address) == b"%d" % expected


def told(node: homing.Node, pid: gen.PID) -> bool:
    """This is a successor that has loaded a state, or has refused it."""
    info = node.process_info(pid)
    return info.kept is not None and info.kept.loads + info.kept.discarded > 0 and info.state is gen.ProcessState.SLEEP
