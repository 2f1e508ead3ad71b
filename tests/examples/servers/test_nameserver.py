"""The name server is judged by the clients of BIND and Knot, and by dnsperf, which counts what is lost."""

from __future__ import annotations

import asyncio
import random
import re
from pathlib import Path
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.zone
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import homing

from ...support import DEADLINE, UDPPeer
from ..fuzz import mutated
from .clients import ask, load, serve, start, terminate


def query(name: str, kind: str = "A", edns: bool | int = False, **options: Any) -> bytes:
    return dns.message.make_query(name, kind, use_edns=edns, id=7, **options).to_wire()


def answer(name: str, kind: str = "A", **options: Any) -> dns.message.Message:
    """The answer of the function that knows no sockets."""
    return dns.message.from_wire(load("nameserver").answer_untrusted(query(name, kind, **options))[0])


async def dig(port: int, *arguments: str) -> str:
    return await ask("dig", "-p", str(port), "@127.0.0.1", f"+timeout={DEADLINE:.0f}", "+tries=1", *arguments)


# --- clients ------------------------------------------------------------------------------------------------


async def test_dig_gets_records_wildcards_and_the_reason_for_none() -> None:
    async with serve("nameserver") as running:
        names = ("www.example", "AAAA", "a.b.wild.example", "A", "wild.example", "A", "no.example", "A", "test.", "A")
        output = await dig(await running.port(), *names)
        assert re.findall(r"status: (\w+)", output) == ["NOERROR"] * 3 + ["NXDOMAIN", "REFUSED"]
        assert re.findall(r"www\.example\.\s+300\s+IN\s+AAAA\s+2001:db8::1", output)
        assert re.findall(r"a\.b\.wild\.example\.\s+300\s+IN\s+A\s+192\.0\.2\.2", output)
        assert len(re.findall(r"\nexample\.\s+60\s+IN\s+SOA", output)) == 2
        assert await terminate(running) == 0


async def test_dig_is_told_of_another_version_and_of_an_operation_that_is_not_there() -> None:
    async with serve("nameserver") as running:
        port = await running.port()
        assert "status: BADVERS" in await dig(port, "+edns=1", "+noednsnegotiation", "www.example")
        assert "status: NOTIMP" in await dig(port, "+opcode=status", "www.example")


async def test_dig_gets_a_long_answer_with_a_cookie_and_none_with_a_wrong_one() -> None:
    async with serve("nameserver") as running:
        port = await running.port()
        output = await dig(port, "text.example", "TXT", "+ignore")
        assert "BADCOOKIE, retrying" in output
        assert "returned the cookie that proves its address" in output
        wrong = re.sub(r"(?s).*COOKIE: (\w+)\w{4} \(good\).*", r"\g<1>0000", output)
        assert "status: BADCOOKIE" in await dig(port, "www.example", f"+cookie={wrong}", "+nobadcookie")


async def test_dig_is_told_that_an_answer_does_not_fit_into_its_datagram_and_gets_it_by_tcp() -> None:
    async with serve("nameserver") as running:
        port = await running.port()
        output = await dig(port, "many.example")
        assert "Truncated, retrying in TCP mode" in output
        assert "flags: qr aa rd; QUERY: 1, ANSWER: 100" in output
        for size in ("+noedns", "+bufsize=4096", "+bufsize=100"):
            assert "flags: qr aa tc rd; QUERY: 1, ANSWER: 0" in await dig(port, "many.example", size, "+ignore")


async def test_kdig_returns_the_cookie() -> None:
    async with serve("nameserver") as running:
        output = await ask(
            "kdig", "-p", str(await running.port()), "@127.0.0.1", "+cookie", "+ignore", "text.example", "TXT"
        )
        assert "bad cookie" in output
        assert "returned the cookie that proves its address" in output


async def test_kdig_gets_several_answers_by_one_connection() -> None:
    async with serve("nameserver") as running:
        port = str(await running.port())
        output = await ask("kdig", "-p", port, "@127.0.0.1", "+tcp", "+keepopen", "www.example", "no.example", "test")
        assert re.findall(r"status: (\w+)", output) == ["NOERROR", "NXDOMAIN", "REFUSED"]
        assert "192.0.2.1" in output


async def test_delv_takes_the_unsigned_answer() -> None:
    async with serve("nameserver") as running:
        port = str(await running.port())
        assert "192.0.2.1" in await ask("delv", "-p", port, "@127.0.0.1", "-i", "www.example")
        assert "NXDOMAIN" in await ask("delv", "-p", port, "@127.0.0.1", "-i", "no.example", code=None)


