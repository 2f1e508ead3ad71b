"""The SIP server is asked by sipsak and SIPp, and by hand where these do not reach."""

from __future__ import annotations

import asyncio
import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import homing

from ...support import DEADLINE, UDPPeer, free_port
from .clients import ask, load, serve, start, terminate

CALLS = 50
COMMON = """Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
From: <sip:[call_number]@example.org>;tag=[call_number]
To: <sip:[call_number]@example.org>[peer_tag_param]
Call-ID: [call_id]
Max-Forwards: 70"""
SCENARIO = f"""<?xml version="1.0" encoding="UTF-8" ?>
<scenario name="registers, is redirected, and removes its contact">
<send retrans="500"><![CDATA[

REGISTER sip:example.org SIP/2.0
{COMMON}
CSeq: 1 REGISTER
Contact: <sip:[call_number]@192.0.2.1:6000;transport=udp>;expires=60
Content-Length: 0

]]></send>
<recv response="200"/>
<send retrans="500"><![CDATA[

INVITE sip:[call_number]@example.org SIP/2.0
{COMMON}
CSeq: 2 INVITE
Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP4 192.0.2.2
s=-

]]></send>
<recv response="302"><action><ereg regexp="sip:[0-9]+@192.0.2.1:6000;transport=udp" search_in="hdr"
  header="Contact:" check_it="true" assign_to="1"/></action></recv>
<Reference variables="1"/>
<send><![CDATA[

ACK sip:[call_number]@example.org SIP/2.0
{COMMON}
CSeq: 2 ACK
Content-Length: 0

]]></send>
<send retrans="500"><![CDATA[

REGISTER sip:example.org SIP/2.0
{COMMON}
CSeq: 3 REGISTER
Contact: *
Expires: 0
Content-Length: 0

]]></send>
<recv response="200"/>
<send retrans="500"><![CDATA[

INVITE sip:[call_number]@example.org SIP/2.0
{COMMON}
CSeq: 4 INVITE
Content-Length: 0

]]></send>
<recv response="480"/>
<send><![CDATA[

ACK sip:[call_number]@example.org SIP/2.0
{COMMON}
CSeq: 4 ACK
Content-Length: 0

]]></send>
</scenario>
"""


OPTIONS = f"""<?xml version="1.0" encoding="UTF-8" ?>
<scenario name="asks what the server can do">
<send retrans="500"><![CDATA[

OPTIONS sip:[remote_ip]:[remote_port] SIP/2.0
{COMMON}
CSeq: 1 OPTIONS
Content-Length: 0

]]></send>
<recv response="200"><action><ereg regexp="INVITE.*REGISTER" search_in="hdr"
  header="Allow:" check_it="true" assign_to="1"/></action></recv>
<Reference variables="1"/>
</scenario>
"""


def request(method: str, uri: str = "sip:alice@example.org", *more: str, cseq: int = 1, via: str = "one") -> bytes:
    headers = [
        f"Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK{via};rport",
        "From: <sip:bob@example.org>;tag=b",
        "To: <sip:alice@example.org>",
        f"Call-ID: {via}@192.0.2.9",
        f"CSeq: {cseq} {method}",
    ]
    return "\r\n".join([f"{method} {uri} SIP/2.0", *headers, *more, "\r\n"]).encode()


def status(data: bytes) -> str:
    assert data.startswith(b"SIP/2.0 ")
    return data[8:11].decode()


async def test_sipsak_registers_a_user_and_asks_whether_the_server_lives() -> None:
    async with serve("sip") as running:
        port = await running.port()
        registered = await ask(
            "sipsak", "-i", "-U", "-C", "sip:a@127.0.0.1:6000", "-s", f"sip:a@127.0.0.1:{port}", "-v"
        )
        assert "All usrloc tests completed successful" in registered
        assert "SIP/2.0 200 OK" in await ask("sipsak", "-vv", "-s", f"sip:127.0.0.1:{port}")
        assert await terminate(running) == 0


