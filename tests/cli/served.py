"""What the tests of `homing run` and `homing tree` run, each by its name."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from homing import act, gen, meta


class Echo(act.Actor):
    """Answers each packet; "block" blocks the event loop, "crash" crashes it."""

    async def init(self) -> None:
        options = meta.UDPServerOptions(host="127.0.0.1", port=int(self.env.get("port", 0)), receive_buffer=65536)
        await self.spawn_meta(meta.create_udp_server(options))

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        if message.data == b"block":
            time.sleep(60)
        if message.data == b"crash":
            raise RuntimeError("asked for")
        self.send(message.id, message.reply(self.env.get("word", "OK").encode()))


class Sharing(act.Actor):
    """Answers with the number of its OS process, on a port that it shares."""

    async def init(self) -> None:
        options = meta.UDPServerOptions(host="127.0.0.1", port=int(self.env["port"]), reuse_port=True)
        await self.spawn_meta(meta.create_udp_server(options))

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.send(message.id, message.reply(str(os.getpid()).encode()))


class Workers(act.Pool):
    def init(self) -> act.PoolOptions:
        return act.PoolOptions(worker=act.Actor, pool_size=25)


class Top(act.Supervisor):
    def init(self) -> act.SupervisorSpec:
        children = (act.ChildSpec(name="echo", behavior=Echo), act.ChildSpec(name="workers", behavior=Workers))
        return act.SupervisorSpec(children=children)


class Service(gen.Application):
    def load(self, node: Any, *args: Any) -> gen.ApplicationSpec:
        return gen.ApplicationSpec(
            name="served",
            version="1.2",
            description="for tests",
            members=(gen.ApplicationMember(behavior=Top, name="top"),),
            mode=gen.ApplicationMode.PERMANENT,
        )


class Client(act.Actor):
    """Speaks with port 9 of this machine."""

    async def init(self) -> None:
        await self.spawn_meta(meta.create_udp_client(meta.UDPClientOptions(host="127.0.0.1", port=9)))


class Done(act.Actor):
    """Ends in order, at once."""

    def init(self) -> None:
        self.send(self.pid, gen.TerminateNormal())

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        raise message


class Crashing(Done):
    """Ends abnormally, at once."""

    def init(self) -> None:
        self.send(self.pid, ValueError("fault"))


class Broken(act.Actor):
    """Cannot be started."""

    def init(self) -> None:
        raise ValueError("fault")


class Slow(act.Actor):
    """Takes long to start."""

    async def init(self) -> None:
        print("starting", flush=True)
        await asyncio.sleep(60)


class Stubborn(act.Actor):
    """Does not end unless it is killed."""

    async def terminate(self, reason: Exception) -> None:
        os.write(1, b"ending\n")  # at once, whatever other processes write there
        await asyncio.sleep(60)


class Named(act.Actor):
    """Has a name that would steer a terminal."""

    def init(self) -> None:
        self.register_name("\x1b[2J\nred")


class NeedsArguments(gen.Application):
    def __init__(self, size: int) -> None:
        self.size = size


instance = Service()
number = 5


class Fragile(act.Actor):
    """Dies at once."""

    def init(self) -> None:
        self.send(self.pid, "die")

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        raise ValueError("fault")


class Patient(act.Supervisor):
    """Waits an hour before it starts its child again."""

    def init(self) -> act.SupervisorSpec:
        backoff = act.Backoff(first=3600.0, most=3600.0)
        return act.SupervisorSpec(children=(act.ChildSpec(name="fragile", behavior=Fragile),), backoff=backoff)

    def handle_child_terminate(self, name: str | None, pid: gen.PID, reason: Exception) -> None:
        print("backing off", flush=True)


class Impatient(act.Supervisor):
    """Gives up at the first crash of its child."""

    def init(self) -> act.SupervisorSpec:
        return act.SupervisorSpec(children=(act.ChildSpec(name="fragile", behavior=Fragile),), intensity=0)
