"""The short forms: `meta.listen_udp` and `meta.connect_udp` create and start with one call."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ..support import Probe, UDPPeer
from .servers import HOST, is_bound

OPTIONS = [(meta.listen_udp, meta.UDPServerOptions), (meta.connect_udp, meta.UDPClientOptions)]


class Echo(act.Actor):
    """Answers each datagram by `reply`, with the info that it is given."""

    async def init(self, opened: list[meta.UDPServer], info: meta.PacketInfo | None = None) -> None:
        self.info = info
        opened.append(await meta.listen_udp(self, host=HOST))

    def handle_message(self, sender: gen.Alias, message: meta.MessageUDP) -> None:
        self.reply(message, b"OK: " + message.data, self.info)


async def test_a_server_is_started_by_one_call_and_knows_its_alias_its_address_and_its_counters(
    node: homing.Node, peer: UDPPeer
) -> None:
    opened: list[meta.UDPServer] = []
    pid = await node.spawn(Echo, opened)
    [server] = opened
    assert await peer.ask(b"hello", server.local_address) == b"OK: hello"
    assert node.meta_info(server.alias).parent == pid
    assert (server.statistics().packets_in, server.statistics().packets_out) == (1, 1)


@pytest.mark.parametrize(("listen", "wrong", "right"), [(True, "prot", "port"), (False, "retrys", "retries")])
async def test_an_option_that_there_is_not_is_named_with_the_one_that_is_alike(
    probe: Probe, listen: bool, wrong: str, right: str
) -> None:
    def mistake(actor: act.Actor) -> None:
        call: Any = meta.listen_udp if listen else meta.connect_udp
        with pytest.raises(TypeError, match=f"^there is no option '{wrong}'; write {right}=$"):
            call(actor, **{wrong: 5})
        with pytest.raises(TypeError, match=r"see meta\.UDP(Server|Client)Options for all options"):
            call(actor, xyzzy=5)

    await probe.do(mistake)


async def test_a_server_and_a_client_show_their_address(probe: Probe, peer: UDPPeer) -> None:
    server = await probe.do(lambda actor: meta.listen_udp(actor, host=HOST))
    assert repr(server) == f"<UDPServer {HOST}:{server.local_address[1]}>"
    client = await probe.do(lambda actor: meta.connect_udp(actor, host=HOST, port=peer.address[1]))
    assert repr(client) == f"<UDPClient of {HOST}:{peer.address[1]}>"


async def test_a_client_is_started_by_one_call_and_asks_by_its_alias(node: homing.Node, probe: Probe) -> None:
    opened: list[meta.UDPServer] = []
    await node.spawn(Echo, opened)
    host, port = opened[0].local_address

    async def ask(actor: act.Actor) -> bytes:
        client = await meta.connect_udp(actor, host=host, port=port)
        assert client.peer_address == (host, port)
        reply = await actor.call(client.alias, b"hello")
        assert client.statistics().replies == 1
        return bytes(reply.data)

    assert await probe.do(ask) == b"OK: hello"


@pytest.mark.skipif(sys.platform != "linux", reason="what goes with a packet is Linux only")
async def test_a_reply_may_have_info_of_its_own(node: homing.Node, probe: Probe) -> None:
    opened: list[meta.UDPServer] = []
    await node.spawn(Echo, opened, meta.PacketInfo(ttl=7))
    asker = await probe.do(lambda actor: meta.listen_udp(actor, host=HOST, receive_ttl=True))
    question = meta.MessageUDP(addr=opened[0].local_address, data=b"hello")
    await probe.do(lambda actor: actor.send(asker.alias, question))
    answer: meta.MessageUDP = await probe.get()
    assert (answer.data, answer.info) == (b"OK: hello", meta.PacketInfo(ttl=7))


async def test_what_is_no_datagram_cannot_be_replied_to_and_the_error_says_how_a_request_is_answered(
    probe: Probe,
) -> None:
    def reply(actor: act.Actor) -> None:
        with pytest.raises(gen.BadOption, match="return from handle_call"):
            actor.reply({"no": "datagram"}, b"")

    await probe.do(reply)


async def test_a_datagram_may_be_sent_without_an_id(probe: Probe, peer: UDPPeer) -> None:
    server = await probe.do(lambda actor: meta.listen_udp(actor, host=HOST))
    await probe.do(lambda actor: actor.send(server.alias, meta.MessageUDP(addr=peer.address, data=b"hello")))
    assert await peer.receive() == (b"hello", server.local_address)


def test_a_datagram_without_data_is_refused_at_once_and_an_empty_one_is_not() -> None:
    address = ("127.0.0.1", 9)
    with pytest.raises(gen.BadOption, match=r"give the payload, as in MessageUDP\(addr="):
        meta.MessageUDP(addr=address)
    with pytest.raises(gen.BadOption, match="give the payload"):
        meta.MessageUDP(address, b"the address is in the place of the id")
    assert meta.MessageUDP(addr=address, data=b"").data == b""


@pytest.mark.parametrize(("function", "options"), OPTIONS)
def test_the_keywords_are_the_options_with_their_defaults(function: Any, options: Any) -> None:
    owner, *keywords = inspect.signature(function).parameters.values()
    assert owner.kind is owner.POSITIONAL_ONLY
    assert keywords == list(inspect.signature(options).parameters.values())


@pytest.mark.parametrize("owner", [None, act.Actor, "self"])
@pytest.mark.parametrize(("function", "options"), OPTIONS)
def test_what_can_own_no_socket_is_refused_with_what_to_write(owner: Any, function: Any, options: Any) -> None:
    with pytest.raises(gen.BadOption, match=rf"await meta\.{function.__name__}\(self, \.\.\.\)"):
        function(owner, host=HOST, port=9)


@pytest.mark.parametrize(("function", "options"), OPTIONS)
async def test_a_wrong_option_is_named(function: Any, options: Any, probe: Probe) -> None:
    def call(actor: act.Actor) -> None:
        with pytest.raises(gen.BadOption, match="port='ninety': give an integer"):
            function(actor, host=HOST, port="ninety")
        with pytest.raises(TypeError, match="prot"):
            function(actor, host=HOST, prot=9)

    await probe.do(call)


async def test_where_it_cannot_be_started_the_socket_is_closed(node: homing.Node) -> None:
    made: list[meta.UDPServer] = []

    class Refuses(act.Actor):
        async def spawn_meta(self, behavior: Any, options: gen.MetaOptions | None = None) -> gen.Alias:
            made.append(behavior)
            assert is_bound(behavior.local_address)
            raise gen.NotAllowed("not today")

        async def init(self) -> None:
            await meta.listen_udp(self, host=HOST)

    with pytest.raises(gen.NotAllowed, match="not today"):
        await node.spawn(Refuses)
    assert not is_bound(made[0].local_address)


async def test_on_a_thread_of_its_own_a_process_listens_and_replies_alike(node: homing.Node, peer: UDPPeer) -> None:
    opened: list[meta.UDPServer] = []
    await node.spawn(Echo, opened, options=gen.ProcessOptions(thread=True))
    assert await peer.ask(b"hello", opened[0].local_address) == b"OK: hello"


def test_before_the_start_there_is_no_alias_and_the_error_says_how_to_get_one() -> None:
    server = meta.create_udp_server(meta.UDPServerOptions(host=HOST))
    with server, pytest.raises(gen.NotAllowed, match="spawn_meta"):
        server.alias  # noqa: B018
    client = meta.create_udp_client(meta.UDPClientOptions(host=HOST, port=9))
    with client, pytest.raises(gen.NotAllowed, match="spawn_meta"):
        client.alias  # noqa: B018