@pytest.mark.parametrize("transport", ["u1", "t1"])
async def test_sipp_registers_is_redirected_and_finds_nobody_when_it_has_removed_its_contact(
    transport: str, tmp_path: Path, node: homing.Node, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scenario.xml").write_text(SCENARIO)
    server = f"127.0.0.1:{await start(node, 'sip', capsys)}"
    limits = ("-m", str(CALLS), "-r", "200", "-timeout", "40", "-timeout_error", "-nostdin")
    command = ("sipp", server, "-i", "127.0.0.1", "-p", str(free_port()), "-t", transport, "-sf", "scenario.xml")
    await ask(*command, *limits, cwd=tmp_path)
    counts = await node.inspect("sip")
    assert (counts["requests"], counts.get("malformed")) == (4 * CALLS, None)


@pytest.mark.parametrize("transport", ["u1", "t1"])
@pytest.mark.parametrize("scenario", [("-sn", "uac", "-d", "10"), ("-sf", "options.xml")])
async def test_sipp_calls_the_user_who_answers_and_asks_for_options(
    scenario: tuple[str, ...], transport: str, tmp_path: Path, node: homing.Node, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the scenario that is built into SIPp: INVITE, 200, ACK, BYE, 200."""
    (tmp_path / "options.xml").write_text(OPTIONS)
    server = f"127.0.0.1:{await start(node, 'sip', capsys)}"
    limits = ("-m", str(CALLS), "-r", "200", "-timeout", "40", "-timeout_error", "-nostdin")
    await ask(
        *("sipp", server, "-i", "127.0.0.1", "-p", str(free_port()), "-t", transport), *scenario, *limits, cwd=tmp_path
    )
    counts = await node.inspect("sip")
    assert (counts["requests"], counts.get("malformed")) == (CALLS * (2 if "uac" in scenario else 1), None)


async def test_a_call_that_is_answered_has_the_callers_own_media_and_ends_once(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "sip", capsys))
    media, uri = b"v=0\r\ns=\xc3\xbc\r\nc=IN IP4 192.0.2.9\r\nm=audio 4000 RTP/AVP 0\r\n", "sip:service@example.org"
    length = f"l: {len(media)}"
    answer = await peer.ask(request("INVITE", uri, "c: application/sdp", length) + media, address)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert (status(answer), body) == ("200", media)
    assert f"Contact: <{uri}>\r\nContent-Type: application/sdp\r\nContent-Length: {len(media)}" in head.decode()
    tag = re.findall(rb"To: [^\r]*(;tag=\w+)", head)[0]
    strange = await peer.ask(request("BYE", uri, cseq=2), address)
    bye = request("BYE", uri, cseq=3).replace(b"To: <sip:alice@example.org>", b"To: <sip:alice@example.org>" + tag)
    assert [status(strange), status(await peer.ask(bye, address))] == ["481", "200"]
    assert status(await peer.ask(request("INVITE", uri, via="two"), address)) == "404"  # it offers no media


async def test_requests_in_a_stream_are_told_apart_wherever_it_is_divided(
    node: homing.Node, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", await start(node, "sip", capsys))
    invite = request("INVITE", "sip:alice@example.org", "l: 9", via="two") + b"\r\n\r\nv=0\r\n"
    stream = request("OPTIONS") + b"\r\n\r\n" + invite + request("OPTIONS", via="three")
    async with asyncio.timeout(DEADLINE):
        for place in range(0, len(stream), 7):
            writer.write(stream[place : place + 7])
            await writer.drain()
        answers = [await reader.readuntil(b"\r\n\r\n") for _ in range(3)]
        assert [status(answer) for answer in answers] == ["200", "404", "200"]
        writer.write(request("OPTIONS")[:-2] + b"Content-Length: 99999\r\n\r\n" + bytes(9000))
        assert await reader.read() == b""
    writer.close()


@given(st.lists(st.integers(0, 900)))
def test_a_stream_gives_the_same_frames_wherever_it_is_divided(places: list[int]) -> None:
    requests = [request("OPTIONS"), request("INVITE", "sip:a@b", "Content-Length: 4") + b"\r\n\r\n", request("ACK")]
    stream, frames, found = b"\r\n\r\n".join(requests), load("sip").Frames(), []
    bounds = [0, *sorted(place for place in places if place < len(stream)), len(stream)]
    for begin, end in itertools.pairwise(bounds):
        found += frames.feed(stream[begin:end])
    assert found == requests


async def test_a_request_that_comes_again_gets_the_same_answer_and_is_not_carried_out_again(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "sip", capsys))
    added = request("REGISTER", "sip:example.org", "Contact: <sip:a@192.0.2.1>")
    removed = request("REGISTER", "sip:example.org", "Contact: *", "Expires: 0", via="two")
    first = await peer.ask(added, address)
    assert b"Contact: <sip:a@192.0.2.1>;expires=3600" in first
    assert b"Contact" not in await peer.ask(removed, address)
    assert await peer.ask(added, address) == first
    assert status(await peer.ask(request("INVITE"), address)) == "480"
    peer.send(request("ACK"), address)
    counts = await node.inspect("sip")
    assert counts == {"requests": 3, "duplicates": 1}


@pytest.mark.parametrize(
    ("contacts", "found"),
    [
        (["Contact: sip:a@192.0.2.1;expires=60"], ["sip:a@192.0.2.1"]),
        (["m: <sip:a@192.0.2.1;transport=tcp>;expires=60;q=0.5"], ["sip:a@192.0.2.1;transport=tcp"]),
        (['Contact: "A" <sip:a@192.0.2.1>, <sip:b@192.0.2.1>'], ["sip:a@192.0.2.1", "sip:b@192.0.2.1"]),
        (["Contact:", "  <sip:a@192.0.2.1>"], ["sip:a@192.0.2.1"]),  # a folded line
        (["Contact: <sip:a@192.0.2.1>;expires=0"], []),
        (["Contact: <sip:a@192.0.2.1>", "Expires: 0"], []),
        (["Contact: <sip:a@192.0.2.1>", "Expires: soon"], ["sip:a@192.0.2.1"]),
        (["Contact: <SIP:a@192.0.2.1>"], ["SIP:a@192.0.2.1"]),
        ([], []),
        ([f"Contact: <sip:{number}@192.0.2.1>" for number in range(9)], [f"sip:{n}@192.0.2.1" for n in range(4, 9)]),
    ],
)
async def test_an_invitation_is_redirected_to_the_contacts_that_are_registered(
    contacts: list[str], found: list[str], node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "sip", capsys))
    assert status(await peer.ask(request("INVITE", via="before"), address)) == "404"
    assert status(await peer.ask(request("REGISTER", "sip:example.org", *contacts), address)) == "200"
    answer = await peer.ask(request("INVITE", via="after"), address)
    assert status(answer) == ("302" if found else "480")
    assert [line[10:-1] for line in answer.decode().split("\r\n") if line.startswith("Contact")] == found


@pytest.mark.parametrize(
    "headers",
    [("Contact: *",), ("Contact: *", "Expires: 60"), ("Contact: *", "Contact: <sip:b@192.0.2.1>", "Expires: 0")],
)
async def test_all_contacts_are_only_removed_by_a_request_that_says_so(
    headers: tuple[str, ...], node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "sip", capsys))
    await peer.ask(request("REGISTER", "sip:example.org", "Contact: <sip:a@192.0.2.1>"), address)
    refused = await peer.ask(request("REGISTER", "sip:example.org", *headers, via="all"), address)
    assert status(refused) == "400"
    assert b"Contact: <sip:a@192.0.2.1>" in await peer.ask(request("INVITE", via="after"), address)


async def test_a_client_cannot_say_where_its_request_came_from(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "sip", capsys))
    asked = request("OPTIONS").replace(b";rport", b";received=192.0.2.66;rport")
    answer = await peer.ask(asked, address)
    assert answer.count(b"received=") == 1
    assert b";received=127.0.0.1\r\n" in answer


async def test_an_answer_repeats_what_it_has_to_and_says_where_the_request_came_from(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "sip", capsys))
    answer = await peer.ask(
        request("OPTIONS", "sip:example.org", "v: SIP/2.0/UDP 192.0.2.8;branch=z9hG4bKhop"), address
    )
    lines = answer.decode().split("\r\n")
    assert lines[1] == f"Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKone;rport={peer.address[1]};received=127.0.0.1"
    assert lines[2:4] == ["Via: SIP/2.0/UDP 192.0.2.8;branch=z9hG4bKhop", "From: <sip:bob@example.org>;tag=b"]
    assert lines[4].startswith("To: <sip:alice@example.org>;tag=")
    assert lines[5:7] == ["Call-ID: one@192.0.2.9", "CSeq: 1 OPTIONS"]
    assert answer.endswith(b"Content-Length: 0\r\n\r\n")


async def test_other_methods_and_demands_are_refused(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "sip", capsys))
    assert status(await peer.ask(request("MESSAGE"), address)) == "405"
    refused = await peer.ask(request("OPTIONS", "sip:example.org", "Require: 100rel"), address)
    assert (status(refused), b"Unsupported: 100rel" in refused) == ("420", True)


async def test_random_datagrams_are_counted_and_a_good_request_is_answered(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address, good = ("127.0.0.1", await start(node, "sip", capsys)), request("OPTIONS")
    garbage = [
        b"",
        b"\r\n\r\n",
        bytes(100),
        good[:-2],
        good.replace(b"CSeq: 1 OPTIONS", b"CSeq: 1 INVITE"),
        good.replace(b"Call-ID", b"Call-Ed"),
        good.replace(b"one@", b"one\n@"),  # would be a line of its own in the answer
        good.replace(b"bob", b"\xff"),
        good[:-2] + b"Content-Length: 1\r\n\r\n",
        good[:-2] + b"Content-Length: x\r\n\r\n",
        good[:-2] + b"X: " + b"x" * 9000 + b"\r\n\r\n",
        b"SIP/2.0 200 OK\r\n\r\n",
    ]
    for data in garbage:
        peer.send(data, address)
    assert status(await peer.ask(good, address)) == "200"
    assert await node.inspect("sip") == {"malformed": len(garbage), "requests": 1}


async def test_no_more_users_and_answers_are_kept_than_may_be(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load("sip"), "MOST", 2)
    address = ("127.0.0.1", await start(node, "sip", capsys))
    for name in ("alice", "bob", "carol"):
        register = request("REGISTER", "sip:example.org", "m: <sip:a@192.0.2.1>", via=name)
        await peer.ask(register.replace(b"<sip:alice", f"<sip:{name}".encode()), address)
    found = [status(await peer.ask(request("INVITE", f"sip:{name}@x", via=name), address)) for name in ("alice", "bob")]
    assert found == ["404", "302"]


@given(st.one_of(st.binary(max_size=80), st.text("\r\n\t ;,<>:=@*v0sipSIP/2.", max_size=60).map(str.encode)))
def test_any_bytes_are_a_request_that_can_be_answered_or_a_value_error(data: bytes) -> None:
    module = load("sip")
    for whole in (data, request("REGISTER")[:-2] + data + b"\r\n\r\n"):
        try:
            method, uri, headers = module.parse_untrusted(whole)
        except ValueError:
            continue
        behavior = module.Sip.__new__(module.Sip)
        behavior.users = {}
        answer = module.response(headers, "192.0.2.1", 5060, *behavior.answer(method, uri, headers))
        assert answer.count(b"\r\n\r\n") == 1
