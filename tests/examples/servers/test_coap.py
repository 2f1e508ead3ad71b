"""The CoAP server is asked by libcoap's client and by aiocoap, and by hand where these do not reach."""

from __future__ import annotations

import asyncio
import re
import struct
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiocoap
import pytest
from aiocoap import ACK, CON, NON, RST, Code, Message
from aiocoap.numbers.optionnumbers import OptionNumber
from hypothesis import given
from hypothesis import strategies as st

import homing

from ...support import DEADLINE, UDPPeer
from .clients import ask, load, serve, start, terminate

LARGE = "".join(f"line {line:04}\n" for line in range(400))


def question(
    path: str, mid: int = 1, *, kind: int = CON, code: int = Code.GET, token: bytes = b"t", **more: Any
) -> bytes:
    message = Message(_mtype=kind, _mid=mid, code=code, _token=token, payload=more.pop("payload", b""), **more)
    message.opt.uri_path = tuple(path.split("/"))
    return bytes(message.encode())


async def changes(*command: str) -> bool:
    """True if a client that observes the time sees it change, in 2 s or, on a slow machine, in more."""
    for seconds in (2, 4, 8):
        output = await ask(*command[:-1], "-s", str(seconds), command[-1])
        if len(set(re.findall(r"\d\d:\d\d:\d\d", output))) >= 2:
            return True
    return False


async def asked(peer: UDPPeer, address: tuple[str, int], *data: Any, **more: Any) -> Message:
    return Message.decode(await peer.ask(question(*data, **more), address))


async def test_the_client_of_libcoap_reads_writes_in_blocks_and_observes(tmp_path: Path) -> None:
    (tmp_path / "body").write_text(LARGE[:3000])
    async with serve("coap") as running:
        address = f"coap://127.0.0.1:{await running.port()}"
        assert LARGE in await ask("coap-client-notls", f"{address}/large")
        assert "</time>;obs" in await ask("coap-client-notls", f"{address}/.well-known/core")
        assert "4." not in await ask("coap-client-notls", "-m", "put", "-f", "body", f"{address}/store", cwd=tmp_path)
        assert LARGE[:3000] in await ask("coap-client-notls", "-N", f"{address}/store")
        (tmp_path / "body").write_text(LARGE + "x" * 500)
        assert "4.08" in await ask("coap-client-notls", "-m", "put", "-f", "body", f"{address}/store", cwd=tmp_path)
        assert LARGE[:3000] in await ask("coap-client-notls", f"{address}/store")
        assert await changes("coap-client-notls", f"{address}/time")
        assert await terminate(running) == 0


async def test_the_client_of_libcoap_is_served_by_dtls_if_it_has_the_key() -> None:
    async with serve("coap") as running:
        plain, secure = [await running.port() for _ in range(2)]
        command = ("coap-client-openssl", "-u", "device", "-k")
        assert LARGE in await ask(*command, "secret", f"coaps://127.0.0.1:{secure}/large")
        assert "line" not in await ask(*command, "another", "-B", "1", f"coaps://127.0.0.1:{secure}/large", code=None)
        assert await changes(*command, "secret", f"coaps://127.0.0.1:{secure}/time")
        assert plain != secure
        assert await terminate(running) == 0


