"""Requests for which an allocation fails, each in turn: either `send_request` raises, or one response comes."""

from __future__ import annotations

from typing import Any

import homing
from homing import act, gen

from ...starving import failing, needs_starving
from ...support import eventually

pytestmark = needs_starving

PLACES = range(60)
"""Allocations that fail: a request takes fewer."""


class Echo(act.Actor):
    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return request


class Asker(act.Actor):
    def init(self, got: list[Any]) -> None:
        self.got = got

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return request(self)

    def handle_response(self, label: Any, answer: Any) -> None:
        self.got.append(label)


async def test_a_request_is_refused_or_has_one_response_whatever_allocation_fails_in_it(node: homing.Node) -> None:
    got: list[Any] = []
    echo, asker = await node.spawn(Echo), await node.spawn(Asker, got)

    def ask(actor: Any, number: int) -> Any:
        with failing(number):
            return actor.send_request(echo, number, number, 0.2)
        return None

    for number in PLACES:
        ref = await node.call(asker, lambda actor, number=number: ask(actor, number))
        await eventually(lambda: node.info().open_calls == 0)
        assert await node.call(asker, lambda actor: actor.requests) == 0
        assert got == ([number] if ref is not None else []), number
        got.clear()
