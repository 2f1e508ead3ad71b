"""The game is played by thousands of players, each at an address of its own, while iperf floods its port."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import homing
from homing import meta

from ...support import DEADLINE, UDPPeer
from .clients import ask, load, serve, start, terminate

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sends from all of 127.0.0.0/8")

_PKTINFO = 8
"""linux/in.h: IP_PKTINFO, which Python's socket module does not name."""


class Players:
    """Thousands of players on one socket, each at an address of its own in 127.0.0.0/8."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        self.socket.setsockopt(socket.IPPROTO_IP, _PKTINFO, 1)
        self.socket.bind(("", 0))
        self.socket.setblocking(False)
        self.server = ("127.0.0.1", port)

    def send(self, player: int, data: bytes) -> None:
        info = struct.pack("@iI4s", 0, socket.htonl(0x7F010000 + player), b"\0" * 4)
        self.socket.sendmsg([data], [(socket.IPPROTO_IP, _PKTINFO, info)], 0, self.server)

    def receive(self, answers: dict[int, bytes]) -> None:
        """Keeps the last answer to each player that has come."""
        with contextlib.suppress(BlockingIOError):
            while True:
                data, ancillary, _, _ = self.socket.recvmsg(65536, 64)
                _, _, address = struct.unpack_from("@iI4s", ancillary[0][2])
                answers[int.from_bytes(address) - 0x7F010000] = data

    async def ask(self, questions: dict[int, bytes]) -> dict[int, bytes]:
        """Sends each player's question until it is answered. Returns the answers."""
        answers: dict[int, bytes] = {}
        async with asyncio.timeout(3 * DEADLINE):
            while missing := [player for player in questions if player not in answers]:
                for start in range(0, len(missing), 50):
                    for player in missing[start : start + 50]:
                        self.send(player, questions[player])
                    await asyncio.sleep(0.002)
                    self.receive(answers)
                await asyncio.sleep(0.05)
                self.receive(answers)
        return answers


async def joined(players: Players, number: int) -> None:
    """Lets players join, return their tokens, and take places, fifty in each cell of the map."""
    tokens = await players.ask(dict.fromkeys(range(number), b"join".ljust(16)))
    assert len(set(tokens.values())) == number
    welcomes = await players.ask(tokens)
    assert set(welcomes.values()) == {b"welcome"}
    places = {player: b"%d %d" % (player % 100 * 10, player // 100 * 20) for player in range(number)}
    seen = await players.ask(places)
    assert all(b"," in others for others in seen.values())


async def test_the_game_serves_five_thousand_players_each_proven_and_seeing_others() -> None:
    number = 5000
    async with serve("game") as running:
        players = Players(await running.port())
        with players.socket:
            await joined(players, number)
            for player in range(number):
                players.send(player, b"leave")
        assert await terminate(running) == 0


async def test_players_see_each_other_while_iperf_floods_the_port(
    node: homing.Node, capsys: pytest.CaptureFixture[str]
) -> None:
    players = Players(await start(node, "game", capsys))
    with players.socket:
        await joined(players, 100)
        port = str(players.server[1])
        flood = asyncio.create_task(
            ask("iperf", "-u", "-c", "127.0.0.1", "-p", port, "-b", "10M", "-t", "1", code=None)
        )
        while not flood.done():
            await players.ask(dict.fromkeys(range(100), b"5 5"))
            await asyncio.sleep(0.1)
        await flood
    facts = await node.inspect("world")
    assert (facts["players"], facts.get("malformed")) == (100, None)
    assert facts["ticks"] > 1


async def test_only_one_who_returns_the_token_plays_and_what_is_no_position_is_counted(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "game", capsys))
    for stranger in (b"", b"join", b"5 5", b"\0" * 16):
        peer.send(stranger, address)
    token = await peer.ask(b"join".ljust(16), address)
    assert await peer.ask(b"5 5", address) == token
    assert await peer.ask(token, address) == b"welcome"
    for garbage in (b"", b"5", b"5 1000", b"-1 5", b"5 5 5", b"\xd9\xa3 5", b"x" * 1000):
        peer.send(garbage, address)
    assert await peer.ask(b" 5  7 ", address) == b"5,7"
    assert (await node.inspect("world"))["malformed"] == 7
    peer.send(b"leave", address)
    await eventually_left(node)


async def eventually_left(node: homing.Node) -> None:
    async with asyncio.timeout(DEADLINE):
        while (await node.inspect("world"))["players"]:
            await asyncio.sleep(0.01)


def test_of_the_positions_of_a_player_that_wait_only_the_newest_counts() -> None:
    latest = load("game").latest
    address: Any = ("192.0.2.1", 9)
    keys = [latest(meta.MessageUDP(None, address, data)) for data in (b"5 5", b"999 0", b"leave", b"join".ljust(16))]
    assert keys == [address, address, None, None]


@given(st.one_of(st.binary(max_size=20), st.text("0123456789- \n", max_size=12).map(str.encode)))
def test_any_bytes_are_a_position_on_the_map_or_a_value_error(data: bytes) -> None:
    try:
        x, y = load("game").parse_untrusted(data)
    except ValueError:
        return
    assert 0 <= x < 1000
    assert 0 <= y < 1000
