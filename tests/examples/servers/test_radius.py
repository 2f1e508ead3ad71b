"""The RADIUS server is asked by FreeRADIUS's clients, and by hand where these do not reach."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrad.dictionary import Dictionary  # type: ignore[import-untyped]
from pyrad.packet import AccessAccept, AuthPacket, StatusServer  # type: ignore[import-untyped]

import homing

from ...support import UDPPeer
from .clients import ask, load, serve, start, terminate

SECRET = b"testing123"


def request(
    user: bytes = b"alice", password: bytes = b"wonderland", *, secret: bytes = SECRET, sign: bool = True
) -> bytes:
    packet = AuthPacket(id=7, secret=secret, dict=Dictionary(io.StringIO("ATTRIBUTE CHAP-Challenge 60 octets")))
    packet[1], packet[2] = [user], [packet.PwCrypt(password)]
    packet.message_authenticator = sign
    return bytes(packet.RequestPacket())


def radtest(port: int, *options: str, password: str = "wonderland") -> tuple[str, ...]:
    return ("radtest", *options, "alice", password, f"127.0.0.1:{port}", "0", "testing123")


@pytest.mark.parametrize("method", ["pap", "chap"])
async def test_radtest_is_accepted_with_the_right_password_and_rejected_with_another(method: str) -> None:
    async with serve("radius") as running:
        port = await running.port()
        assert "Received Access-Accept" in await ask(*radtest(port, "-t", method))
        rejected = await ask(*radtest(port, "-t", method, password="Wonderland"), code=None)
        assert "Received Access-Reject" in rejected
        assert "wrong user or password" in rejected
        assert await terminate(running) == 0


async def test_radclient_gets_no_answer_with_another_secret_or_without_a_signature_and_both_are_counted(
    node: homing.Node, capsys: pytest.CaptureFixture[str]
) -> None:
    server = f"127.0.0.1:{await start(node, 'radius', capsys)}"
    command = ("radclient", "-r", "1", "-t", "0.2", server)
    signed = b"User-Name=alice,User-Password=wonderland,Message-Authenticator=0x00"
    assert "Received" not in await ask(*command, "auth", "testing124", data=signed, code=1)
    assert "Received" not in await ask(*command, "auth", "testing123", data=signed.rpartition(b",")[0], code=1)
    assert "Received Access-Accept" in await ask(
        "radclient", server, "status", "testing123", data=b"Message-Authenticator=0x00"
    )
    assert await node.inspect("radius") == {"wrong_signature": 1, "unsigned": 1, "accepted": 1}


async def test_a_request_that_comes_again_gets_the_same_answer_and_is_not_checked_again(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "radius", capsys))
    good, other = request(), request(password=b"x")
    first = await peer.ask(good, address)
    assert await peer.ask(other, address) != first  # the same id, but another authenticator
    assert await peer.ask(good, address) == first
    assert await node.inspect("radius") == {"accepted": 1, "rejected": 1, "duplicates": 1}


async def test_answers_are_signed_in_their_first_attribute_and_repeat_the_states_of_proxies(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "radius", capsys))
    packet = AuthPacket(StatusServer, 7, SECRET, dict=None)
    packet[33], packet.message_authenticator = [b"one", b"two"], True
    packet.RequestPacket()
    data = await peer.ask(packet.RequestPacket(), address)
    reply = packet.CreateReply(packet=data)
    assert (reply.code, data[20], reply[33]) == (AccessAccept, 80, [b"one", b"two"])
    assert packet.VerifyReply(reply, data, enforce_ma=True)


@pytest.mark.parametrize(
    ("user", "password"),
    [(b"alice", b""), (b"nobody", b""), (b"", b""), (b"alice", b"wonder\xffland"), (b"alice", b"wonderland" * 12)],
)
def test_no_other_user_or_password_is_accepted(user: bytes, password: bytes) -> None:
    module = load("radius")
    packet = module.parse_untrusted(request(user, password))
    packet.secret = SECRET
    assert module.answer(packet)[0] == "rejected"


async def test_random_datagrams_are_counted_and_a_good_request_is_answered(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address, good = ("127.0.0.1", await start(node, "radius", capsys)), request()
    twice = good[:2] + struct.pack("!H", len(good) + 18) + good[4:] + b"\x50\x12" + bytes(16)
    for garbage in (b"", good[:19], good[:-1], b"\x04" + good[1:], twice, bytes(20), good.ljust(5000, b"\0")):
        peer.send(garbage, address)
    assert (await peer.ask(good, address))[0] == AccessAccept
    assert await node.inspect("radius") == {"malformed": 7, "accepted": 1}


async def test_no_more_answers_are_kept_than_may_be(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load("radius"), "MOST_ANSWERS", 2)
    address = ("127.0.0.1", await start(node, "radius", capsys))
    first, *others = (request() for _ in range(3))
    for data in (first, *others, others[0], first):
        assert (await peer.ask(data, address))[0] == AccessAccept
    assert await node.inspect("radius") == {"accepted": 4, "duplicates": 1}


def packet_of(attributes: bytes) -> bytes:
    return struct.pack("!BBH16s", 1, 1, 20 + len(attributes), bytes(16)) + attributes


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=60).map(packet_of)))
def test_any_bytes_are_a_request_that_can_be_answered_or_a_value_error(data: bytes) -> None:
    module = load("radius")
    try:
        packet = module.parse_untrusted(data)
    except ValueError:
        return
    packet.secret = SECRET
    if packet.message_authenticator:
        packet.verify_message_authenticator()
    assert module.answer(packet)[0] in ("accepted", "rejected")
