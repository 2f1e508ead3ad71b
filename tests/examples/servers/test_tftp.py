"""The TFTP server is asked by curl and tftp, and by hand where these do not reach."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import homing

from ...faults.networks import network
from ...meta.servers import needs_namespaces
from ...support import DEADLINE, UDPPeer
from .clients import SERVERS, ask, client, load, serve, start, terminate

READ, WRITE, DATA, ACK, ERROR, OACK = range(1, 7)
CONTENT = random.Random(6).randbytes(100_000)


def packet(kind: int, *parts: int | bytes) -> bytes:
    return kind.to_bytes(2) + b"".join(part.to_bytes(2) if isinstance(part, int) else part for part in parts)


def request(kind: int, name: str, mode: str = "octet", **options: int) -> bytes:
    texts = [name, mode, *(str(text) for pair in options.items() for text in pair)]
    return packet(kind, *(text.encode() + b"\0" for text in texts))


async def test_a_file_that_tftp_has_written_is_read_by_curl_and_by_tftp(tmp_path: Path) -> None:
    (tmp_path / "up").write_bytes(CONTENT)
    async with serve("tftp") as running:
        port = str(await running.port())
        await ask("tftp", "-m", "binary", "127.0.0.1", port, "-c", "put", "up", "copy", cwd=tmp_path)
        for size in ("512", "1428", "8192"):
            url = f"tftp://127.0.0.1:{port}/copy"
            await ask("curl", "-sS", "--tftp-blksize", size, "-o", f"down{size}", url, cwd=tmp_path)
            assert (tmp_path / f"down{size}").read_bytes() == CONTENT
        await ask("tftp", "-m", "binary", "127.0.0.1", port, "-c", "get", "copy", "down", cwd=tmp_path)
        assert (tmp_path / "down").read_bytes() == CONTENT
        assert await terminate(running) == 0


async def test_curl_writes_a_file_and_is_told_what_is_forbidden(tmp_path: Path) -> None:
    (tmp_path / "up").write_bytes(CONTENT)
    async with serve("tftp") as running:
        url = f"tftp://127.0.0.1:{await running.port()}"
        await ask("curl", "-sS", "-T", "up", f"{url}/copy", cwd=tmp_path)
        assert (await ask("curl", "-sS", f"{url}/copy", "-o", "down", cwd=tmp_path)) == ""
        assert (tmp_path / "down").read_bytes() == CONTENT
        await ask("curl", "-sS", "-T", "up", f"{url}/copy", cwd=tmp_path, code=69)  # it exists already
        await ask("curl", "-sS", f"{url}/none", cwd=tmp_path, code=68)
        await ask("curl", "-sS", "--path-as-is", f"{url}/../../etc/passwd", cwd=tmp_path, code=68)
        await ask("curl", "-sS", "--path-as-is", "-T", "up", f"{url}/../up", cwd=tmp_path, code=69)


async def test_random_datagrams_are_counted_and_a_file_can_still_be_written(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "tftp", capsys))
    garbage = [
        b"",
        b"\0",
        packet(ACK, 1),
        packet(ERROR, 1),
        request(READ, "a", "netascii"),
        request(READ, "\xff" * 600),
    ]
    garbage += [random.Random(number).randbytes(number) for number in range(50)]
    for data in garbage:
        peer.send(data, address)
    with UDPPeer() as client:
        await written(client, address, "name", b"text")
        assert await read(client, address, "name") == b"text"
    counts = await node.inspect("tftp")
    assert counts["malformed"] == len(garbage)
    assert node.info().crashes == 0


async def written(client: UDPPeer, address: Any, name: str, content: bytes, size: int = 512) -> None:
    """Writes a file, waiting for each acknowledgement."""
    client.send(request(WRITE, name), address)
    answer, source = await client.receive()
    assert answer == packet(ACK, 0)
    for number in range(len(content) // size + 1):
        client.send(packet(DATA, number + 1, content[number * size : (number + 1) * size]), source)
        assert await client.receive() == (packet(ACK, number + 1), source)


async def read(client: UDPPeer, address: Any, name: str, each: int = 1) -> bytes:
    """Reads a file, acknowledging each block so many times."""
    client.send(request(READ, name), address)
    content, number = b"", 0
    while len(content) == number * 512:
        data, source = await client.receive()
        number += 1
        assert data[:4] == packet(DATA, number)
        content += data[4:]
        for _ in range(each):
            client.send(packet(ACK, number), source)
    return content


async def test_acknowledgements_that_come_twice_cause_no_block_to_come_twice(
    node: homing.Node, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Sorcerer's Apprentice: each would be doubled again by the next."""
    address = ("127.0.0.1", await start(node, "tftp", capsys))
    with UDPPeer() as client:
        await written(client, address, "name", CONTENT[:5000])
        assert await read(client, address, "name", each=3) == CONTENT[:5000]
        with pytest.raises(BlockingIOError):
            client.socket.recv(2000)


async def test_options_are_answered_with_what_is_accepted(
    node: homing.Node, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "tftp", capsys))
    with UDPPeer() as client:
        await written(client, address, "name", b"x" * 1500)
        client.send(request(READ, "name", blksize=65464, tsize=0, timeout=3, windowsize=4), address)
        answer, source = await client.receive()
        assert answer == packet(OACK, b"blksize\x001428\0timeout\x003\0tsize\x001500\0")
        client.send(packet(ACK, 0), source)
        assert (await client.receive())[0] == packet(DATA, 1, b"x" * 1428)
        client.send(packet(ERROR, 0, b"enough\0"), source)
        assert node.info().crashes == 0


