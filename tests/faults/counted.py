"""The statsd example as tests run it: the line "crash" crashes it, and it publishes and prints what it has counted.

`homing run tests.faults.counted:Service --env port=8125` runs it as a program, which also ends by the signals.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from examples.servers import statsd as example
from homing import act, gen

INTERVAL = 0.01
"""Seconds between two publications."""


class Crashing(example.Statsd):
    async def init(self, port: int, host: str, *args: Any) -> None:
        self.token: gen.Ref = args[0]
        await super().init(port, host)
        self.send_every(self.pid, "publish", INTERVAL)

    def handle_message(self, sender: Any, message: Any) -> None:
        if message == "publish":
            totals = {name: series["_total{}"] for name, (_, series) in self.metrics.items()}
            self.send_event("metrics", self.token, totals)
        else:
            super().handle_message(sender, message)

    def outcome_untrusted(self, line: bytes) -> str:
        if line == b"crash":
            raise RuntimeError("on request")
        return super().outcome_untrusted(line)


class Printer(act.Actor):
    def init(self) -> None:
        self.last: Any = {}
        self.link(gen.Event("metrics", self.node))

    def handle_event(self, event: gen.MessageEvent) -> Any:
        if event.message != self.last:
            print(event.message, flush=True)
            self.last = event.message


class Service(example.Server):
    def init(self, port: int | None = None, host: str = "127.0.0.1") -> act.SupervisorSpec:
        token = self.register_event("metrics", gen.EventOptions(buffer=1))
        spec = super().init(int(str(self.env["port"])) if port is None else port, host)
        statsd = spec.children[0]
        statsd = replace(statsd, behavior=Crashing, args=(*statsd.args, token))
        return replace(spec, children=(act.ChildSpec(name="printer", behavior=Printer), statsd))


class Sums(act.Actor):
    """Keeps the counters that were published last."""

    def init(self, sums: dict[str, float]) -> None:
        self.sums = sums
        self.link(gen.Event("metrics", self.node))

    def handle_event(self, event: gen.MessageEvent) -> Any:
        self.sums.update(event.message)
