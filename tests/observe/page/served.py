"""The program whose page the tests look at."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from homing import act, gen, meta

HOSTILE = "<img src=x onerror=document.title='owned'>\u202egpj.exe\n" + "long " * 40


class Echo(act.Actor):
    """Answers each datagram; some words do more."""

    async def init(self) -> None:
        options = meta.UDPServerOptions(host="127.0.0.1", port=int(self.env.get("port", 0)), deny=("127.0.0.2",))
        await self.spawn_meta(meta.create_udp_server(options))
        self.register_event("changes", gen.EventOptions(buffer=7))

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        match message.data:
            case b"block":
                time.sleep(5)
            case b"crash":
                raise RuntimeError("asked for <b>bold</b>")
            case b"log":
                for number in range(600):
                    self.log.warning("burst %d", number)
            case b"slow":
                self.send("slow", "work")
        self.send(message.id, message.reply(b"OK"))

    def handle_inspect(self, sender: gen.PID, *items: str) -> dict[str, Any]:
        return {"markup": "<b>bold</b>"}


class Slow(act.Actor):
    def dump_state(self) -> str:
        return "state"

    def load_state(self, state: str) -> None:
        """It has none."""

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        if message == "work":
            await asyncio.sleep(3600)


class Workers(act.Pool):
    def init(self) -> act.PoolOptions:
        return act.PoolOptions(worker=act.Actor, pool_size=60)


class Top(act.Supervisor):
    def init(self) -> act.SupervisorSpec:
        behaviors = {"echo": Echo, "slow": Slow, "workers": Workers, HOSTILE: act.Actor}
        kept = gen.ProcessOptions(state=gen.StateOptions())
        options = {"slow": kept}
        children = tuple(
            act.ChildSpec(name=name, behavior=behavior, options=options.get(name, gen.ProcessOptions()))
            for name, behavior in behaviors.items()
        )
        return act.SupervisorSpec(children=children, intensity=100)


class Service(gen.Application):
    def load(self, node: Any, *args: Any) -> gen.ApplicationSpec:
        members = (gen.ApplicationMember(behavior=Top, name="top"),)
        return gen.ApplicationSpec(name="served", members=members, mode=gen.ApplicationMode.PERMANENT)
