"""DTLS on bad lines: loss and reordering, in virtual time and by netem, and hellos with forged sources."""

from __future__ import annotations

import asyncio
import gc
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.meta.dtls.records import hello_random_untrusted
from homing.testing import FakeNetwork, run_virtual

from ...faults.networks import Network, network, spoof
from ...faults.relay import SERVER as LINE_SERVER
from ...faults.relay import bad_line, needs_line
from ...support import DEADLINE, Probe, eventually
from ..servers import HOST, balanced, needs_namespaces
from .flights import Flights
from .pki import PSK, Echo, ask, ca, client_options, connect, device, issued, open_echo, own, server_options

SERVER = ("10.0.0.1", 5684)
CLIENTS = 12
ASKED = 20


class Asker(act.Actor):
    """Asks a server, one question after the other, and keeps the answers."""

    async def init(self, host: str, answers: list[bytes], done: Any, keys: dict[str, Any]) -> None:
        options = {**keys, "handshake_timeout": 60.0, "local_host": host, "retries": 8, "max_timeout": 4.0}
        self.client = meta.create_dtls_client(meta.DTLSClientOptions(host=SERVER[0], port=SERVER[1], **options))
        await self.spawn_meta(self.client)
        self.answers, self.done = answers, done
        self.send(self.pid, 0)

    async def handle_message(self, sender: gen.PID, number: Any) -> None:
        if isinstance(number, meta.MessageUDP):
            return  # a late answer
        data = b"%d" % number
        self.answers.append((await self.call(self.client.alias, data, timeout=100.0)).data)
        if number + 1 < ASKED:
            self.send(self.pid, number + 1)
        else:
            self.done.release()

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> meta.DTLSClient:
        return self.client


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("how", ["certificates", "keys"])
def test_sessions_begin_and_live_on_a_line_that_loses_and_reorders(how: str, seed: int) -> None:
    keys: dict[str, Any] = {"psk": PSK} if how == "keys" else {**issued(SERVER[0]), "client_ca": ca()}
    own_keys: dict[str, Any] = {"psk": ("sensor-7", PSK["sensor-7"])} if how == "keys" else {"ca": ca(), **device()}
    answers: list[list[bytes]] = [[] for _ in range(CLIENTS)]
    found: list[Any] = []

    async def main() -> None:
        with FakeNetwork(seed=seed, loss=0.05, reorder=0.1, duplicate=0.02, delay=0.01):
            async with homing.start_node("test@localhost") as node:
                server, _ = await open_echo(node, host=SERVER[0], port=SERVER[1], handshake_timeout=60.0, **keys)
                done = asyncio.Semaphore(0)
                clients = []
                for number in range(CLIENTS):
                    clients.append(await node.spawn(Asker, f"10.0.1.{number}", answers[number], done, own_keys))
                for _ in clients:
                    await done.acquire()
                found.append(server.statistics())
                balanced(server)
                for pid in clients:
                    balanced(await node.call(pid, "client"))

    run_virtual(main)
    assert answers == [[b"%d" % number for number in range(ASKED)]] * CLIENTS
    (statistics,) = found
    assert statistics.handshakes_failed == dict.fromkeys(statistics.handshakes_failed, 0)
    assert statistics.handshakes_completed >= CLIENTS


# --- networks of the kernel ----------------------------------------------------------------------------------

NETEM = "ip link set lo up; tc qdisc add dev lo root netem delay 1ms 1ms loss 5% reorder 25% 50%"


@pytest.fixture
def netem() -> Iterator[Network]:
    try:
        made = Network(NETEM)
    except subprocess.CalledProcessError:
        pytest.skip("this kernel has no netem")
    yield made
    made.close()


@pytest.fixture
def alone() -> Iterator[Network]:
    with network() as made:
        yield made


@needs_namespaces
async def test_sessions_begin_and_live_under_netem(netem: Network, node: homing.Node, probe: Probe) -> None:
    server = netem.do(meta.create_dtls_server, server_options(handshake_timeout=60.0, mtu=400))
    await node.spawn(Echo, server)
    more: dict[str, Any] = {"handshake_timeout": 60.0, "timeout": 0.1, "retries": 20, "max_timeout": 0.5, "mtu": 400}
    clients = []
    for _ in range(10):
        client = netem.do(lambda: meta.create_dtls_client(meta.DTLSClientOptions(**client_options(server, **more))))
        await probe.do(lambda actor, client=client: actor.spawn_meta(client))
        clients.append(client)
    for number in range(20):
        async with asyncio.timeout(2 * DEADLINE):
            answers = await asyncio.gather(
                *(node.call(client.alias, b"%d" % number, timeout=2 * DEADLINE) for client in clients)
            )
        assert {bytes(answer.data) for answer in answers} <= {b"%d" % n for n in range(number + 1)}
    assert server.statistics().handshakes_failed["timeout"] == 0
    balanced(server)


