"""What the tests of protected services run: a server with all of the options that drop, mark, replace and limit."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from steered import HOST, program  # type: ignore[import-not-found]

from homing import act, gen, meta

SLOW = 0.005


def key_of(message: meta.MessageUDP) -> bytes | None:
    """The data, if only the newest is to be handled."""
    return bytes(message.data) if message.data[1:2] == b"=" else None


class Guarded(act.Actor):
    """Its state is the number of datagrams that it has handled. The first byte of each chooses the process."""

    async def init(self) -> None:
        self.count = self.marked = 0
        self.cookies = meta.Cookies(b"the same in all processes")
        steering = program(int(self.env["count"])) if "count" in self.env else None
        self.server = await meta.listen_udp(
            self,
            host=HOST,
            port=int(self.env["port"]),
            reuse_port=steering is not None,
            reuse_port_steering=steering,
            receive_buffer=2_000_000,
            amplification=meta.Amplification(exempt=()),
            fair=meta.Fair(queue=20, ahead=4),
            conflate=key_of,
            max_age=60.0,
            loss_markers=True,
        )

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        if isinstance(message, meta.MessageUDPLoss):
            self.marked += message.count
            return
        self.count += 1
        match message.data[1:]:
            case b"cookie":
                self.reply(message, self.cookies.make(message.addr))
            case question if question.startswith(b"facts"):
                ledger = self.server.statistics().ledger
                facts = {"count": self.count, "marked": self.marked, "pid": os.getpid(), "limited": self.limited}
                self.reply(message, json.dumps({**facts, "dropped": ledger.dropped}).encode())
            case b"long":
                self.reply(message, bytes(1000))
            case b"slow":
                await asyncio.sleep(SLOW)
                self.reply(message, b"slow")
            case cookie if self.cookies.check(cookie, message.addr):
                message.validated()
                self.reply(message, b"proven")

    @property
    def limited(self) -> int:
        return self.server.statistics().amplification_limited

    def dump_state(self) -> int:
        return self.count

    def load_state(self, state: int) -> None:
        self.count = state


class Service(act.Supervisor):
    def init(self) -> act.SupervisorSpec:
        options = gen.ProcessOptions(state=gen.StateOptions(), preserve_mailbox=True)
        return act.SupervisorSpec(children=(act.ChildSpec(name="guarded", behavior=Guarded, options=options),))
