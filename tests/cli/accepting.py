"""A TCP server in several processes: answers each line with it and the number of its OS process."""

from __future__ import annotations

import os
from typing import Any

from homing import act, gen, meta


class Echo(act.Actor):
    async def init(self) -> None:
        await meta.listen_tcp(
            self,
            host="127.0.0.1",
            port=int(self.env["ports"]),
            reuse_port=True,
            frame=meta.Delimiter(b"\n"),
            announce=False,
            both="both" in self.env,
        )

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.reply(message, b"%s %d" % (message.data, os.getpid()))


class Service(act.Supervisor):
    def init(self) -> act.SupervisorSpec:
        return act.SupervisorSpec(children=(act.ChildSpec(name="echo", behavior=Echo),), intensity=100)
