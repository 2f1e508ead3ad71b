"""Nodes find each other, and messages and calls pass between them."""

from __future__ import annotations

import logging

import pytest

import homing
from homing import gen
from homing.cluster import wire
from homing.cluster.engine import SIGNALS, Peer

from .nodes import Keeper, Reading, behavior_of, members, until, virtual


@virtual
async def test_nodes_of_a_cluster_see_each_other() -> None:
    async with members("a", "b", "c") as (a, b, c):
        assert sorted(info.name for info in a.cluster.nodes()) == ["b@localhost", "c@localhost"]
        assert b.node.cluster is b.cluster
        assert c.cluster.node("a@localhost").up


@virtual
async def test_a_message_arrives_equal_and_with_the_senders_address() -> None:
    async with members("a", "b") as (a, b):
        message = Reading("pump", 1.5, 7)
        a.keeper.send(b.pid, message)
        a.keeper.send(gen.ProcessID("keeper", "b@localhost"), "by name")
        await until(lambda: len(b.messages) == 2)
        assert b.keeper.got == [(a.pid, message), (a.pid, "by name")]


@virtual
async def test_a_call_is_answered() -> None:
    async with members("a", "b") as (a, b):
        assert await a.node.call(b.pid, "question") == "answer to question"
        assert await a.keeper.call(gen.ProcessID("keeper", "b@localhost"), "other") == "answer to other"


@virtual
async def test_open_calls_fail_when_the_node_goes_down() -> None:
    async with members("a", "b") as (a, b):
        a.engine.network.freeze("b@localhost")
        with pytest.raises(gen.NodeDown):
            await a.node.call(b.pid, "question", timeout=60.0)
        assert a.cluster.nodes() == []
        with pytest.raises(gen.NodeUnknown):
            a.node.send(b.pid, "too late")


@virtual
async def test_a_node_that_stops_is_down_for_the_others_at_once() -> None:
    async with members("a", "b") as (a, b):
        await b.node.stop()
        await until(lambda: not a.cluster.links, 0.1)


@virtual
async def test_a_node_is_in_no_cluster_until_it_joins_one() -> None:
    async with homing.start_node("a@localhost") as node:
        with pytest.raises(gen.NotAllowed, match=r"homing\.cluster\.join"):
            node.cluster  # noqa: B018


@virtual
async def test_what_stays_on_a_node_never_asks_for_the_others() -> None:
    async with members("a", "b") as (a, _):
        registry = a.node._core.registry
        elsewhere, registry.elsewhere = registry.elsewhere, object()  # which has none of the methods
        try:
            sender = behavior_of(a.node, await a.node.spawn(Keeper))
            for to in (a.pid, "keeper"):
                sender.send(to, "local")
                assert await sender.call(to, "asked") == "answer to asked"
        finally:
            registry.elsewhere = elsewhere
        assert a.messages == ["local", "asked"] * 2


@virtual
async def test_a_node_that_says_that_it_leaves_is_down_without_a_fault_of_the_connection() -> None:
    class Watcher(Keeper):
        def init(self) -> None:
            super().init()
            self.monitor_node("b@localhost")

    async with members("a", "b") as (a, b):
        watcher = behavior_of(a.node, await a.node.spawn(Watcher))
        b.cluster.links["a@localhost"].post(wire.Bye(wire.LEFT), SIGNALS)
        await until(lambda: watcher.got)
        ((_, notice),) = watcher.got
        assert isinstance(notice.reason, gen.NodeDown)
        assert "it has left the cluster" in str(notice.reason)
        assert a.cluster._resets == {}


def test_the_log_tells_which_nodes_come_and_which_go_and_why(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    def told() -> list[tuple[str, str]]:
        """What `a` has logged of the others."""
        return [
            (record.levelname, record.getMessage())
            for record in caplog.records
            if "of the cluster 'test'" in record.getMessage() and "'a@localhost'" not in record.getMessage()
        ]

    @virtual
    async def test() -> None:
        async with members("a", "b") as (a, b):
            assert told() == [("INFO", "node 'b@localhost' of the cluster 'test' is up")]
            b.cluster.links["a@localhost"].post(wire.Bye(wire.LEFT), SIGNALS)
            await until(lambda: not a.cluster.links)
            assert told()[1:] == [("INFO", "node 'b@localhost' of the cluster 'test' has left")]
        async with members("a", "b") as (a, b):
            caplog.clear()
            a.engine.network.freeze("b@localhost")
            await until(lambda: not a.cluster.links)
            ((level, text),) = told()
            assert level == "WARNING"
            assert text.startswith("node 'b@localhost' of the cluster 'test' is down: ")
        async with members("a", "b") as (a, b):
            caplog.clear()
            await a.cluster.leave()
            assert told() == []

    test()


def test_who_cannot_join_or_leaves_logs_no_process_that_was_killed(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def taken(own: Peer, receiver: object) -> None:
        raise gen.NodeTaken(own.name, 1, "tcp/127.0.0.1:7447")

    caplog.set_level(logging.INFO)

    @virtual
    async def test() -> None:
        async with members("a", "b") as (a, b):
            async with homing.start_node("c@localhost") as other:
                engine = a.engine.network.engine()
                monkeypatch.setattr(engine, "open", taken)
                with pytest.raises(gen.NodeTaken):
                    await homing.cluster.join(other, gen.ClusterOptions(name="test"), engine=engine)
            await b.cluster.leave()
            await until(lambda: not a.cluster.links)
            await until(lambda: b.node.info().processes == 1)

    test()
    assert "Notices" not in caplog.text