async def test_without_pre_shared_keys_it_starts_all_the_same_and_says_so(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homing.meta.dtls.psk.available", lambda: False)
    await node.spawn(load("coap").Server, 0)
    printed = capsys.readouterr().out
    assert printed.startswith("without DTLS: psk= needs bindings of cryptography")
    assert printed.count("listening on port") == 1
    address = ("127.0.0.1", int(printed.split("listening on port ")[1]))
    assert (await asked(peer, address, "time", 1)).code == Code.CONTENT


async def test_aiocoap_reads_writes_in_blocks_and_observes(
    node: homing.Node, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"coap://127.0.0.1:{await start(node, 'coap', capsys)}"
    context = await aiocoap.Context.create_client_context()
    try:
        async with asyncio.timeout(DEADLINE):
            large = await context.request(Message(code=Code.GET, uri=f"{address}/large")).response
            assert large.payload.decode() == LARGE
            observed = context.request(Message(code=Code.GET, uri=f"{address}/store", observe=0))
            assert (await observed.response).payload == b""
            put = Message(code=Code.PUT, uri=f"{address}/store", payload=LARGE[:2500].encode())
            assert (await context.request(put).response).code == Code.CHANGED
            async for notified in observed.observation:
                assert notified.payload.decode() == LARGE[:2500]
                break
    finally:
        await context.shutdown()


async def test_a_question_that_comes_again_is_answered_alike_and_nothing_is_done_twice(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "coap", capsys))
    first = question("store", 1, code=Code.PUT, payload=b"first")
    answer = await peer.ask(first, address)
    assert (await asked(peer, address, "store", 2, code=Code.PUT, payload=b"second")).code == Code.CHANGED
    assert await peer.ask(first, address) == answer
    assert (await asked(peer, address, "store", 3)).payload == b"second"
    assert (await asked(peer, address, "store", 1, token=b"new")).payload == b"second"  # the id is used again
    counts = await node.inspect("coap")
    assert (counts["requests"], counts["duplicates"]) == (4, 1)


async def test_confirmable_questions_are_confirmed_and_others_are_not(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "coap", capsys))
    confirmed, other = await asked(peer, address, "time", 7), await asked(peer, address, "time", 8, kind=NON)
    assert (confirmed.mtype, confirmed.mid, confirmed.token) == (ACK, 7, b"t")
    assert (other.mtype, other.token) == (NON, b"t")
    assert await peer.ask(b"\x40\0\0\x09", address) == b"\x70\0\0\x09"  # a ping


async def test_questions_that_cannot_be_answered_get_the_code_that_says_why(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "coap", capsys))
    cases = {
        Code.NOT_FOUND: {"path": "nothing"},
        Code.METHOD_NOT_ALLOWED: {"path": "large", "code": Code.PUT},
        Code.BAD_OPTION: {"path": "large", "if_none_match": True},
        Code.BAD_REQUEST: {"path": "large", "block2": (70, False, 2)},
        Code.REQUEST_ENTITY_INCOMPLETE: {"path": "store", "code": Code.PUT, "block1": (1, False, 2)},
        Code.PROXYING_NOT_SUPPORTED: {"path": "time", "proxy_uri": "coap://192.0.2.1/"},
    }
    for mid, (code, case) in enumerate(cases.items()):
        assert (await asked(peer, address, case.pop("path"), mid, **case)).code == code


@pytest.mark.parametrize("token", [b"", b"t", b"12345678"])
async def test_an_observer_that_has_sent_one_question_gets_the_changes_of_a_whole_block(
    token: bytes, node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "coap", capsys))
    with UDPPeer() as observer:
        await asked(peer, address, "store", 1, code=Code.PUT, payload=b"1" * 64)
        assert (await asked(observer, address, "store", 2, token=token, observe=0)).payload == b"1" * 64
        for number in range(2, 5):
            await asked(peer, address, "store", number, code=Code.PUT, payload=b"%d" % number * 64)
            changed = Message.decode((await observer.receive())[0])
            assert (changed.token, changed.payload) == (token, b"%d" % number * 64)
            observer.send(b"\x60\0" + changed.mid.to_bytes(2), address)


async def test_the_links_have_their_format_which_may_be_demanded(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "coap", capsys))
    links = await asked(peer, address, ".well-known/core", accept=40)
    assert (links.code, links.opt.content_format) == (Code.CONTENT, 40)
    assert (await asked(peer, address, "time", 3, accept=40)).code == Code.BAD_OPTION
    plain = await asked(peer, address, "time", 2, accept=0)
    assert (plain.code, plain.opt.content_format) == (Code.CONTENT, None)


