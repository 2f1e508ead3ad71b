"""The requests `sockets`, `pools`, `routers`, `supervisors`, `applications`, `events`, `node`, `tree`."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.observe import Observer, inspecting, tree
from homing.observe.tree import look

from ..node.actors import Gate
from ..support import Probe, UDPPeer, eventually
from .test_sampler import longest_step


async def ask(node: homing.Node, what: str, **query: Any) -> dict[str, Any]:
    """The answer, as JSON carries it."""
    answer: dict[str, Any] = json.loads(json.dumps(await Observer(node).ask({"what": what, **query})))
    return answer


def server(**options: Any) -> meta.UDPServer:
    return meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1", **options))


# --- sockets ------------------------------------------------------------------------------------------------


async def test_a_socket_tells_where_each_datagram_has_gone(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    listening = server(deny=("127.0.0.0/8",))
    alias = await probe.do(lambda actor: actor.spawn_meta(listening))
    for _ in range(3):
        peer.send(b"hello", listening.local_address)
    await eventually(lambda: listening.statistics().denied == 3)
    node.send(alias, meta.MessageUDP(None, ("127.0.0.1", 9), b"x" * 65530))
    await eventually(lambda: listening.statistics().send_errors)
    (row,) = (await ask(node, "sockets"))["sockets"]
    assert row["address"] == f"127.0.0.1:{listening.local_address[1]}"
    assert (row["kind"], row["owner"], row["receiver"]) == ("server", str(probe.pid), str(probe.pid))
    assert (row["packets_in"], row["delivered"], row["dropped_in"], row["dropped_out"]) == (3, 0, 3, 1)
    assert row["drops"] == [
        {"direction": "in", "cause": "denied", "count": 3},
        {"direction": "out", "cause": "EMSGSIZE", "count": 1},
    ]


async def test_a_client_is_a_socket_too(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    options = meta.UDPClientOptions(host="127.0.0.1", port=peer.address[1])
    await probe.do(lambda actor: actor.spawn_meta(meta.create_udp_client(options)))
    (row,) = (await ask(node, "sockets"))["sockets"]
    assert (row["kind"], row["peer"]) == ("client", f"127.0.0.1:{peer.address[1]}")


async def test_a_receiver_is_shown_with_its_name(node: homing.Node, probe: Probe) -> None:
    await node.spawn(act.Actor, name="receiver")
    await probe.do(lambda actor: actor.spawn_meta(server(process="receiver")))
    (row,) = (await ask(node, "sockets"))["sockets"]
    assert (row["receiver"], row["receiver_name"], row["owner_name"]) == ("receiver", "receiver", None)


async def test_sockets_are_sorted_filtered_and_cut_by_the_node(node: homing.Node, peer: UDPPeer) -> None:
    class Owner(act.Actor):
        async def init(self) -> None:
            self.server = server()
            await self.spawn_meta(self.server)

    ports = []
    for number in range(3):
        pid = await node.spawn(Owner, name=f"owner {number}")
        ports.append(node.address_of(pid)[1])
    peer.send(b"x", ("127.0.0.1", ports[1]))
    await eventually(lambda: node.process_info("owner 1").messages_in)
    answer = await ask(node, "sockets", sort="packets_in", limit=1)
    assert (answer["sockets"][0]["owner_name"], answer["total"], answer["more"]) == ("owner 1", 3, 2)
    assert [row["owner_name"] for row in (await ask(node, "sockets", filter="OWNER 2"))["sockets"]] == ["owner 2"]
    last = await ask(node, "sockets", last=True, limit=2)
    assert [row["owner_name"] for row in last["sockets"]] == ["owner 1", "owner 2"]


async def test_a_server_that_was_not_started_yet_is_not_shown(node: homing.Node) -> None:
    with server():
        assert (await ask(node, "sockets"))["total"] == 0


# --- pools, routers, supervisors ------------------------------------------------------------------------------


class Workers(act.Pool):
    def init(self) -> act.PoolOptions:
        return act.PoolOptions(worker=act.Actor, pool_size=5)

    def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
        raise RuntimeError("the counters do not depend on the program's own method")


class Routes(act.Router):
    def init(self) -> act.RouterOptions:
        routes = [act.RouteSpec(name=f"r{number}", behavior=act.Actor) for number in range(5)]
        return act.RouterOptions(routes=tuple(routes))

    def route_message(self, sender: Any, message: Any) -> str:
        return "r0"


class Top(act.Supervisor):
    def init(self) -> act.SupervisorSpec:
        children = [act.ChildSpec(name=f"c{number}", behavior=act.Actor) for number in range(5)]
        return act.SupervisorSpec(children=tuple(children))


@pytest.mark.parametrize(
    ("what", "behavior", "members"),
    [("pools", Workers, "workers"), ("routers", Routes, "routes"), ("supervisors", Top, "children")],
)
async def test_groups_have_their_counters_and_the_first_members(
    node: homing.Node, what: str, behavior: type[act.Actor], members: str
) -> None:
    await node.spawn(behavior, name="group")
    await node.spawn(act.Actor)
    answer = await ask(node, what, children=3)
    (row,) = answer["groups"]
    assert (row["name"], row["kind"], answer["total"]) == ("group", what[:-1], 1)
    assert (len(row["facts"][members]), row["facts"]["more"]) == (3, 2)
    assert (await ask(node, what, filter="other"))["total"] == 0


async def test_a_supervisor_with_very_many_children_names_a_few(node: homing.Node) -> None:
    class Many(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            spec = act.ChildSpec(name="one", behavior=act.Actor)
            return act.SupervisorSpec(type=act.SupervisorType.SIMPLE_ONE_FOR_ONE, children=(spec,))

    pid = await node.spawn(Many)
    for _ in range(300):
        await node.call(pid, act.StartChild())
    (row,) = (await ask(node, "supervisors"))["groups"]
    assert (len(row["facts"]["children"]), row["facts"]["more"]) == (20, 280)


# --- the node -------------------------------------------------------------------------------------------------


async def test_the_node_tells_its_counters(node: homing.Node) -> None:
    await node.spawn(act.Actor, name="one")
    found = await ask(node, "node")
    assert (found["name"], found["state"], found["processes"], found["names"]) == ("test@localhost", "running", 1, 1)
    assert (found["os_pid"], found["draining"], found["allow"]) == (os.getpid(), False, False)
    assert found["memory"] > 1_000_000


async def test_events_tell_their_consumers(node: homing.Node, probe: Probe) -> None:
    await probe.do(lambda actor: actor.register_event("news", gen.EventOptions(buffer=3)))
    other = await Probe.start(node)
    await other.do(lambda actor: actor.monitor(gen.Event("news", node.name)))
    assert await ask(node, "events") == {
        "events": [
            {
                "node": node.name,
                "name": "news",
                "owner": str(probe.pid),
                "consumers": 1,
                "buffered": 0,
                "buffer": 3,
                "notify": False,
            }
        ],
        "total": 1,
        "more": 0,
    }
    assert (await ask(node, "events", filter="old"))["total"] == 0


async def test_applications_tell_their_members(node: homing.Node) -> None:
    class Shop(gen.Application):
        def load(self, node: Any, *args: Any) -> gen.ApplicationSpec:
            members = tuple(gen.ApplicationMember(behavior=act.Actor) for _ in range(3))
            return gen.ApplicationSpec(name="shop", members=members)

    await node.application_load(Shop())
    await node.application_start("shop")
    (row,) = (await ask(node, "applications", members=2))["applications"]
    assert (row["name"], row["state"], len(row["members"]), row["more"]) == ("shop", "running", 2, 1)


async def test_the_tree_has_each_process_once_under_its_parent(node: homing.Node) -> None:
    await node.spawn(Top, name="top")
    await node.spawn(Workers)
    found = await ask(node, "tree")
    assert [(row["depth"], row["kind"]) for row in found["processes"]] == [
        (0, "supervisor"),
        *[(1, "actor")] * 5,
        (0, "pool"),
        *[(1, "actor")] * 5,
    ]
    cut = await ask(node, "tree", children=2)
    assert [(row["more"], row["depth"]) for row in cut["processes"] if not row["depth"]] == [(3, 0), (3, 0)]


@pytest.mark.parametrize("top", [True, False])
async def test_a_tree_shows_a_bounded_number_of_processes_and_tells_how_many_more_there_are(
    node: homing.Node, monkeypatch: pytest.MonkeyPatch, top: bool
) -> None:
    monkeypatch.setattr(tree, "MOST_ROWS", 5)
    if top:
        for _ in range(8):
            await node.spawn(act.Actor)
    else:
        await node.spawn(Workers)
        await node.spawn(Workers)
    found = await ask(node, "tree")
    assert len(found["processes"]) == 5
    assert found["more"] + sum(row["more"] for row in found["processes"]) == (3 if top else 2)


async def test_processes_are_asked_for_their_facts_in_portions(
    node: homing.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(10):
        await node.spawn(Workers)
    monkeypatch.setattr(inspecting, "PORTION", 3)
    asking = look(Observer(node))
    assert await longest_step(node, monkeypatch, asking, inspecting, "_question", count=0) <= 3


async def test_a_question_that_the_program_cancels_is_no_answer(node: homing.Node) -> None:
    gate = asyncio.Event()
    pid = await node.spawn(Gate, [], gate)
    node.send(pid, 1)
    asking = asyncio.create_task(ask(node, "process", target=str(pid)))
    questions = await eventually(lambda: [task for task in asyncio.all_tasks() if task.get_name() == "homing inspect"])
    questions[0].cancel()
    assert (await asking)["facts_error"] == "the question was cancelled"
    gate.set()


async def test_a_tree_that_a_program_looks_at_itself_starts_no_sampling(node: homing.Node) -> None:
    observer = Observer(node)
    await look(observer)
    assert observer.sampler.rounds == 0
    assert observer.sampler._task is None
