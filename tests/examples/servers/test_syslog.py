"""The syslog collector is sent to by util-linux, rsyslog and syslog-ng's load generator, and by hand."""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

import homing
from homing import meta

from ...faults.figures import figure
from ...support import DEADLINE, UDPPeer, eventually
from .clients import ask, client, load, serve, terminate

NEW = b'<165>1 2003-10-11T22:14:15.003Z host app 42 ID47 [a b="c\\"]"][d] \xef\xbb\xbftext: \xc3\xbc'
OLD = b"<34>Oct 11 22:14:15 host su[7]: failed"


def entries(directory: Path, name: str = "messages") -> list[dict[str, Any]]:
    """The lines of a file, each of which has to be whole."""
    path = directory / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def start(
    node: homing.Node, directory: Path, capsys: pytest.CaptureFixture[str], tls: meta.TLS | None = None
) -> tuple[str, int]:
    await node.spawn(load("syslog").Server, 0, str(directory), "127.0.0.1", tls)
    return "127.0.0.1", int(capsys.readouterr().out.split("listening on port ")[1].split()[0])


async def counts(node: homing.Node) -> dict[str, Any]:
    return dict(await node.inspect("syslog"))


@asynccontextmanager
async def rsyslog(configuration: Path) -> AsyncIterator[None]:
    pid = configuration.with_suffix(".pid")
    arguments = ("-n", "-f", str(configuration), "-i", str(pid))
    process = await asyncio.create_subprocess_exec(client("rsyslogd"), *arguments)
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def test_logger_is_understood_in_both_formats_and_what_was_read_is_written_before_the_end(tmp_path: Path) -> None:
    async with serve("syslog", str(tmp_path)) as running:
        target = ("-n", "127.0.0.1", "-P", str(await running.port()), "-d")
        await ask("logger", *target, "--rfc5424", "-t", "disk", "-p", "user.err", "it is full")
        await ask("logger", *target, "--rfc3164", "-t", "fan", "-p", "local7.warning", "it is slow")
        await eventually(lambda: len(entries(tmp_path)) == 2, "two lines")
        assert await terminate(running) == 0
    fields = [(entry["facility"], entry["severity"], entry["app"], entry["text"]) for entry in entries(tmp_path)]
    assert fields == [(1, "err", "disk", "it is full"), (23, "warning", "fan", "it is slow")]


@pytest.mark.parametrize("framing", ["udp", "traditional", "octet-counted"])
async def test_rsyslog_forwards_to_it(framing: str, tmp_path: Path) -> None:
    protocol = 'protocol="udp"' if framing == "udp" else f'protocol="tcp" TCP_Framing="{framing}"'
    async with serve("syslog", str(tmp_path / "logs")) as running:
        (tmp_path / "input").write_text("hello from a file\n")
        configuration = tmp_path / "rsyslog.conf"
        configuration.write_text(
            f'global(workDirectory="{tmp_path}")\nmodule(load="imfile")\n'
            f'input(type="imfile" file="{tmp_path}/input" tag="tested:")\n'
            f'action(type="omfwd" target="127.0.0.1" port="{await running.port()}" {protocol} '
            'template="RSYSLOG_SyslogProtocol23Format")\n'
        )
        async with rsyslog(configuration):
            await eventually(lambda: entries(tmp_path / "logs"), "a line")
    (entry,) = entries(tmp_path / "logs")
    assert (entry["app"], entry["text"].strip(), entry["severity"]) == ("tested", "hello from a file", "notice")


