"""/metrics, for Prometheus and OpenMetrics."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

import prometheus_client
import pytest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

import homing
from homing import act, gen, meta, observe
from homing.observe import measuring
from homing.observe.http import bridge, endpoints
from homing.observe.http.options import HTTPOptions
from homing.observe.http.server import HTTPServer
from homing.observe.http.start import serve as serve_observer
from tests.support import eventually, free_port

from ..clusters import Clusters, info
from .asking import Reply, ask, ask_blocking, samples, samples_of, value

Serve = Callable[..., HTTPServer]


class Server(act.Actor):
    """Owns a UDP server. statistics: its counters."""

    async def init(self, port: int, options: dict[str, Any]) -> None:
        server = meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1", port=port, **options))
        self.statistics = server.statistics
        self.address = server.local_address
        await self.spawn_meta(server)

    def handle_message(self, sender: Any, message: Any) -> None:
        if isinstance(message, Exception):
            raise message
        if type(message) is meta.MessageUDP:
            self.send(message.id, message.reply(b"reply"))

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return self.statistics()


async def start(node: homing.Node, **options: Any) -> tuple[gen.PID, str]:
    """A server at a port of its own, and its label."""
    port = free_port()
    return await node.spawn(Server, port, options), f"127.0.0.1:{port}"


async def flood(node: homing.Node, pid: gen.PID, label: str, count: int) -> meta.Statistics:
    """Sends datagrams, and returns the counters when the kernel has given all away."""
    host, _, port = label.partition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        before = (await node.call(pid, "statistics")).packets_in
        for _ in range(count):
            sender.sendto(b"12345", (host, int(port)))
        while (found := await node.call(pid, "statistics")).packets_in < before + count:
            pass
    return found


async def test_the_counters_of_a_socket_are_those_of_its_statistics(node: homing.Node, serve: Serve) -> None:
    pid, label = await start(node)
    counted = await flood(node, pid, label, 20)
    found = await samples(serve())
    assert value(found, "homing_socket_received_packets_total", socket=label) == 20
    assert value(found, "homing_socket_received_bytes_total", socket=label) == 100
    assert value(found, "homing_socket_delivered_packets_total", socket=label) == counted.delivered == 20
    assert value(found, "homing_socket_sent_packets_total", socket=label) == 20
    assert value(found, "homing_socket_receive_buffer_bytes", socket=label) > 0
    assert value(found, "homing_socket_open_sockets", socket=label) == 1


async def test_every_datagram_is_under_exactly_one_cause(node: homing.Node, serve: Serve) -> None:
    limit = meta.RateLimit(rate=5.0, burst=5, exempt=())
    pid, label = await start(node, rate_limit=limit, deny=("127.0.0.2/32",))
    counted = await flood(node, pid, label, 50)
    found = await samples(serve())
    dropped = {
        dict(labels)["cause"]: count
        for (name, labels), count in found.items()
        if name == "homing_socket_dropped_packets_total" and dict(labels)["direction"] == "in"
    }
    received = value(found, "homing_socket_received_packets_total", socket=label)
    delivered = value(found, "homing_socket_delivered_packets_total", socket=label)
    assert dropped["rate_limit"] == counted.limited > 0
    assert received == delivered + sum(dropped.values()) - dropped.get("kernel", 0)


async def test_causes_that_have_not_happened_are_there_with_0(node: homing.Node, serve: Serve) -> None:
    _, label = await start(node)
    found = await samples(serve())
    name = "homing_socket_dropped_packets_total"
    assert value(found, name, socket=label, direction="in", cause="receiver_full") == 0


async def test_counters_do_not_go_down_when_a_socket_closes_and_opens_again(node: homing.Node, serve: Serve) -> None:
    server = serve()
    pid, label = await start(node)
    await flood(node, pid, label, 10)
    assert value(await samples(server), "homing_socket_received_packets_total", socket=label) == 10
    node.send(pid, ValueError("crash"))
    await eventually(lambda: pid not in node.processes())
    found = await samples(server)
    assert value(found, "homing_socket_received_packets_total", socket=label) == 10
    assert value(found, "homing_socket_open_sockets", socket=label) == 0
    again = await node.spawn(Server, int(label.partition(":")[2]), {})
    await flood(node, again, label, 3)
    assert value(await samples(server), "homing_socket_received_packets_total", socket=label) == 13


async def test_packets_between_the_last_scrape_and_the_end_of_a_socket_count(node: homing.Node, serve: Serve) -> None:
    server = serve()
    pid, label = await start(node)
    await flood(node, pid, label, 10)
    await samples(server)
    await flood(node, pid, label, 5)
    node.send(pid, ValueError("crash"))
    await eventually(lambda: pid not in node.processes())
    assert value(await samples(server), "homing_socket_received_packets_total", socket=label) == 15
    assert value(await samples(server), "homing_socket_received_packets_total", socket=label) == 15


async def test_a_socket_that_a_successor_adopts_is_counted_once(node: homing.Node, serve: Serve) -> None:
    server = serve()
    pid, label = await start(node, linger=60)
    await flood(node, pid, label, 10)
    await samples(server)
    node.send(pid, ValueError("crash"))
    await eventually(lambda: pid not in node.processes())
    assert value(await samples(server), "homing_socket_received_packets_total", socket=label) == 10
    again = await node.spawn(Server, int(label.partition(":")[2]), {"linger": 60})
    assert value(await samples(server), "homing_socket_received_packets_total", socket=label) == 10
    await flood(node, again, label, 3)
    assert value(await samples(server), "homing_socket_received_packets_total", socket=label) == 13


async def test_packets_are_counted_once_if_two_ask_at_once(node: homing.Node) -> None:
    sockets = [await start(node) for _ in range(measuring.PORTION + 1)]
    pid, label = sockets[0]
    await flood(node, pid, label, 10)
    observer = observe.Observer(node)
    await asyncio.gather(observer.ask({"what": "metrics"}), observer.ask({"what": "metrics"}))
    found = await observer.ask({"what": "metrics"})
    assert {sums["packets_in"] for sums in found["sockets"] if sums["socket"] == label} == {10}


async def test_sockets_with_a_port_of_the_system_share_a_label(node: homing.Node, serve: Serve) -> None:
    for _ in range(3):
        await node.spawn(Server, 0, {})
    found = await samples(serve())
    assert value(found, "homing_socket_open_sockets", socket="client") == 3


async def test_labels_of_sockets_are_bounded(node: homing.Node, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "MOST_SOCKETS", 2)
    for _ in range(4):
        await start(node)
    found = await samples(serve())
    labels = {dict(labels)["socket"] for name, labels in found if name == "homing_socket_open_sockets"}
    assert len(labels) == 3
    assert value(found, "homing_socket_open_sockets", socket="other") == 2


class Sleeper(act.Actor):
    async def handle_message(self, sender: Any, message: Any) -> None:
        await message.wait()


async def test_ten_thousand_names_make_a_bounded_number_of_labels(node: homing.Node, serve: Serve) -> None:
    for number in range(10_000):
        await node.spawn(act.Actor, name=f"process {number}")
    found = await samples(serve())
    labels = {dict(labels)["name"] for name, labels in found if name == "homing_process_waiting_messages"}
    assert len(labels) == measuring.MOST_NAMES + 1
    assert "other" in labels


async def test_a_process_of_the_name_of_the_rest_is_counted_there(node: homing.Node, serve: Serve) -> None:
    await node.spawn(act.Actor, name="other")
    await node.spawn(act.Actor, name="mine")
    found = await samples(serve())
    assert value(found, "homing_process_waiting_messages", name="other") == 0
    assert value(found, "homing_process_waiting_messages", name="mine") == 0


async def test_what_waits_at_a_name_shows(node: homing.Node, serve: Serve) -> None:
    go = asyncio.Event()
    pid = await node.spawn(Sleeper, name="slow")
    for _ in range(4):
        node.send(pid, go)
    server = serve()
    await eventually(lambda: node.process_info(pid).mailbox.main == 3)
    assert value(await samples(server), "homing_process_waiting_messages", name="slow") == 3
    go.set()


NAMES = ['quo"te', "back\\slash", "new\nline", "\ud800 surrogate", "ünï", "{a=b}"]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
async def test_any_registered_name_can_be_a_label(node: homing.Node, serve: Serve, name: str) -> None:
    await node.spawn(act.Actor, name=name)
    found = await samples(serve())
    expected = name.encode("utf-8", "backslashreplace").decode()
    assert value(found, "homing_process_waiting_messages", name=expected) == 0


async def test_own_checks_and_those_of_the_node_are_metrics(node: homing.Node, serve: Serve) -> None:
    server = serve()
    node.health("db", False)
    node.health("cache", True)
    found = await samples(server)
    assert value(found, "homing_health_check", check="db") == 0
    assert value(found, "homing_health_check", check="cache") == 1
    assert value(found, "homing_health_check", check="loop") == 1


async def test_checks_of_one_name_are_one_metric_that_fails_if_one_does(node: homing.Node, serve: Serve) -> None:
    class Worker(act.Actor):
        def init(self, ok: bool) -> None:
            self.health("db", ok)

    await node.spawn(Worker, True)
    await node.spawn(Worker, False)
    await node.spawn(Worker, True)
    assert value(await samples(serve()), "homing_health_check", check="db") == 0


async def test_the_connections_to_the_other_nodes_of_a_cluster(
    node: homing.Node, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    assert not [name for name, _ in await samples(server) if name.startswith("homing_cluster_")]
    member = Clusters(monkeypatch).join(node)
    member.infos = [info("b@h", messages_in=7, undelivered={"mailbox_full": 2}), info("c@h", up=False, rtt=None)]
    found = await samples(server)
    assert value(found, "homing_cluster_nodes", cluster="prod") == 2
    assert value(found, "homing_cluster_received_messages_total", peer="b@h") == 7
    assert value(found, "homing_cluster_undelivered_messages_total", peer="b@h", cause="mailbox_full") == 2
    assert [value(found, "homing_cluster_up", peer=peer) for peer in ("b@h", "c@h")] == [1, 0]
    assert ("homing_cluster_rtt_seconds", frozenset({("peer", "c@h")})) not in found


async def test_the_nodes_own_counters(node: homing.Node, serve: Serve) -> None:
    server = serve()
    found = await samples(server)
    info = node.info()
    assert value(found, "homing_node_processes") == info.processes
    assert value(found, "homing_node_crashes_total") == 0
    assert value(found, "homing_node_stalls_total") == info.stalls
    assert value(found, "homing_node_uptime_seconds") > 0
    assert value(found, "homing_node_facts_age_seconds") == 0
    assert value(found, "homing_queue_age_seconds_count") >= 0
    assert value(found, "homing_handling_seconds_count") >= 0


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "SILENT_SECONDS", 0.05)


@pytest.mark.usefixtures("impatient")
async def test_a_blocked_node_shows_its_last_facts_with_their_age(node: homing.Node, serve: Serve) -> None:
    server = serve(live_seconds=0.1)
    await ask(server, "/metrics")
    found = blocked_samples(server)
    assert value(found, "homing_health_check", check="loop") == 0
    assert value(found, "homing_node_facts_age_seconds") > 0.5
    assert value(found, "homing_node_processes") == node.info().processes


async def test_a_scrape_does_not_wait_long_for_a_loop_that_has_just_been_blocked(
    node: homing.Node, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "METRICS_SECONDS", 0.1)
    server = serve()
    await ask(server, "/metrics")
    began = time.monotonic()
    found = samples_of(ask_blocking(server, "/metrics"))  # blocks the loop meanwhile
    assert time.monotonic() - began < endpoints.ANSWER_SECONDS
    assert value(found, "homing_node_facts_age_seconds") > 0


@pytest.mark.usefixtures("impatient")
async def test_a_node_blocked_from_the_start_shows_that_it_does_not_answer(node: homing.Node, serve: Serve) -> None:
    found = blocked_samples(serve(live_seconds=0.1))
    assert value(found, "homing_health_check", check="loop") == 0


def blocked_samples(server: HTTPServer) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The samples while the loop is blocked, as this test holds it."""
    replies: list[Reply] = []

    def asking() -> None:
        threading.Event().wait(0.7)  # the server no longer expects an answer
        replies.append(ask_blocking(server, "/metrics"))

    thread = threading.Thread(target=asking)
    thread.start()
    thread.join()
    return samples_of(replies[0])