@pytest.mark.parametrize("mode", ["udp", "tcp"])
async def test_dnsperf_loses_nothing(mode: str, tmp_path: Path) -> None:
    questions = tmp_path / "questions"
    questions.write_text("www.example A\nno.example A\nalias.example A\nx.wild.example A\nexample MX\n")
    async with serve("nameserver") as running:
        port = str(await running.port())
        load = ("-m", mode, "-c", "8", "-q", "40", "-n", "400", "-t", f"{DEADLINE:.0f}")
        output = await ask("dnsperf", "-s", "127.0.0.1", "-p", port, "-d", str(questions), *load)
        assert re.search(r"Queries completed:\s+2000 \(100.00%\)", output), output
        assert "NOERROR 1600 (80.00%), NXDOMAIN 400 (20.00%)" in output


# --- limits -------------------------------------------------------------------------------------------------


async def test_beyond_the_limit_of_a_network_every_second_answer_says_ask_by_tcp_and_the_others_are_not_sent(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    await node.spawn(load("nameserver").Server, 0, ())
    address = ("127.0.0.1", int(capsys.readouterr().out.split()[-1]))
    whole = await peer.ask(query("www.example."), address)
    for _ in range(300):
        peer.send(query("www.example."), address)
    received = [(await peer.receive())[0] for _ in range(60)]
    assert received[:45] == [whole] * 45  # 50 at once, and 50 a second
    assert b"\0\7\x87\0" + bytes(8) in received


async def test_a_client_without_a_proof_gets_three_times_its_bytes_at_most(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "nameserver", capsys))
    assert await peer.ask(query("text.example.", "TXT"), address) == b"\0\7\x87\0" + bytes(8)
    cookie = dns.edns.CookieOption(b"12345678", b"")
    for code in (dns.rcode.BADCOOKIE, dns.rcode.NOERROR):
        data = query("text.example.", "TXT", 0, options=[cookie])
        reply = dns.message.from_wire(await peer.ask(data, address))
        assert reply.rcode() == code
        cookie = reply.options[0]  # type: ignore[assignment]
    assert await node.inspect("nameserver") == {"NOERROR": 2, "BADCOOKIE": 1}


async def test_random_datagrams_are_counted_and_a_good_question_is_answered(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address, chance = ("127.0.0.1", await start(node, "nameserver", capsys)), random.Random(7)
    with UDPPeer() as other:
        for garbage in (b"", b"\0\7", query("www.example.")[:11], b"\0\7\x80" + bytes(40), bytes(1300)):
            other.send(garbage, address)
        for _ in range(200):
            other.send(mutated(query("www.example.", edns=0), chance)[:600], address)
        other.send(query("www.example.")[:-1], address)
    reply = dns.message.from_wire(await peer.ask(query("www.example."), address))
    assert reply.answer[0].to_text() == "www.example. 300 IN A 192.0.2.1"
    counts = await node.inspect("nameserver")
    assert counts["FORMERR"] > 0
    assert counts["malformed"] >= 5
    assert node.info().crashes == 0


async def test_questions_by_tcp_are_answered_in_order_however_they_are_divided_and_what_is_none_is_counted(
    node: homing.Node, capsys: pytest.CaptureFixture[str]
) -> None:
    port, chance = await start(node, "nameserver", capsys), random.Random(7)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    names = ["www.example.", "text.example.", "many.example."]
    frames = [b"", b"\0", b"\0\7\x80" + bytes(40), bytes(600), *(query(name) for name in names)]
    stream = b"".join(len(frame).to_bytes(2, "big") + frame for frame in frames)
    while stream:
        size = chance.randrange(1, 40)
        writer.write(stream[:size])
        stream = stream[size:]
        await writer.drain()
    for name in names:
        async with asyncio.timeout(DEADLINE):
            size = int.from_bytes(await reader.readexactly(2), "big")
            reply = dns.message.from_wire(await reader.readexactly(size))
        assert reply.question[0].name.to_text() == name
        assert not reply.flags & dns.flags.TC
    writer.close()
    await writer.wait_closed()
    assert await node.inspect("nameserver") == {"malformed": 4, "NOERROR": 3}
    assert node.info().crashes == 0


# --- answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "code", "records"),
    [
        ("WWW.example.", "A", "NOERROR", "WWW.example. 300 IN A 192.0.2.1"),
        ("example.", "MX", "NOERROR", "example. 300 IN MX 10 www.example."),
        ("example.", "NS", "NOERROR", "example. 300 IN NS www.example."),
        ("alias.example.", "A", "NOERROR", "alias.example. 300 IN CNAME www.example.\nwww.example. 300 IN A 192.0.2.1"),
        ("alias.example.", "ANY", "NOERROR", "alias.example. 300 IN CNAME www.example."),
        ("www.example.", "ANY", "NOERROR", "www.example. 300 IN A 192.0.2.1"),
        ("x.wild.example.", "ANY", "NOERROR", "x.wild.example. 300 IN A 192.0.2.2"),
        ("no.example.", "ANY", "NXDOMAIN", None),
        ("alias.example.", "CNAME", "NOERROR", "alias.example. 300 IN CNAME www.example."),
        ("*.wild.example.", "A", "NOERROR", "*.wild.example. 300 IN A 192.0.2.2"),
        ("x.wild.example.", "AAAA", "NOERROR", None),
        ("wild.example.", "A", "NOERROR", None),
        ("a.www.example.", "A", "NXDOMAIN", None),
        ("example.", "AXFR", "REFUSED", ""),
        ("example.", "MAILB", "REFUSED", ""),
        (".", "NS", "REFUSED", ""),
        ("notexample.", "A", "REFUSED", ""),
    ],
)
def test_a_question_has_its_answer_or_the_record_that_says_how_long_there_is_none(
    name: str, kind: str, code: str, records: str | None
) -> None:
    found = answer(name, kind)
    assert dns.rcode.to_text(found.rcode()) == code
    assert "\n".join(rrset.to_text() for rrset in found.answer) == (records or "")
    assert bool(found.authority) == (records is None)
    assert bool(found.flags & dns.flags.AA) == (code != "REFUSED")