@needs_line
async def test_sessions_begin_and_live_between_two_networks_with_a_bad_line(node: homing.Node, probe: Probe) -> None:
    """The kernel's sockets and OpenSSL's own timers: a lost flight costs a second."""
    with bad_line(1, lost=0.05, held_back=0.1) as line:
        keys = issued(LINE_SERVER)
        server = line.server.do(
            meta.create_dtls_server, server_options(**keys, host=LINE_SERVER, handshake_timeout=60.0, mtu=400)
        )
        await node.spawn(Echo, server)
        more: dict[str, Any] = {
            "handshake_timeout": 60.0,
            "timeout": 0.1,
            "retries": 50,
            "max_timeout": 0.2,
            "mtu": 400,
        }
        options = client_options(server, **more)
        clients = []
        for _ in range(6):
            client = line.client.do(lambda: meta.create_dtls_client(meta.DTLSClientOptions(**options)))
            await probe.do(lambda actor, client=client: actor.spawn_meta(client))
            clients.append(client)
        for _ in range(10):
            asked = [node.call(client.alias, b"x", timeout=2 * DEADLINE) for client in clients]
            assert {bytes(answer.data) for answer in await asyncio.gather(*asked)} == {b"x"}
        balanced(server)


@needs_namespaces
async def test_ten_thousand_forged_hellos_cost_no_state_and_are_answered_by_less(
    alone: Network, node: homing.Node, probe: Probe
) -> None:
    server = alone.do(meta.create_dtls_server, server_options(hello_limit=None, receive_buffer=1 << 20))
    await node.spawn(Echo, server)
    client = alone.do(lambda: meta.create_dtls_client(meta.DTLSClientOptions(**client_options(server))))
    await probe.do(lambda actor: actor.spawn_meta(client))
    assert await ask(probe, client, b"before") == b"before"
    hello = Flights().hello()
    before = server.statistics()
    gc.collect()
    objects = len(gc.get_objects())

    def flood(first: int) -> None:
        for number in range(first, first + 500):
            source = f"127.{number >> 8 & 255}.{number & 255}.9", 1024 + number
            spoof(source, (HOST, server.local_address[1]), hello)

    for first in range(0, 10_000, 500):
        alone.do(flood, first)
        await eventually(
            lambda first=first: (
                server.statistics().packets_in - before.packets_in + (server.statistics().kernel_drops or 0)
                >= first + 500
            )
        )
    after = server.statistics()
    answered = after.cookies_sent - before.cookies_sent
    assert answered + (after.kernel_drops or 0) == 10_000
    assert answered > 5_000
    assert (after.handshakes, after.handshakes_open, after.sessions) == (1, 0, 1)
    assert after.bytes_out - before.bytes_out <= after.bytes_in - before.bytes_in
    gc.collect()
    assert len(gc.get_objects()) < objects + 1000
    assert await ask(probe, client, b"after") == b"after"
    balanced(server)


@needs_namespaces
async def test_forged_hellos_in_the_name_of_one_network_are_limited(alone: Network, node: homing.Node) -> None:
    limit = meta.RateLimit(rate=0.001, burst=10, prefix4=24, exempt=())
    server = alone.do(meta.create_dtls_server, server_options(hello_limit=limit))
    await node.spawn(Echo, server)
    hello = Flights().hello()

    def flood() -> None:
        for number in range(100):
            spoof((f"127.5.6.{number}", 2000 + number), (HOST, server.local_address[1]), hello)

    alone.do(flood)
    await eventually(lambda: server.statistics().packets_in == 100)
    statistics = server.statistics()
    assert (statistics.cookies_sent, statistics.hellos_limited) == (10, 90)


async def test_a_hello_with_the_cookie_of_another_address_begins_nothing(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_echo(node)
    sessions = server._state.endpoint.sessions  # type: ignore[attr-defined]
    flights = Flights()
    hello = flights.hello()
    random = hello_random_untrusted(hello)
    assert random is not None
    _, answer = sessions._listener.hear(hello, random, (HOST, 1))
    stolen = flights.answer(answer)
    for address in ((HOST, 2), ("127.0.0.2", 1)):
        sessions.hear(meta.MessageUDP(server.alias, address, stolen))
    assert (server.statistics().handshakes, server.statistics().cookies_refused) == (0, 2)
    assert await ask(probe, await connect(probe, server), b"x") == b"x"
    assert server.statistics().cookies_refused == 2


async def test_a_flood_of_hellos_with_right_cookies_is_bounded(node: homing.Node) -> None:
    """An attacker with many addresses of its own completes the first step as often as it likes."""
    server, _ = await open_echo(node, most_handshakes=5, hello_limit=None, **own())
    sessions = server._state.endpoint.sessions  # type: ignore[attr-defined]
    for number in range(50):
        flights = Flights()
        hello = flights.hello()
        address = (HOST, 2000 + number)
        _, answer = sessions._listener.hear(hello, hello_random_untrusted(hello), address)
        sessions.hear(meta.MessageUDP(server.alias, address, flights.answer(answer)))
    statistics = server.statistics()
    assert (statistics.handshakes_open, statistics.handshakes, statistics.hellos_full) == (5, 5, 45)