class Several:
    """Answers like the observer of several nodes. gone: names of those that do not answer."""

    requests: ClassVar[dict[str, Any]] = {}
    streams: ClassVar[dict[str, Any]] = {}

    def __init__(self, node: homing.Node) -> None:
        self._observer = observe.Observer(node)
        self.gone: set[str] = set()

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        answer = await self._observer.ask(request)
        nodes = {name: answer for name in ("a@host", "b@host") if name not in self.gone}
        return {"nodes": nodes, "missing": dict.fromkeys(self.gone, "it does not answer")}


async def test_a_node_of_several_that_does_not_answer_shows_its_last_facts_with_their_age(node: homing.Node) -> None:
    observer: Any = Several(node)
    options = HTTPOptions(port=0)
    server = serve_observer(observer, asyncio.get_running_loop(), options, lambda error: None)
    node.on_stopped(server.close)
    await samples(server)
    observer.gone.add("a@host")
    found = await samples(server)
    assert value(found, "homing_node_facts_age_seconds", node="a@host") > 0
    assert value(found, "homing_node_facts_age_seconds", node="b@host") == 0
    assert ("homing_node_processes", frozenset({("node", "a@host")})) in found


# --- formats ----------------------------------------------------------------------------------------------


async def test_open_metrics_by_the_header_accept(node: homing.Node, serve: Serve) -> None:
    await start(node)
    reply = await ask(serve(), "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert reply.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in parse_openmetrics(reply.body.decode())}
    assert families["homing_socket_dropped_packets"].type == "counter"
    assert families["homing_queue_age_seconds"].type == "histogram"


@pytest.mark.parametrize(
    "accept", ["", "*/*", "application/openmetrics-text; version=x", "text/plain; version=x,;;=", "\xff"]
)
async def test_any_header_accept_gets_metrics(serve: Serve, accept: str) -> None:
    reply = await ask(serve(), "/metrics", headers={"Accept": accept})
    assert reply.status == 200
    assert b"homing_node_processes" in reply.body


# --- registries of the program ----------------------------------------------------------------------------


async def test_metrics_of_the_programs_registries_follow(serve: Serve) -> None:
    registry = prometheus_client.CollectorRegistry()
    prometheus_client.Counter("my_requests", "Requests.", registry=registry).inc(3)
    found = await samples(serve(registries=(registry,)))
    assert value(found, "my_requests_total") == 3
    assert value(found, "homing_failed_registries") == 0


class Raising:
    def collect(self) -> Any:
        raise RuntimeError("not today")


class Doubling:
    def collect(self) -> Any:
        yield GaugeMetricFamily("homing_node_processes", "not ours", value=-1)
        yield GaugeMetricFamily("mine", "ours", value=1)


async def test_a_registry_that_raises_hides_nothing_else(serve: Serve) -> None:
    found = await samples(serve(registries=(Raising(), Doubling())))
    assert value(found, "homing_failed_registries") == 1
    assert value(found, "mine") == 1
    assert value(found, "homing_node_processes") >= 0


@pytest.mark.parametrize("registries", [[], 7, (7,), ("x",)])
async def test_what_is_no_registry_is_refused(node: homing.Node, registries: Any) -> None:
    with pytest.raises(gen.BadOption) as raised:
        observe.start_http(node, port=0, registries=registries)
    assert raised.value.option == "registries"


async def test_metrics_take_no_parameters(serve: Serve) -> None:
    assert (await ask(serve(), "/metrics?name=x")).status == 400
