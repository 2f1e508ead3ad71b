"""The STUN server is asked by the clients of coturn and of RFC 3489, and by hand where these do not reach."""

from __future__ import annotations

import re
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import homing

from ...support import UDPPeer
from .clients import ask, load, serve, start, terminate

COOKIE = 0x2112A442
TRANSACTION = bytes(range(12))
ADDRESS = ("127.0.0.1", 4660)


def message(*attributes: tuple[int, bytes], kind: int = 1, cookie: int = COOKIE) -> bytes:
    body = b"".join(struct.pack("!HH", name, len(value)) + value + bytes(-len(value) % 4) for name, value in attributes)
    return struct.pack("!HHI12s", kind, len(body), cookie, TRANSACTION) + body


def attributes_of(data: bytes) -> dict[int, bytes]:
    found, place = {}, 20
    while place < len(data):
        name, size = struct.unpack_from("!HH", data, place)
        found[name] = data[place + 4 : place + 4 + size]
        place += 4 + size + -size % 4
    assert place == len(data) == 20 + struct.unpack_from("!H", data, 2)[0]
    return found


async def test_the_client_of_coturn_learns_its_address() -> None:
    async with serve("stun") as running:
        port = str(await running.port())
        output = await ask("turnutils_stunclient", "-p", port, "127.0.0.1")
        assert re.search(r"UDP reflexive addr: 127\.0\.0\.1:\d+", output), output
        assert await terminate(running) == 0


async def test_the_client_of_rfc_3489_which_knows_no_cookie_is_satisfied() -> None:
    async with serve("stun") as running:
        output = await ask("stun", f"127.0.0.1:{await running.port()}", "1", "-v", code=None)
        assert re.search(r"MappedAddress = 127\.0\.0\.1:\d+", output), output
        assert "problem" not in output


async def test_random_datagrams_are_echoed_or_counted_and_a_good_question_is_answered(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "stun", capsys))
    for garbage in (b"", b"\0\1", message()[:19], message((0x8028, b"1234")), message(kind=0x101), b"\0\1" * 700):
        peer.send(garbage, address)
    assert await peer.ask(b"hello", address) == b"hello"
    answer = await peer.ask(message(), address)
    assert (answer[:2], answer[4:20]) == (b"\1\1", message()[4:20])
    counts = {"answered": 1, "unknown_attributes": 0, "echoed": 1, "malformed": 4}
    assert await node.inspect("stun") == counts


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", 1), ("::1", 2)])
def test_the_address_is_told_in_disguise_and_the_answer_has_a_fingerprint(host: str, family: int) -> None:
    module = load("stun")
    data = module.answer(module.parse_untrusted(message()), host, 4660)
    found = attributes_of(data)
    assert list(found) == [0x20, 0x8022, 0x8028]
    assert found[0x20][:4] == struct.pack("!HH", family, 4660 ^ 0x2112)
    assert found[0x8028] == struct.pack("!I", zlib.crc32(data[:-8]) ^ 0x5354554E)
    mask = struct.pack("!I", COOKIE) + TRANSACTION
    plain = bytes(left ^ right for left, right in zip(found[0x20][4:], mask, strict=False))
    assert plain == (b"\x7f\0\0\1" if family == 1 else bytes(15) + b"\1")


def test_attributes_that_must_be_understood_and_are_not_are_named() -> None:
    module = load("stun")
    request = module.parse_untrusted(message((0x7FF0, b"abc"), (0x8FFF, b""), (0x3, b"\0\0\0\4")))
    data = module.answer(request, *ADDRESS)
    found = attributes_of(data)
    assert data[:2] == b"\1\x11"
    assert found[0x9] == b"\0\0\x04\x14Unknown Attribute"
    assert found[0xA] == b"\x7f\xf0\0\3"


@given(st.one_of(st.binary(max_size=60), st.binary(max_size=40).map(lambda body: message()[:8] + body)))
def test_any_bytes_are_a_request_no_stun_or_a_value_error(data: bytes) -> None:
    module = load("stun")
    try:
        request = module.parse_untrusted(data)
    except ValueError:
        return
    assert request is None or len(module.answer(request, *ADDRESS)) <= len(data) + 80