def bare_endpoint() -> tuple[Any, list[bytes]]:
    """An endpoint without a node, and the datagrams that it sends."""
    module, sent = load("coap"), list[bytes]()
    endpoint = type("Bare", (module.Endpoint,), {"peer": SimpleNamespace(send=sent.append)})
    endpoint = endpoint.__new__(endpoint)
    endpoint.resources, endpoint.upload, endpoint.ids = {"time": b"", "store": b""}, b"", count()
    endpoint.answers, endpoint.observed = {}, {}
    return endpoint, sent


def observing() -> tuple[Any, list[bytes]]:
    """An endpoint with an observer that has just been notified of a change."""
    endpoint, sent = bare_endpoint()
    endpoint.outcome_untrusted(question("store", observe=0))
    endpoint.notify()
    assert len(sent) == 1  # the answer: nothing has changed
    endpoint.resources["store"] = b"new"
    endpoint.notify()
    assert [Message.decode(data).payload for data in sent] == [b"", b"new"]
    return endpoint, sent


def test_an_observer_that_confirms_nothing_is_asked_less_and_less_often_and_then_dropped() -> None:
    endpoint, sent = observing()
    times = []
    for second in range(2, 100):
        before = len(sent)
        endpoint.notify()
        times += [second] if len(sent) > before else []
    assert times == [2, 4, 8, 16]
    assert not endpoint.observed


@pytest.mark.parametrize(("kind", "more"), [(ACK, 1), (RST, 0)])
def test_an_observer_that_confirms_gets_the_next_change_and_one_that_resets_gets_none(kind: int, more: int) -> None:
    endpoint, sent = observing()
    endpoint.outcome_untrusted(struct.pack("!BBH", 0x40 | kind << 4, 0, Message.decode(sent[-1]).mid))
    endpoint.notify()
    endpoint.resources["store"] = b"newer"
    endpoint.notify()
    assert len(sent) == 2 + more


def test_a_peer_observes_no_more_and_has_no_more_answers_kept_than_it_may() -> None:
    endpoint, _ = bare_endpoint()
    for number in range(100):
        endpoint.outcome_untrusted(question("store", number, token=b"%d" % number, observe=0))
    assert (len(endpoint.observed), len(endpoint.answers)) == (8, 32)
    for block in range(100):
        data = question("store", block, code=Code.PUT, block1=(block, True, 6), payload=bytes(1024), token=b"")
        endpoint.outcome_untrusted(data)
        assert len(endpoint.upload) <= 4097


def test_unknown_numbers_from_the_network_are_not_kept() -> None:
    module, before = load("coap"), len(OptionNumber._value2member_map_)
    for number in range(4000, 5000):
        data = question("x") + struct.pack("!BH", 0xE0, number)
        assert [int(option.number) for option in module.parse_untrusted(data).opt.option_list()][1:] == [number + 280]
    assert len(OptionNumber._value2member_map_) == before


async def test_random_datagrams_are_counted_and_a_good_question_is_answered(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "coap", capsys))
    garbage = (
        b"",
        b"\x40",
        b"\x80\1\0\1",
        b"\x41\1\0\1",
        b"\x49\1\0\1" + bytes(9),
        b"\x40\0\0\1x",
        b"\x40\1\0\1\xf0",
        bytes(9),
    )
    for data in garbage:
        peer.send(data, address)
    assert (await asked(peer, address, "large")).payload == LARGE[:64].encode()
    counts = await node.inspect("coap")
    assert (counts["malformed"], counts["requests"]) == (len(garbage), 1)


@given(st.one_of(st.binary(max_size=60), st.binary(max_size=40).map(lambda rest: b"\x41\1\0\1t" + rest)))
def test_any_bytes_are_a_message_that_can_be_answered_or_a_value_error(data: bytes) -> None:
    endpoint, _ = bare_endpoint()
    try:
        message = load("coap").parse_untrusted(data)
    except ValueError:
        return
    assert len(endpoint.answer(message, CON, 1).encode()) < 150
