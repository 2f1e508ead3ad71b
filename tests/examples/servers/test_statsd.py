"""The statsd server is sent metrics by the clients of statsd and Datadog, and its page is judged by promtool."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from urllib.request import urlopen

import pytest
from datadog.dogstatsd import DogStatsd
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from statsd import StatsClient  # type: ignore[import-untyped]

import homing
from homing import gen

from ...faults.figures import figure
from ...support import DEADLINE, Probe, UDPPeer
from ..fuzz import mutated
from .clients import ask, load, serve, start, terminate

SEED = b"page.views:1|c|@0.5|#site:shop,flag\nload:0.5|g\nwait:12|ms|@0.1\nuser:ann|s\nsize:3|h"


def fetch(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=DEADLINE) as answer:
        text: str = answer.read().decode()
    return text


async def metrics(port: int, lines: int) -> dict[str, float]:
    """The series of the page, by name and labels, when it has counted so many lines."""
    async with asyncio.timeout(DEADLINE):
        while True:
            text = await asyncio.to_thread(fetch, port)
            rows = (line.rpartition(" ") for line in text.splitlines() if line[:1] != "#")
            found = {name.replace(",}", "}").removesuffix("{}"): float(value) for name, _, value in rows}
            if sum(value for name, value in found.items() if name.startswith("statsd_lines_total")) >= lines:
                return found


# --- clients ------------------------------------------------------------------------------------------------


async def test_the_client_statsd_counts_sets_and_measures() -> None:
    async with serve("statsd") as running:
        port = await running.port()
        client = StatsClient("127.0.0.1", port, prefix="shop")
        for _ in range(3):
            client.incr("views")
        client.gauge("load", 7)
        client.gauge("load", -2, delta=True)
        client.timing("wait", 320)
        for name in ("ann", "bob", "ann"):
            client.set("users", name)
        with client.pipeline() as pipe:  # several lines in a datagram
            pipe.incr("views", 4)
            pipe.gauge("load", 3, delta=True)
        client.close()
        found = await metrics(port, 11)
        assert (found["shop_views_total"], found["shop_load"], found["shop_users"]) == (7, 8, 2)
        assert (found["shop_wait_seconds_count"], found["shop_wait_seconds_sum"]) == (1, 0.32)
        assert found['shop_wait_seconds_bucket{le="0.25"}'] == 0
        assert found['shop_wait_seconds_bucket{le="0.5"}'] == 1
        assert await terminate(running) == 0


async def test_the_client_of_datadog_adds_tags_and_distributions() -> None:
    async with serve("statsd") as running:
        port = await running.port()
        client = DogStatsd("127.0.0.1", port, disable_telemetry=True, disable_buffering=True)
        client.increment("page.views", tags=["site:shop", "beta"])
        client.histogram("size", 3, tags=["le:x"])
        client.distribution("size", 30, tags=["le:x"])
        client.event("title", "text")
        client.close_socket()
        found = await metrics(port, 4)
        assert found['page_views_total{beta="yes",site="shop"}'] == 1
        assert found['size_bucket{le="5.0",tag_le="x"}'] == 1
        assert found['size_count{tag_le="x"}'] == 2
        assert found['statsd_lines_total{outcome="malformed"}'] == 1  # the event


async def test_promtool_finds_no_fault_in_the_page() -> None:
    async with serve("statsd") as running:
        port = await running.port()
        await ask("nc", "-u", "-w1", "127.0.0.1", str(port), data=SEED)
        assert len(await metrics(port, 5)) > 30
        assert await ask("promtool", "check", "metrics", data=fetch(port).encode()) == ""


# --- values -------------------------------------------------------------------------------------------------


async def test_sampled_lines_count_as_often_as_they_were_measured(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    port = await start(node, "statsd", capsys)
    peer.send(b"n:3|c|@0.5\nn:1|c\nwait:2|h|@0.1\n", ("127.0.0.1", port))
    found = await metrics(port, 3)
    assert (found["n_total"], found["wait_count"], found["wait_sum"]) == (7, 10, 20)


def test_empty_tags_are_none() -> None:
    parse = load("statsd").parse_untrusted
    assert parse(b"n:1|c|#") == parse(b"n:1|c|#,") == parse(b"n:1|c")
    assert parse(b"n:1|c|#,a:b,") == parse(b"n:1|c|#a:b")


async def test_case_37_statsd_counts_what_it_does_not_understand(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    port = await start(node, "statsd", capsys)
    lines = b"n:1|c\nn:1|g\nn:-1|c\nn:1\nn:nan|g\nn:1e999|c\nn:1|c|@0\nn:1|c|@2\nn:1|x\n:1|c\n\xff:1|c\n\nbig:1e308|c"
    peer.send(lines + b"\nbig:1e308|c", ("127.0.0.1", port))
    await metrics(port, 14)
    counts = await node.inspect("statsd")
    expected = {"accepted": 2, "conflicts": 1, "malformed": 10, "dropped": 1}
    assert counts == expected | {"size": 2 * 100 + len("n_total{}big_total{}"), "kernel_drops": 0}


async def test_case_37_statsd_keeps_no_more_names_than_it_may(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, most = load("statsd"), 20 * 140
    monkeypatch.setattr(module, "MOST", most)
    port = await start(node, "statsd", capsys)
    peer.send(b"one:1|h\n" + b"".join(b"user:%d|s\nn%d:1|c\n" % (n, n) for n in range(10)), ("127.0.0.1", port))
    found = await metrics(port, 21)
    counts = await node.inspect("statsd")
    assert counts["accepted"] + counts["dropped"] == 21
    assert found["user"] > 0 < counts["dropped"]
    assert most - 2 * 120 < counts["size"] <= most
    monkeypatch.setattr(module, "WINDOW", -1.0)
    await asyncio.to_thread(fetch, port)  # members are forgotten now
    rows = [row.rpartition(" ")[0] for row in (await asyncio.to_thread(fetch, port)).splitlines() if row[:1] != "#"]
    assert not any(row.startswith("user") for row in rows)
    kept = sum(100 + len(row) for row in rows if not row.startswith("statsd_"))
    assert (await node.inspect("statsd"))["size"] == kept
    figure(37, "bytes of series that statsd kept of 34, with room for 2,800", counts["size"])


async def test_the_class_of_its_page_publishes_the_metrics_as_an_event(
    node: homing.Node, peer: UDPPeer, probe: Probe, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, page = load("statsd"), Path("docs/cookbook/servers/statsd.md").read_text()  # noqa: ASYNC240
    names = vars(module).copy()
    exec(page.split("# fragment\n")[1].split("```")[0], names)
    monkeypatch.setattr(module, "Statsd", names["Published"])
    port = await start(node, "statsd", capsys)
    await probe.do(lambda actor: actor.link(gen.Event("metrics", node.name)))
    peer.send(b"views:1|c", ("127.0.0.1", port))
    async with asyncio.timeout(DEADLINE):
        while "views" not in (found := (await probe.get()).message):
            pass
    assert found["views"] == ["counter", {"_total{}": 1.0}]


async def test_random_datagrams_and_requests_are_survived_and_a_good_line_counts(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    port, chance = await start(node, "statsd", capsys), random.Random(7)
    for _ in range(200):
        peer.send(mutated(SEED, chance)[:2000], ("127.0.0.1", port))
    for garbage in (b"", b"\n", b"\0" * 5000, b"GET / HTTP/1.1\r\n\r\n" * 100):
        await ask("nc", "-N", "-w1", "127.0.0.1", str(port), data=garbage)
    peer.send(b"good:1|c", ("127.0.0.1", port))
    found = await metrics(port, 400)
    while "good_total" not in found:
        found = await metrics(port, 400)
    assert node.info().crashes == 0


@example(b'n:1|c|#"\\\n')
@given(st.one_of(st.binary(max_size=60), st.text('ab:|cgmshd@#.,1-+_e\\"\0\u2028', max_size=40).map(str.encode)))
def test_any_line_has_finite_values_and_valid_names_or_is_a_value_error(data: bytes) -> None:
    try:
        name, _, _, series = load("statsd").parse_untrusted(data)
    except ValueError:
        return
    text = "".join(f"{name}{key.partition(chr(10))[0]} {value}\n" for key, value in series.items())
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert len(samples) == len(series)
    assert all(abs(sample.value) < float("inf") for sample in samples)
