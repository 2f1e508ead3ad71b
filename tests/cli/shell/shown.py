"""The service that the tests of the shell look at."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from homing import act, gen, meta

HOSTILE = "\x1b[2J[red]evil[/red]\nname"


class Echo(act.Actor):
    async def init(self) -> None:
        options = meta.UDPServerOptions(host="127.0.0.1", port=0, receive_buffer=65536, deny=("127.0.0.2",))
        await self.spawn_meta(meta.create_udp_server(options))
        self.create_alias()
        self.register_event("prices")

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.send(message.id, message.reply(message.data))

    def handle_inspect(self, sender: gen.PID, *items: str) -> dict[str, Any]:
        return {"plain": 1, HOSTILE: HOSTILE}


class Keeper(act.Actor):
    """Keeps the last message. The text "crash" crashes it."""

    kept: Any = None

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.kept = message
        if message == "crash":
            raise ValueError(HOSTILE)

    def handle_inspect(self, sender: gen.PID, *items: str) -> dict[str, Any]:
        return {"kept": self.kept}


class Stuck(act.Actor):
    """Three messages wait for it."""

    def init(self) -> None:
        for _ in range(4):
            self.send(self.pid, "work")

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await asyncio.sleep(3600)


class Workers(act.Pool):
    def init(self) -> act.PoolOptions:
        return act.PoolOptions(worker=act.Actor, pool_size=3)


class Routes(act.Router):
    def init(self) -> act.RouterOptions:
        return act.RouterOptions(routes=(act.RouteSpec(name="left", behavior=act.Actor),))

    def route_message(self, sender: gen.PID, message: Any) -> str:
        return "left"


class Top(act.Supervisor):
    def init(self) -> act.SupervisorSpec:
        named: dict[str, type[act.Actor]] = {
            "echo": Echo,
            "keeper": Keeper,
            "stuck": Stuck,
            "workers": Workers,
            "routes": Routes,
        }
        named[HOSTILE] = act.Actor
        children = tuple(act.ChildSpec(name=name, behavior=behavior) for name, behavior in named.items())
        return act.SupervisorSpec(children=children, intensity=1000)


class Service(gen.Application):
    def load(self, node: Any, *args: Any) -> gen.ApplicationSpec:
        logging.getLogger("homing.process").setLevel(logging.CRITICAL)
        member = gen.ApplicationMember(behavior=Top, name="top")
        return gen.ApplicationSpec(name="shown", version="1.2", members=(member,), mode=gen.ApplicationMode.PERMANENT)
