"""What the tests of taking over run: services that answer each number with it and their OS process."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from homing import act, gen, meta

ME = os.getpid()


def answer(message: Any) -> bytes:
    return b"%s %d" % (bytes(message.data), ME)


class Echo(act.Actor):
    """Opens the sockets that its environment names, by port; "die" crashes it."""

    async def init(self) -> None:
        for port in self.env["ports"].split():
            options = meta.UDPServerOptions(
                host="127.0.0.1", port=int(port), receive_buffer=2_000_000, **self.options()
            )
            await self.spawn_meta(meta.create_udp_server(options))

    def options(self) -> dict[str, Any]:
        return {}

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        if message.data == b"die":
            raise RuntimeError("asked for")
        self.send(message.id, message.reply(answer(message)))


class Service(act.Supervisor):
    def init(self) -> act.SupervisorSpec:
        return act.SupervisorSpec(children=(act.ChildSpec(name="echo", behavior=Echo),), intensity=100)


class Tapped(Echo):
    """Records in the file that its environment names."""

    def options(self) -> dict[str, Any]:
        return {"tap": meta.Tap(self.env["file"])}


class Worker(act.Actor):
    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await asyncio.sleep(0.005)
        self.send(message.id, message.reply(answer(message)))


class Pooled(Echo):
    """Each peer has a worker of its own, which takes its time."""

    def options(self) -> dict[str, Any]:
        return {"worker": Worker, "workers": 4, "route": "source"}


class Batched(Echo):
    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        for message in batch:
            self.send(message.id, message.reply(answer(message)))


class Failing(Echo):
    """Fails once it has its sockets."""

    async def init(self) -> None:
        await super().init()
        raise ValueError("fault")


class Waiting(Echo):
    """Has its sockets and goes on when the file is there that its environment names."""

    async def init(self) -> None:
        await super().init()
        print("has its sockets", flush=True)
        while not os.access(self.env["file"], os.F_OK):
            await asyncio.sleep(0.01)


class Patient(gen.Application):
    """`Waiting`, as long as the commands of a test take on a busy machine."""

    def load(self, node: Any, *args: Any) -> gen.ApplicationSpec:
        options = gen.ProcessOptions(init_timeout=60.0)
        member = gen.ApplicationMember(behavior=Waiting, options=options)
        return gen.ApplicationSpec(name="patient", members=(member,), mode=gen.ApplicationMode.PERMANENT)


class Leaving(Echo):
    """Has its sockets, and ends when the file is there that its environment names."""

    async def terminate(self, reason: Exception) -> None:
        print("is leaving", flush=True)
        while not os.access(self.env["file"], os.F_OK):
            await asyncio.sleep(0.01)


class Dying(Echo):
    """Is gone at once, once it has its sockets."""

    async def init(self) -> None:
        await super().init()
        os._exit(7)


class OnlyOnce(Echo):
    """Fails where the file is there that its environment names; makes it."""

    async def init(self) -> None:
        await super().init()
        os.close(os.open(self.env["file"], os.O_CREAT | os.O_EXCL))


class ChildrenIgnored(OnlyOnce):
    """The system tells this program nothing of the ends of those that it starts."""

    async def init(self) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        await super().init()
