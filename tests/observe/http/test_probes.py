"""Probes: /health/live, /health/ready, /health/startup."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import homing
from homing import act, gen, meta, observe
from homing.observe.http.server import HTTPServer
from tests.support import eventually, free_port

from .asking import BEARER, TOKEN, Reply, ask, ask_blocking

Serve = Callable[..., HTTPServer]


class Server(act.Actor):
    """Owns a UDP server."""

    async def init(self, port: int = 0) -> None:
        await self.spawn_meta(meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1", port=port)))

    def handle_message(self, sender: Any, message: Any) -> None:
        if isinstance(message, Exception):
            raise message


class Top(act.Supervisor):
    def init(self, *children: act.ChildSpec) -> act.SupervisorSpec:
        return act.SupervisorSpec(children=children)


def failed(reply: Reply) -> list[str]:
    return [check["name"] for check in reply.json["checks"] if not check["ok"]]


async def test_a_node_that_runs_is_live_ready_and_started(node: homing.Node, serve: Serve) -> None:
    server = serve()
    for probe in ("live", "ready", "startup"):
        reply = await ask(server, f"/health/{probe}")
        assert (reply.status, reply.json["ok"], failed(reply)) == (200, True, [])
        assert reply.headers["content-type"] == "application/json"


async def test_another_probe_is_not_found(serve: Serve) -> None:
    assert (await ask(serve(), "/health/other")).status == 404


def blocked(node: homing.Node, server: HTTPServer, paths: list[str], seconds: float) -> list[Reply]:
    """Blocks the loop until a thread has asked for `paths`, after `seconds`."""
    replies: list[Reply] = []

    def asking() -> None:
        time.sleep(seconds)
        replies.extend(ask_blocking(server, path) for path in paths)

    thread = threading.Thread(target=asking)
    thread.start()
    thread.join()
    return replies


async def test_a_loop_that_has_not_turned_for_the_set_time_is_neither_live_nor_ready(
    node: homing.Node, serve: Serve
) -> None:
    server = serve(live_seconds=0.1)
    await ask(server, "/health/ready")
    live, ready, startup = blocked(node, server, ["/health/live", "/health/ready", "/health/startup"], 0.3)
    assert (live.status, failed(live)) == (503, ["loop"])
    assert "longer than 0.1 s" in live.json["checks"][0]["reason"]
    assert (ready.status, failed(ready)) == (503, ["loop"])
    assert startup.status == 503
    await eventually(lambda: server._endpoints._bridge.silent == 0)
    assert (await ask(server, "/health/live")).status == 200


async def test_a_loop_blocked_for_less_than_that_stays_live_with_facts_that_age(
    node: homing.Node, serve: Serve
) -> None:
    server = serve(live_seconds=60)
    await ask(server, "/health/ready")
    live, ready = blocked(node, server, ["/health/live", "/health/ready"], 0.0)
    assert (live.status, ready.status) == (200, 200)
    assert ready.json["age"] > 0


async def test_startup_waits_for_the_call_of_ready_if_told_to(node: homing.Node, serve: Serve) -> None:
    server = serve(wait_ready=True)
    reply = await ask(server, "/health/startup")
    assert (reply.status, failed(reply)) == (503, ["started"])
    assert (await ask(server, "/health/ready")).status == 503
    node.ready()
    assert (await ask(server, "/health/startup")).status == 200


async def test_startup_waits_for_an_application_that_starts(node: homing.Node, serve: Serve) -> None:
    go = asyncio.Event()

    class Slow(act.Actor):
        async def init(self) -> None:
            await go.wait()

    class App(gen.Application):
        def load(self, node: Any, *args: Any) -> gen.ApplicationSpec:
            return gen.ApplicationSpec(name="app", members=(gen.ApplicationMember(behavior=Slow),))

    server = serve()
    await node.application_load(App)
    starting = asyncio.create_task(node.application_start("app"))
    await eventually(lambda: node.application_info("app").state is gen.ApplicationState.STARTING)
    reply = await ask(server, "/health/startup")
    assert reply.status == 503
    assert "app is starting" in str(reply.json)
    go.set()
    await starting
    assert (await ask(server, "/health/startup")).status == 200


async def test_an_application_that_has_ended_makes_the_node_not_ready(node: homing.Node, serve: Serve) -> None:
    service = homing.Service("app")
    service.every(60)(lambda: None)
    await node.application_load(service)
    await node.application_start("app")
    server = serve()
    assert (await ask(server, "/health/ready")).status == 200
    await node.application_stop("app")
    assert failed(await ask(server, "/health/ready")) == ["application"]


async def test_a_node_that_stops_is_not_ready_but_live(node: homing.Node, serve: Serve) -> None:
    class Busy(act.Actor):
        async def handle_message(self, sender: Any, message: Any) -> None:
            await message.wait()

    server, go = serve(), asyncio.Event()
    node.send(await node.spawn(Busy), go)
    stopping = asyncio.create_task(node.stop())
    await eventually(lambda: node.info().state == "stopping")
    ready, live = await ask(server, "/health/ready"), await ask(server, "/health/live")
    go.set()
    await stopping
    assert (ready.status, failed(ready), live.status) == (503, ["node"], 200)


# --- sockets ----------------------------------------------------------------------------------------------


async def test_a_socket_whose_owner_has_crashed_is_missed_until_it_is_open_again(
    node: homing.Node, serve: Serve
) -> None:
    server, port = serve(), free_port()
    owner = await node.spawn(Server, port)
    assert (await ask(server, "/health/ready")).status == 200
    node.send(owner, ValueError("crash"))
    await eventually(lambda: owner not in node.processes())
    reply = await ask(server, "/health/ready")
    assert failed(reply) == ["sockets"]
    assert f"127.0.0.1:{port} is closed since {owner}" in str(reply.json)
    await node.spawn(Server, port)
    assert (await ask(server, "/health/ready")).status == 200


async def test_a_socket_whose_owner_has_ended_in_order_is_not_missed(node: homing.Node, serve: Serve) -> None:
    server = serve()
    owner = await node.spawn(Server, free_port())
    await ask(server, "/health/ready")
    node.send(owner, gen.TerminateNormal())
    await eventually(lambda: owner not in node.processes())
    assert (await ask(server, "/health/ready")).status == 200


async def test_a_socket_whose_port_the_system_chose_is_not_missed(node: homing.Node, serve: Serve) -> None:
    server = serve()
    owner = await node.spawn(Server)
    await ask(server, "/health/ready")
    node.send(owner, ValueError("crash"))
    await eventually(lambda: owner not in node.processes())
    assert (await ask(server, "/health/ready")).status == 200


async def test_a_socket_that_waits_for_a_new_owner_makes_the_node_not_ready(node: homing.Node, serve: Serve) -> None:
    class Lingering(Server):
        async def init(self, port: int = 0) -> None:
            options = meta.UDPServerOptions(host="127.0.0.1", port=port, linger=60)
            await self.spawn_meta(meta.create_udp_server(options))

    server = serve()
    owner = await node.spawn(Lingering, free_port())
    await ask(server, "/health/ready")
    node.send(owner, ValueError("crash"))
    await eventually(lambda: owner not in node.processes())
    reply = await ask(server, "/health/ready")
    assert failed(reply) == ["sockets"]
    assert "waits for a new owner" in str(reply.json)


# --- the program's own checks -----------------------------------------------------------------------------


class Writer(act.Actor):
    def init(self, ok: bool) -> None:
        self.health("db", ok, reason="" if ok else "connection refused")


async def test_a_failed_check_of_the_program_makes_the_node_not_ready_but_live(node: homing.Node, serve: Serve) -> None:
    server = serve()
    await node.spawn(Writer, False)
    reply = await ask(server, "/health/ready")
    assert failed(reply) == ["db"]
    assert "connection refused" in str(reply.json)
    assert (await ask(server, "/health/live")).status == 200


async def test_the_death_of_the_owner_of_a_check_makes_the_node_not_ready(node: homing.Node, serve: Serve) -> None:
    server = serve()
    owner = await node.spawn(Writer, True)
    assert (await ask(server, "/health/ready")).status == 200
    node.kill(owner)
    await eventually(lambda: owner not in node.processes())
    assert failed(await ask(server, "/health/ready")) == ["db"]
    await node.spawn(Writer, True)
    assert (await ask(server, "/health/ready")).status == 200


# --- without the token ------------------------------------------------------------------------------------


async def test_probes_need_no_token_but_give_reasons_only_with_it(node: homing.Node, serve: Serve) -> None:
    server = serve(token=TOKEN)
    await node.spawn(Writer, False)
    reply = await ask(server, "/health/ready")
    assert (reply.status, reply.json) == (503, {"ok": False})
    assert failed(await ask(server, "/health/ready", headers=BEARER)) == ["db"]
    assert (await ask(server, "/health/ready", headers={"Authorization": "Bearer wrong"})).status == 401


async def test_the_observer_answers_health_too(node: homing.Node) -> None:
    health = await observe.Observer(node).ask({"what": "health"})
    assert [health[probe]["ok"] for probe in ("live", "ready", "startup")] == [True, True, True]
