"""A `match` is code of the program: whatever it does with the client that asks it, each datagram and each request has
one end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import homing
from homing import gen, meta

from ...support import Probe, UDPPeer
from ..servers import error_of
from .clients import asked, check_account, counted, open_client

pytestmark = [pytest.mark.backends]


class Match:
    """Says whether a reply begins with the request; before that, when it is asked about `at`, it does something, once.

    at: the payload of a request. None: the first that it is asked about.
    """

    def __init__(self) -> None:
        self.does: Callable[[], object] | None = None
        self.at: bytes | None = None

    def __call__(self, request: bytes, reply: meta.MessageUDP) -> bool:
        if self.does is not None and self.at in (None, request):
            does, self.does = self.does, None
            does()
        return reply.data.startswith(request)


@pytest.mark.parametrize("reply", [b"1 answer", b"2 answer", b"3 answer"])
async def test_a_match_may_send_a_request(node: homing.Node, probe: Probe, peer: UDPPeer, reply: bytes) -> None:
    match = Match()
    client, alias = await open_client(probe, peer, match=match)
    tasks = {b"%d" % number: (await asked(node, alias, peer, b"%d" % number))[0] for number in (1, 2, 3)}
    more = node.call(alias, b"")  # every reply begins with that; but this came before it was asked
    match.does = lambda: more.send(None)
    peer.send(reply, client.local_address)
    assert (await tasks[reply[:1]]).data == reply
    await counted(client, requests=4, answered=1, open=3, replies=1)
    check_account(client)
    more.close()


@pytest.mark.parametrize("which", [b"1", b"2", b"3"])
async def test_a_match_may_end_a_request_by_asking_again_what_nobody_waits_for(
    node: homing.Node, probe: Probe, peer: UDPPeer, which: bytes
) -> None:
    """A request whose caller has gone ends when a place is needed."""
    match = Match()
    client, alias = await open_client(probe, peer, match=match, max_requests=3)
    calls = {b"%d" % number: node.call(alias, b"%d" % number) for number in (1, 2, 3)}
    for call in calls.values():
        call.send(None)
    for _ in calls:
        await peer.receive()
    more = node.call(alias, b"more")

    def replace() -> None:
        calls[which].close()
        more.send(None)

    match.does = replace
    peer.send(which + b" too late", client.local_address)
    await counted(client, requests=4, cancelled=1, open=3, late=1)
    check_account(client)
    for call in (*calls.values(), more):
        call.close()


@pytest.mark.parametrize("reply", [b"1 answer", b"2 answer", b"stray"])
async def test_a_match_may_end_the_client(node: homing.Node, probe: Probe, peer: UDPPeer, reply: bytes) -> None:
    match = Match()
    client, alias = await open_client(probe, peer, match=match)
    tasks = [(await asked(node, alias, peer, b"%d" % number))[0] for number in (1, 2)]

    match.does = lambda: client.terminate(gen.TerminateNormal())
    peer.send(reply, client.local_address)
    await counted(client, requests=2, cancelled=2, open=0, packets_in=1)
    check_account(client)
    await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateNormal))
    for task in tasks:
        assert isinstance(await error_of(task), gen.MetaTerminated)


async def test_a_match_may_end_a_request_also_when_it_is_asked_about_one_that_has_ended(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    match = Match()
    client, alias = await open_client(probe, peer, match=match, max_requests=1)
    for data in (b"1", b"2"):
        task, source = await asked(node, alias, peer, data)
        peer.send(data, source)
        await task
    given_up, more = node.call(alias, b"given up"), node.call(alias, b"more")
    given_up.send(None)

    def replace() -> None:
        given_up.close()
        more.send(None)

    match.does, match.at = replace, b"2"
    peer.send(b"news", client.local_address)
    assert (await probe.get()).data == b"news"
    await counted(client, requests=4, answered=2, cancelled=1, open=1, stray=1, delivered=1)
    check_account(client)
    more.close()