async def test_of_loggens_fifty_thousand_a_second_each_is_written_or_counted_as_lost(
    node: homing.Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host, port = await start(node, tmp_path, capsys)
    load = ("--inet", "--dgram", "--rate", "50000", "--interval", "1", "--size", "200")
    sent = int(re.findall(r"count=(\d+)", await ask("loggen", *load, host, str(port)))[-1])
    found = await all_done(node, sent)
    assert sent == found["received"] + found["kernel_drops"]
    assert found["received"] == found["written"]


async def test_of_loggens_by_tcp_none_is_lost(
    node: homing.Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host, port = await start(node, tmp_path, capsys)
    load = ("--inet", "--stream", "--rate", "25000", "--interval", "1", "--size", "200", "--active-connections", "2")
    sent = int(re.findall(r"count=(\d+)", await ask("loggen", *load, host, str(port)))[-1])
    found = await all_done(node, sent)
    assert (found["received"], found["written"]) == (sent, sent)


async def test_logger_frames_by_tcp_in_both_ways(tmp_path: Path) -> None:
    async with serve("syslog", str(tmp_path)) as running:
        target = ("-n", "127.0.0.1", "-P", str(await running.port()), "-T", "-p", "user.err")
        await ask("logger", *target, "--octet-count", "--rfc5424", "counted")
        await ask("logger", *target, "--rfc3164", "by lines")
        await eventually(lambda: len(entries(tmp_path)) == 2, "two lines")
        assert await terminate(running) == 0
    assert {entry["text"] for entry in entries(tmp_path)} == {"counted", "by lines"}


def certified(directory: Path) -> meta.TLS:
    """The certificate of a server, whose authority's is in the file ca.pem."""
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(directory / "both.pem")
    authority.cert_pem.write_to_path(directory / "ca.pem")
    return meta.TLS(certificate=str(directory / "both.pem"))


def require(driver: str) -> None:
    """Skips the test if rsyslog has no such module for TLS."""
    client("rsyslogd")
    if not any(Path("/usr").glob(f"lib*/**/rsyslog/lmnsd_{driver}.so")):
        pytest.skip(f"lmnsd_{driver} (a module of rsyslog for TLS) is not installed")


@pytest.mark.parametrize("driver", ["ossl", "gtls"])
async def test_rsyslog_forwards_to_it_by_tls(
    driver: str, node: homing.Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require(driver)
    (tmp_path / "input").write_text("hello from a file\n")
    _, port = await start(node, tmp_path / "logs", capsys, certified(tmp_path))
    configuration = tmp_path / "rsyslog.conf"
    configuration.write_text(
        f'global(workDirectory="{tmp_path}" DefaultNetstreamDriverCAFile="{tmp_path}/ca.pem")\n'
        f'module(load="imfile")\ninput(type="imfile" file="{tmp_path}/input" tag="tested:")\n'
        f'action(type="omfwd" target="127.0.0.1" port="{port}" protocol="tcp" TCP_Framing="octet-counted" '
        f'StreamDriver="{driver}" StreamDriverMode="1" StreamDriverAuthMode="x509/name" '
        'StreamDriverPermittedPeers="localhost" template="RSYSLOG_SyslogProtocol23Format")\n'
    )
    async with rsyslog(configuration):
        await eventually(lambda: entries(tmp_path / "logs"), "a line")
    (entry,) = entries(tmp_path / "logs")
    assert (entry["app"], entry["text"].strip()) == ("tested", "hello from a file")


async def test_of_loggens_by_tls_none_is_lost(
    node: homing.Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host, port = await start(node, tmp_path / "logs", capsys, certified(tmp_path))
    load = ("--use-ssl", "--rate", "5000", "--interval", "1", "--size", "200", "--active-connections", "2")
    sent = int(re.findall(r"count=(\d+)", await ask("loggen", *load, host, str(port)))[-1])
    found = await all_done(node, sent)
    assert sent > 0
    assert (found["received"], found["written"]) == (sent, sent)


async def test_openssl_sends_by_tls_and_what_is_not_encrypted_is_refused(
    node: homing.Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host, port = await start(node, tmp_path, capsys, certified(tmp_path))
    check = ("-CAfile", str(tmp_path / "ca.pem"), "-verify_return_error", "-servername", "localhost")
    message = b"<13>1 - - - - - - secret"
    framed = b"%d %s%s\n" % (len(message), message, OLD)
    await ask("openssl", "s_client", "-quiet", "-no_ign_eof", "-connect", f"{host}:{port}", *check, data=framed)
    await ask("nc", "-N", host, str(port), data=framed)
    assert (await all_done(node, 2))["written"] == 2
    assert {entry["text"] for entry in entries(tmp_path)} == {"secret", "failed"}


async def all_done(node: homing.Node, sent: int) -> dict[str, Any]:
    """Waits until nothing is on its way any more. Returns the counts."""
    async with asyncio.timeout(2 * DEADLINE):
        while True:
            found = await counts(node)
            if found["written"] + found["failed"] + found["malformed"] + found["kernel_drops"] >= sent:
                return found
            await asyncio.sleep(0.01)


def hold(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Makes the disk so slow that nothing is written before the event is set."""
    collector, released = load("syslog").Collector, threading.Event()
    write = collector.write_blocking

    def slow(self: Any, block: bytes) -> None:
        released.wait(60)
        write(self, block)

    monkeypatch.setattr(collector, "write_blocking", slow)
    return released


async def test_a_slow_disk_makes_senders_by_tcp_wait_and_nothing_is_lost(
    node: homing.Node, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    released = hold(monkeypatch)
    host, port = await start(node, tmp_path, capsys)
    _, writer = await asyncio.open_connection(host, port)
    chunk, sent = (OLD + b"x" * 4000 + b"\n") * 100, 0
    try:
        while not writer.transport.get_write_buffer_size():  # what the kernel does not take any more
            writer.write(chunk)
            sent += 100
            await counts(node)
            assert sent < 1_000_000
        received = (await counts(node))["received"]
        assert (await counts(node))["written"] == 0
        assert received < sent
    finally:
        released.set()
    writer.close()
    found = await all_done(node, sent)
    assert (found["written"], found["received"]) == (sent, sent)


async def test_a_slow_disk_makes_the_server_stop_reading_and_the_kernel_counts_what_is_lost(
    node: homing.Node,
    peer: UDPPeer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = hold(monkeypatch)
    address, sent = await start(node, tmp_path, capsys), 0
    _, udp = node.process_info("syslog").metas
    try:
        while not (await node.inspect_meta(udp))["kernel_drops"]:
            for _ in range(500):
                peer.send(OLD, address)
            sent += 500
            assert sent < 100_000
    finally:
        released.set()
    found = await all_done(node, sent)
    assert sent == found["written"] + found["kernel_drops"]
    assert len(entries(tmp_path)) == found["written"]


async def test_a_full_disk_loses_lines_which_are_counted_and_the_collector_lives(
    node: homing.Node, peer: UDPPeer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = await start(node, tmp_path, capsys)
    (tmp_path / "messages").symlink_to("/dev/full")
    peer.send(OLD, address)
    assert (await all_done(node, 1))["failed"] == 1
    (tmp_path / "messages").unlink()
    peer.send(NEW, address)
    assert (await all_done(node, 2))["written"] == 1
    assert node.info().crashes == 0


async def test_no_file_grows_without_end_and_the_oldest_is_replaced(
    node: homing.Node,
    peer: UDPPeer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(load("syslog"), "MOST_BYTES", 200)
    address = await start(node, tmp_path, capsys)
    for number in range(20):
        peer.send(b"<13>%d of a long text, longer than half of the file: " % number + b"x" * 100, address)
        await all_done(node, number + 1)
    assert sorted(os.listdir(tmp_path)) == [f"messages.{number}" for number in range(1, 5)]
    kept = [entries(tmp_path, f"messages.{number}")[0]["text"].split()[0] for number in (4, 3, 2, 1)]
    assert kept == ["16", "17", "18", "19"]
    assert (await counts(node))["rotated"] == 20


async def test_random_datagrams_are_counted_or_one_line_each_and_a_good_one_is_written(
    node: homing.Node, peer: UDPPeer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = await start(node, tmp_path, capsys)
    for data in (b"", b"no priority", b"<192>x", b"<013>x", b"<\xd9\xa3>x", b"<13>\x1b[2J\n{}\xff\xe2\x80\xa8", NEW):
        peer.send(data, address)
    assert (await all_done(node, 7))["malformed"] == 5
    assert all(line.isascii() and line.isprintable() for line in (tmp_path / "messages").read_text().splitlines())
    odd, good = sorted(entries(tmp_path), key=lambda entry: int(entry["facility"]))
    assert odd["text"] == "\x1b[2J\n{}\\xff\u2028"
    assert (good["data"], good["text"]) == ('[a b="c\\"]"][d]', "text: ü")
    figure(37, "random datagrams that crashed syslog", node.info().crashes)


def test_the_fields_of_both_formats_are_told_apart() -> None:
    parse = load("syslog").parse_untrusted
    old = {"time": "Oct 11 22:14:15", "host": "host", "app": "su", "process": "7", "text": "failed"}
    assert parse(OLD) == {"facility": 4, "severity": "crit", **old}
    new = {"time": "2003-10-11T22:14:15.003Z", "host": "host", "app": "app", "process": "42", "id": "ID47"}
    assert parse(NEW) == {"facility": 20, "severity": "notice", **new, "data": '[a b="c\\"]"][d]', "text": "text: ü"}
    empty = dict.fromkeys(("time", "host", "app", "process", "id", "data"), "-")
    assert parse(b"<0>1 - - - - - -") == {"facility": 0, "severity": "emerg", **empty}
    assert parse(b"<13>1 apple is sold")["text"] == "1 apple is sold"
    no_host = {"time": "Oct 11 22:14:15", "app": "su", "process": "7", "text": "failed"}
    assert parse(b"<34>Oct 11 22:14:15 su[7]: failed") == {"facility": 4, "severity": "crit", **no_host}
    assert parse(b"<34>Oct 11 22:14:15 ::1 su: failed")["host"] == "::1"


@given(
    st.lists(st.tuples(st.binary(max_size=40).filter(lambda data: b"\n" not in data), st.booleans()), max_size=8),
    st.lists(st.integers(0, 200), max_size=8),
)
def test_frames_are_the_same_wherever_the_stream_is_cut(messages: list[tuple[bytes, bool]], cuts: list[int]) -> None:
    sent = [b"<13>" + data for data, _ in messages]
    stream = b"".join(
        b"%d %s" % (len(data), data) if counted else data + b"\n"
        for data, (_, counted) in zip(sent, messages, strict=True)
    )
    frames, places = load("syslog").Frames(), [0, *sorted(cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(places)]
    assert [frame for piece in pieces for frame in frames.feed(piece)] == sent


@given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([b"1 ", b"99999 ", b"8193 ", b"\n", b"x" * 5000]))))
def test_of_a_stream_no_more_than_a_message_is_kept(pieces: list[bytes]) -> None:
    frames = load("syslog").Frames()
    with suppress(meta.FrameTooLong):
        for piece in pieces:
            list(frames.feed(piece))
            assert len(frames.rest) <= load("syslog").LONGEST + 6


PIECES = st.sampled_from([b"<34>", b"<191>", b"1 ", b"- ", b"[", b"]", b'"', b"\\", b"Oct 11 22:14:15 ", b": ", b"\n"])


@given(st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=20).map(lambda parts: b"<1>1 " + b"".join(parts))))
def test_any_bytes_are_a_message_or_a_value_error(data: bytes) -> None:
    try:
        fields = load("syslog").parse_untrusted(data)
    except ValueError:
        return
    assert json.loads(json.dumps(fields)) == fields
    assert fields["facility"] in range(24)


@pytest.mark.parametrize("piece", [b"[", b"[a", b'[a b="', b'\\"', b'[""]', b"a ", b"a:", b"a["])
def test_hostile_repetitions_take_no_time(piece: bytes) -> None:
    load("syslog").parse_untrusted(b"<1>1 - - - - - " + piece * 20_000)  # in quadratic time: minutes