@pytest.mark.parametrize(
    ("target", "code", "answers"),
    [("www", "NOERROR", 2), ("no", "NXDOMAIN", 1), ("www.test.", "NOERROR", 1), ("chain", "NOERROR", 1)],
)
def test_cnames_are_followed_within_the_zone_and_not_in_circles(
    target: str, code: str, answers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load("nameserver")
    zone = dns.zone.from_text(module.RECORDS + f"chain 300 CNAME {target}\n", module.ORIGIN, relativize=False)
    monkeypatch.setattr(module, "ZONE", zone)
    monkeypatch.setattr(module, "NAMES", module.NAMES | set(zone))
    module.answer_untrusted.cache_clear()
    try:
        found = answer("chain.example.", "AAAA")
    finally:
        module.answer_untrusted.cache_clear()
    assert (dns.rcode.to_text(found.rcode()), len(found.answer)) == (code, answers)
    assert bool(found.authority) == (code == "NXDOMAIN")


def test_a_cookie_may_be_asked_for_without_a_question() -> None:
    asked = dns.message.make_query(".", "A", use_edns=0, id=7, options=[dns.edns.CookieOption(b"12345678", b"")])
    asked.question = []
    found = dns.message.from_wire(load("nameserver").answer_untrusted(asked.to_wire())[0])
    assert found.rcode() == dns.rcode.NOERROR
    assert len(found.options[0].server) == 16  # type: ignore[attr-defined]
    asked.use_edns(False)
    assert dns.message.from_wire(load("nameserver").answer_untrusted(asked.to_wire())[0]).rcode() == dns.rcode.FORMERR


def test_another_class_is_refused_and_the_bit_do_comes_back() -> None:
    assert answer("www.example.", rdclass="CH").rcode() == dns.rcode.REFUSED
    found = answer("www.example.", edns=0, want_dnssec=True)
    assert (found.edns, found.payload, found.ednsflags) == (0, 1232, dns.flags.DO)


@example(b"")
@given(
    st.one_of(
        st.binary(max_size=60),
        st.binary(max_size=40).map(lambda body: b"\0\7\0\0\0\1\0\0\0\0\0\1" + body),
        st.randoms(use_true_random=False).map(lambda chance: mutated(query("www.example.", edns=0), chance)),
    )
)
def test_any_bytes_are_a_query_or_a_value_error_and_each_query_has_an_answer(data: bytes) -> None:
    module = load("nameserver")
    try:
        module.parse_untrusted(data)
    except ValueError:
        return
    found, code, _ = module.answer_untrusted(data)
    assert len(found) <= module.LONGEST
    assert found[:2] == data[:2]
    assert dns.message.from_wire(found).rcode() == code
