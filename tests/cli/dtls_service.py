"""What the tests of upgrades and processes with DTLS run: a server that answers each message with it and its OS
process."""

from __future__ import annotations

import os
from typing import Any

from homing import act, gen, meta

KEY = b"0123456789abcdef"
KEYS = {"sensor-7": KEY}


class Echo(act.Actor):
    """Opens DTLS servers on the ports that its environment names."""

    async def init(self) -> None:
        for port in self.env["ports"].split():
            options: dict[str, Any] = {"reuse_port": True} if "shared" in self.env else {}
            await meta.listen_dtls(self, host="127.0.0.1", port=int(port), psk=KEYS, **options)

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.reply(message, b"%s %d" % (bytes(message.data), os.getpid()))


class Service(act.Supervisor):
    def init(self) -> act.SupervisorSpec:
        return act.SupervisorSpec(children=(act.ChildSpec(name="echo", behavior=Echo),), intensity=100)