async def test_an_error_of_the_client_ends_a_transfer_and_has_no_answer(
    node: homing.Node, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "tftp", capsys))
    before = node.info().processes
    with UDPPeer() as client:
        client.send(request(WRITE, "name", blksize=1000), address)
        answer, source = await client.receive()
        assert answer == packet(OACK, b"blksize\x001000\0")
        client.send(packet(ERROR, 8, b"no options\0"), source)
        async with asyncio.timeout(DEADLINE):
            while node.info().processes > before:
                await asyncio.sleep(0.001)
        client.send(request(READ, "nothing"), address)
        assert (await client.receive())[0][:4] == packet(ERROR, 1)


async def test_a_directory_that_is_not_there_is_refused_before_the_transfer(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "tftp", capsys))
    assert (await peer.ask(request(WRITE, "none/name"), address))[:4] == packet(ERROR, 2)


async def test_a_file_is_not_there_before_it_is_whole_and_other_sources_do_not_disturb(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "tftp", capsys))
    with UDPPeer() as client:
        client.send(request(WRITE, "name"), address)
        _, source = await client.receive()
        client.send(packet(DATA, 1, bytes(512)), source)
        await client.receive()
        peer.send(packet(DATA, 2, b"forged"), source)
        peer.send(request(READ, "name"), address)
        answer, answering = await peer.receive()
        assert answer[:4] == packet(ERROR, 1)
        peer.send(packet(ERROR, 0), answering)
        client.send(packet(DATA, 2, b"end"), source)
        assert (await client.receive())[0] == packet(ACK, 2)
        assert await read(client, address, "name") == bytes(512) + b"end"


async def test_too_many_transfers_at_a_time_are_refused_and_too_long_a_file_is_not_kept(
    node: homing.Node, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(load("tftp"), "MOST_TRANSFERS", 1)
    monkeypatch.setattr(load("tftp"), "LARGEST", 1000)
    address = ("127.0.0.1", await start(node, "tftp", capsys))
    with UDPPeer() as client, UDPPeer() as second:
        client.send(request(WRITE, "name"), address)
        _, source = await client.receive()
        second.send(request(WRITE, "other"), address)
        client.send(packet(DATA, 1, bytes(512)), source)
        await client.receive()
        client.send(packet(DATA, 2, bytes(512)), source)
        assert (await client.receive())[0][:4] == packet(ERROR, 3)
    counts = await node.inspect("tftp")
    assert (counts["begun"], counts["refused"]) == (1, 1)


async def test_one_source_has_no_more_transfers_at_a_time_than_it_may(
    node: homing.Node, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(load("tftp"), "MOST_EACH", 1)
    address = ("127.0.0.1", await start(node, "tftp", capsys))
    with UDPPeer() as first, UDPPeer() as second, UDPPeer("127.0.0.2") as other:
        first.send(request(WRITE, "name"), address)
        _, source = await first.receive()
        second.send(request(WRITE, "another"), address)
        other.send(request(WRITE, "other"), address)
        assert (await other.receive())[0] == packet(ACK, 0)
        counts = await node.inspect("tftp")
        assert (counts["begun"], counts["refused"]) == (2, 1)
        first.send(packet(DATA, 1, b"end"), source)
        assert (await first.receive())[0] == packet(ACK, 1)


LOSSY = "ip link set lo up && iptables -A INPUT -p udp -m statistic --mode {} -j DROP"


def transfer(folder: Path, losses: str, *commands: str) -> None:
    """Runs a server with a file `hello`, and commands of clients with its port, where datagrams are lost."""
    with network(LOSSY.format(losses)) as net:
        command, environment = [sys.executable, str(SERVERS / "tftp.py"), "0"], {**os.environ, "TMPDIR": str(folder)}
        pipe, none = subprocess.PIPE, subprocess.DEVNULL
        running = net.do(subprocess.Popen, command, env=environment, stdout=pipe, stderr=none, text=True)
        try:
            port = running.stdout.readline().split()[-1]
            (next(folder.glob("tftp-*")) / "hello").write_bytes(CONTENT[:10_000])
            for line in commands:
                words = line.format(port=port).split()
                net.do(subprocess.run, [client(words[0]), *words[1:]], cwd=folder, timeout=50, check=True)
        finally:
            running.kill()
            running.communicate()


@needs_namespaces
@pytest.mark.skipif(shutil.which("iptables") is None, reason="iptables is not installed")
def test_a_file_arrives_whole_although_one_datagram_in_ten_is_lost(tmp_path: Path) -> None:
    url = "tftp://127.0.0.1:{port}/hello"
    transfer(tmp_path, "nth --every 12 --packet 8", f"curl -sS --tftp-blksize 1024 {url} -o down")
    assert (tmp_path / "down").read_bytes() == CONTENT[:10_000]


@needs_namespaces
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("iptables") is None, reason="iptables is not installed")
def test_tftp_writes_and_reads_although_one_datagram_in_twenty_is_lost(tmp_path: Path) -> None:
    (tmp_path / "up").write_bytes(CONTENT[:6000])
    tftp = "tftp -m binary 127.0.0.1 {port} -c"
    transfer(tmp_path, "random --probability 0.05", f"{tftp} put up copy", f"{tftp} get copy down")
    assert (tmp_path / "down").read_bytes() == CONTENT[:6000]
