"""The program that the tests of clusters run: a process `counter` that counts the calls."""

from __future__ import annotations

from typing import Any

from homing import act, gen


class Counter(act.Actor):
    def init(self) -> None:
        self.register_name("counter")
        self.count = 0

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> int:
        self.count += 1
        return self.count
