"""The game is played by thousands of players, each at an address of its own, while iperf floods its port."""

from __future__ import annotations

import asyncio
import contextlib
import re
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


SEVERAL = r"(\d+,\d+ )+\d+,\d+"
"""Of a datagram with the positions of several players."""


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

    def receive(self, answers: dict[int, bytes], form: str) -> None:
        """Keeps the answers of this form, a regular expression. A repeated question may have an older one."""
        with contextlib.suppress(BlockingIOError):
            while True:
                data, ancillary, _, _ = self.socket.recvmsg(65536, 64)
                _, _, address = struct.unpack_from("@iI4s", ancillary[0][2])
                if re.fullmatch(form.encode(), data):
                    answers[int.from_bytes(address) - 0x7F010000] = data

    async def ask(self, questions: dict[int, bytes], form: str) -> dict[int, bytes]:
        """Sends each player's question until it has an answer of this form. Returns the answers."""
        answers: dict[int, bytes] = {}
        async with asyncio.timeout(3 * DEADLINE):
            while missing := [player for player in questions if player not in answers]:
                for start in range(0, len(missing), 50):
                    for player in missing[start : start + 50]:
                        self.send(player, questions[player])
                    await asyncio.sleep(0.002)
                    self.receive(answers, form)
                await asyncio.sleep(0.05)
                self.receive(answers, form)
        return answers


async def join(players: Players, number: int) -> None:
    """Lets players join, and return their tokens."""
    tokens = await players.ask(dict.fromkeys(range(number), b"join".ljust(16)), "[0-9a-f]{16}")
    assert len(set(tokens.values())) == number
    await players.ask(tokens, "welcome")


async def test_the_game_serves_five_thousand_players_each_proven_and_seeing_others() -> None:
    number, row = 5000, 500
    async with serve("game") as running:
        players = Players(await running.port())
        with players.socket:
            await join(players, number)
            for start in range(0, number, row):  # the players of ten cells: their socket has not room for all snapshots
                some = range(start, start + row)
                await players.ask({player: b"%d %d" % (player % 100 * 10, start // 5) for player in some}, SEVERAL)
                for player in some:
                    players.send(player, b"leave")
        assert await terminate(running) == 0


async def test_players_see_each_other_while_iperf_floods_the_port(
    node: homing.Node, capsys: pytest.CaptureFixture[str]
) -> None:
    players = Players(await start(node, "game", capsys))
    with players.socket:
        await join(players, 100)
        port = str(players.server[1])
        flood = asyncio.create_task(
            ask("iperf", "-u", "-c", "127.0.0.1", "-p", port, "-b", "10M", "-t", "1", code=None)
        )
        while not flood.done():
            await players.ask(dict.fromkeys(range(100), b"5 5"), SEVERAL)
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
    assert await peer.ask(token, address) == b"welcome"  # the first one may be lost
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
