"""ICMP errors by the thousand, late or forged: they cost the same however many requests are open, and fail only those
that they can be about."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

import homing
from homing import gen, meta

from ...support import Probe, UDPPeer, eventually
from .clients import ask, asked, by_id, check_account, counted, open_client

pytestmark = [
    pytest.mark.backends,
    pytest.mark.loops,
    pytest.mark.skipif(not hasattr(socket, "MSG_ERRQUEUE"), reason="what the system tells differs elsewhere"),
]

ELSEWHERE = ("192.0.2.1", 9)


def report(addr: tuple[Any, ...], number: int, data: bytes = b"", mtu: int | None = None) -> meta.MessageUDPError:
    """What the system tells of an ICMP error."""
    return meta.MessageUDPError(None, addr, number, data, OSError(number, os.strerror(number)), "icmp", mtu=mtu)


def tell(client: meta.UDPClient, *reports: meta.MessageUDPError) -> None:
    for one in reports:
        client._exchange.report(one)


async def settled(client: meta.UDPClient) -> None:
    """Waits until all that was told has been looked at."""
    await eventually(lambda: not client._exchange._reports._waiting)


async def opened(
    node: homing.Node, probe: Probe, peer: UDPPeer, count: int, length: int = 4, **options: Any
) -> tuple[meta.UDPClient, list[asyncio.Task[Any]]]:
    """A client with so many open requests."""
    client, alias = await open_client(probe, peer, max_requests=count, **options)
    tasks = []
    for start in range(0, count, 500):
        tasks += [ask(node, alias, number.to_bytes(length)) for number in range(start, min(start + 500, count))]
        await asyncio.sleep(0)
    await eventually(lambda: client.statistics().open == count)
    return client, tasks


# --- the cost -------------------------------------------------------------------------------------------------

KEYED: dict[str, Any] = {"key": lambda data: bytes(data[-4:])}
STRAY: dict[str, tuple[dict[str, Any], int, Callable[[meta.UDPClient, int], meta.MessageUDPError]]] = {
    "about another peer": (
        {"connected": False},
        4,
        lambda client, number: report((*ELSEWHERE[:1], number), errno.ECONNREFUSED),
    ),
    "about another peer, where anybody may answer": (
        {"connected": False, "any_source": True},
        4,
        lambda client, number: report((*ELSEWHERE[:1], number), errno.ECONNREFUSED),
    ),
    "too long for a path that takes all": (
        {},
        4,
        lambda client, number: report(client.peer_address, errno.EMSGSIZE, mtu=1000 + number % 1000),
    ),
    "too long for a path that takes all, long requests": (
        {},
        900,
        lambda client, number: report(client.peer_address, errno.EMSGSIZE, mtu=1000 + number % 1000),
    ),
    "quoting a request that is not open": (
        {**KEYED, "error_queue": True},
        4,
        lambda client, number: report(client.peer_address, errno.ECONNREFUSED, (2**31 + number).to_bytes(4)),
    ),
    "too long, quoting a request that is not": (
        {**KEYED, "error_queue": True},
        4,
        lambda client, number: report(client.peer_address, errno.EMSGSIZE, (number % 10).to_bytes(4), 576),
    ),
}


async def cost(client: meta.UDPClient, make: Callable[[meta.UDPClient, int], meta.MessageUDPError]) -> float:
    """Nanoseconds of the processor that one report takes, in the best of many rounds."""
    best = float("inf")
    reports = client._exchange._reports
    for round_number in range(30):
        made = [make(client, 100 * round_number + number) for number in range(100)]
        begin = time.thread_time_ns()
        for one in made:
            reports.add(one)
        reports.readable()
        best = min(best, (time.thread_time_ns() - begin) / 100)
    return best


@pytest.mark.serial
@pytest.mark.once
@pytest.mark.parametrize("kind", STRAY)
async def test_an_icmp_error_that_is_about_no_request_costs_the_same_however_many_are_open(
    kind: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    options, length, make = STRAY[kind]
    few, few_tasks = await opened(node, probe, peer, 10, length, **options)
    many, many_tasks = await opened(node, probe, peer, 10_000, length, **options)
    ratios = []
    for _ in range(5):
        ratios.append((await cost(many, make)) / (await cost(few, make)))
    assert min(ratios) < 2
    assert (few.statistics().open, many.statistics().open) == (10, 10_000)
    assert many.statistics().retransmits == 0
    for task in (*few_tasks, *many_tasks):
        task.cancel()
    await asyncio.wait((*few_tasks, *many_tasks))


async def test_equal_reports_are_one(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer, key=by_id, retries=5)
    task, _ = await asked(node, alias, peer, b"01" + bytes(1000))
    tell(client, *[report(client.peer_address, errno.EMSGSIZE, mtu=600)] * 100)
    await settled(client)
    await counted(client, retransmits=1, open=1)
    task.cancel()
    await asyncio.wait([task])


async def test_forged_reports_do_not_fill_the_memory_while_datagrams_are_read(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, key=by_id, error_queue=True)
    task, source = await asked(node, alias, peer, b"01")
    forged = [
        report(client.peer_address, errno.ECONNREFUSED, number.to_bytes(4)) for number in range(10**6, 10**6 + 5000)
    ]
    tell(client, *forged)
    assert len(client._exchange._reports._waiting) == 1024
    await settled(client)
    peer.send(b"01", source)
    assert (await task).data == b"01"


# --- who is failed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"02", b"01 another payload", b"", b"0"], ids=["key", "payload", "none", "part"])
async def test_a_report_that_quotes_no_open_request_fails_none_that_has_a_key(
    data: bytes, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, key=by_id, error_queue=True)
    task, source = await asked(node, alias, peer, b"01 question")
    tell(client, report(client.peer_address, errno.ECONNREFUSED, data))
    await settled(client)
    if not data:  # a router quotes the headers only: it may be any
        with pytest.raises(gen.PeerRefused):
            await task
        return
    peer.send(b"01 answer", source)
    assert (await task).data == b"01 answer"
    check_account(client)


async def test_a_report_that_quotes_an_open_request_fails_all_to_that_peer_that_were_open(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    with UDPPeer() as other:
        client, alias = await open_client(probe, peer, key=by_id, connected=False, error_queue=True)
        first, _ = await asked(node, alias, peer, b"01 question")
        second, _ = await asked(node, alias, peer, b"02 question")
        away, source = await asked(node, alias, other, meta.UDPRequest(b"01 question", to=other.address))
        tell(client, report(peer.address, errno.ECONNREFUSED, b"01 ques"))
        later = asyncio.ensure_future(asked(node, alias, peer, b"03 question"))
        for task in (first, second):
            with pytest.raises(gen.PeerRefused):
                await task
        task, _ = await later
        other.send(b"01 answer", source)
        peer.send(b"03 answer", source)
        assert [(await away).data, (await task).data] == [b"01 answer", b"03 answer"]
        check_account(client)


async def test_a_report_of_one_that_was_too_long_sends_that_one_again_and_no_other(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, key=by_id, error_queue=True, retries=1)
    tasks = [(await asked(node, alias, peer, b"%02d" % number + bytes(1000)))[0] for number in range(3)]
    for _ in range(3):
        tell(client, report(client.peer_address, errno.EMSGSIZE, b"01" + bytes(500), 600))
        await settled(client)
    with pytest.raises(gen.PeerUnreachable):
        await tasks[1]
    assert (await peer.receive())[0][:2] == b"01"
    await counted(client, retransmits=1, open=2, refused=1)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.wait(tasks)


async def test_requests_without_a_key_are_failed_by_peer(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client, alias = await open_client(probe, peer, key=by_id, error_queue=True)
    keyed, source = await asked(node, alias, peer, b"01 question")
    any_reply = meta.UDPRequest(b"02 question", match=lambda request, reply: reply.data[:2] == b"02")
    matched, _ = await asked(node, alias, peer, any_reply)
    tell(client, report(client.peer_address, errno.ECONNREFUSED, b"02 question"))
    with pytest.raises(gen.PeerRefused):
        await matched
    peer.send(b"01", source)
    assert (await keyed).data == b"01"
    check_account(client)
