"""A TCP server with TLS, whose certificate is the file that its environment names."""

from __future__ import annotations

from typing import Any

from homing import act, gen, meta


class Echo(act.Actor):
    async def init(self) -> None:
        tls = meta.TLS(certificate=self.env["certificate"], reload_seconds=None)
        await meta.listen_tcp(
            self, host="127.0.0.1", port=int(self.env["port"]), name="secured", frame=meta.Delimiter(b"\n"), tls=tls
        )

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        if isinstance(message, meta.MessageTCP):
            self.reply(message, message.data)


class Service(act.Supervisor):
    def init(self) -> act.SupervisorSpec:
        return act.SupervisorSpec(children=(act.ChildSpec(name="echo", behavior=Echo),))
