"""The SNMP trap receiver is fed by the clients of Net-SNMP, and by hand where these do not reach."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import homing
from homing import gen

from ...support import Probe, UDPPeer
from .clients import ask, load, serve, start, terminate

LINK_DOWN = "1.3.6.1.6.3.1.1.5.3"
INDEX = ("1.3.6.1.2.1.2.2.1.1.1", "i", "7")
PUBLIC = ("-v", "2c", "-c", "public")


def field(kind: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = bytes([len(content)]) if len(content) < 128 else b"\x82" + len(content).to_bytes(2)
    return bytes([kind]) + size + content


UPTIME = field(0x30, field(6, bytes.fromhex("2b06010201010300")), field(0x43, b"\x05"))
EVENT = field(0x30, field(6, bytes.fromhex("2b060106030101040100")), field(6, bytes.fromhex("2b0601060301010503")))


def notification(kind: int = 0xA6, number: int = 5, version: int = 1, *bindings: bytes) -> bytes:
    numbers = field(2, bytes([number])), field(2, b"\0"), field(2, b"\0")
    pdu = field(kind, *numbers, field(0x30, *(bindings or (UPTIME, EVENT))))
    return field(0x30, field(2, bytes([version])), field(4, b"public"), pdu)


async def test_traps_and_informs_of_net_snmp_are_received_and_informs_are_confirmed() -> None:
    async with serve("snmptrap") as running:
        server = f"127.0.0.1:{await running.port()}"
        await ask("snmptrap", *PUBLIC, server, "", LINK_DOWN, *INDEX)
        await ask("snmpinform", "-t", "5", *PUBLIC, server, "", LINK_DOWN, *INDEX)  # fails without a confirmation
        assert await terminate(running) == 0


@pytest.fixture
async def subscribed(node: homing.Node, capsys: pytest.CaptureFixture[str]) -> tuple[int, Probe]:
    """The port of a receiver, and a subscriber of its traps."""
    port, probe = await start(node, "snmptrap", capsys), await Probe.start(node)
    await probe.do(lambda actor: actor.link(gen.Event("traps", node.name)))
    return port, probe


async def test_notifications_of_each_version_are_published_in_the_same_form(
    subscribed: tuple[int, Probe], node: homing.Node
) -> None:
    port, probe = subscribed
    server = f"127.0.0.1:{port}"
    await ask("snmptrap", *PUBLIC, server, "42", LINK_DOWN, *INDEX)
    await ask("snmptrap", "-v", "1", "-c", "public", server, "1.3.6.1.4.1.8072", "192.0.2.1", "2", "0", "42", *INDEX)
    await ask("snmptrap", "-v", "1", "-c", "public", server, "1.3.6.1.4.1.8072", "192.0.2.1", "6", "17", "42", *INDEX)
    await ask("snmpinform", "-t", "5", *PUBLIC, server, "42", LINK_DOWN, "1.3.6.1.2.1.1.5.0", "s", "a name")
    events = [(await probe.get()).message for _ in range(4)]
    assert [event[1] for event in events] == [LINK_DOWN, LINK_DOWN, "1.3.6.1.4.1.8072.0.17", LINK_DOWN]
    assert [event[2].get(INDEX[0]) for event in events] == ["7", "7", "7", None]
    assert events[3][2]["1.3.6.1.2.1.1.5.0"] == "a name"
    assert await node.inspect("snmptrap") == {"traps": 3, "informs": 1}


async def test_another_community_gets_no_answer_and_is_counted(
    subscribed: tuple[int, Probe], node: homing.Node
) -> None:
    command = ("-r", "0", "-t", "0.2", "-v", "2c", "-c", "private", f"127.0.0.1:{subscribed[0]}", "", LINK_DOWN)
    assert "Timeout" in await ask("snmpinform", *command, code=1)
    assert await node.inspect("snmptrap") == {"wrong_community": 1}


async def test_an_inform_that_comes_again_is_confirmed_again_but_published_once(
    subscribed: tuple[int, Probe], node: homing.Node, peer: UDPPeer
) -> None:
    port, probe = subscribed
    answer = await peer.ask(notification(), ("127.0.0.1", port))
    assert answer == notification(0xA2)
    assert await peer.ask(notification(), ("127.0.0.1", port)) == answer
    assert await peer.ask(notification(number=6), ("127.0.0.1", port)) == notification(0xA2, number=6)
    assert len([await probe.get() for _ in range(2)]) == 2
    assert await node.inspect("snmptrap") == {"informs": 2, "duplicates": 1}


async def test_random_datagrams_are_counted_and_a_good_inform_is_confirmed(
    subscribed: tuple[int, Probe], node: homing.Node, peer: UDPPeer
) -> None:
    huge = field(0x30, field(6, b"\x2b"), field(2, b"\x7f" * 4096))  # a number of 9,864 digits
    garbage = [
        b"",
        bytes(50),
        notification()[:-1],
        notification(version=0),
        notification(version=3),
        notification(0xA0),  # a question
        notification(0xA2),
        notification(0xA7, 5, 1, UPTIME),  # of no event
        b"\x24\x80" * 4000,
        notification(0xA7, 5, 1, EVENT, huge),
        notification().ljust(60_000, b"\0")[::-1],
    ]
    for data in garbage:
        peer.send(data, ("127.0.0.1", subscribed[0]))
    assert await peer.ask(notification(), ("127.0.0.1", subscribed[0])) == notification(0xA2)
    assert await node.inspect("snmptrap") == {"malformed": len(garbage), "informs": 1}


def changed(places: list[tuple[int, int]]) -> bytes:
    data = bytearray(notification())
    for place, value in places:
        data[place % len(data)] = value
    return bytes(data)


CHANGES = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 255)), max_size=4).map(changed)


@given(st.one_of(st.binary(max_size=80), CHANGES))
def test_any_bytes_are_a_notification_or_a_value_error(data: bytes) -> None:
    try:
        community, oid, values, answer = load("snmptrap").parse_untrusted(data)
    except ValueError:
        return
    assert oid.replace(".", "").isdecimal() or oid in values.values()
    assert len(answer) <= 2 * len(data)
    kinds: tuple[Any, ...] = (bytes, str, dict)
    assert all(isinstance(*pair) for pair in zip((community, oid, values), kinds, strict=True))
