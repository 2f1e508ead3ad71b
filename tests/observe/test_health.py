"""The judge of a node's health, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing.observe.health import Judge
from homing.testing import run_virtual


class Counted:
    """The hooks of a socket, with counters that a test sets."""

    socket_address = ("127.0.0.1", 5353)
    options = None

    def __init__(self) -> None:
        self.counters = type("Statistics", (), {"kernel_drops": 0})()


class Socket:
    """A meta-process with such hooks."""

    id = "alias"
    alive = True
    lingering = False

    reason = None

    def __init__(self) -> None:
        self.hooks = Counted()
        self.owner = self


def judged(rate: float | None, drops: list[int | None], seconds: float = 1.0) -> list[str]:
    """The reasons for `kernel_drops` when so many are counted, one question every `seconds`."""

    async def main() -> list[str]:
        async with homing.start_node("n@localhost") as node:
            judge, socket = Judge(node), Socket()
            judge.kernel_drop_rate = rate
            metas: Any = node._core.metas
            metas["alias"] = socket
            reasons = []
            for count in drops:
                socket.hooks.counters.kernel_drops = count
                record = await judge.judge(False)
                checks = {check["name"]: check["reason"] for check in record["ready"]["checks"]}
                reasons.append(checks["kernel_drops"])
                await asyncio.sleep(seconds)
            metas.clear()
            return reasons

    return run_virtual(main)


def test_drops_that_grow_beyond_the_rate_make_the_node_not_ready() -> None:
    reasons = judged(100, [0, 0, 1000])
    assert reasons[:2] == ["", ""]
    assert "500 datagrams per second" in reasons[2]


def test_drops_within_the_rate_do_not() -> None:
    assert judged(100, [0, 100, 200, 300]) == ["", "", "", ""]


def test_drops_before_the_first_question_do_not() -> None:
    assert judged(100, [1_000_000, 1_000_000]) == ["", ""]


def test_the_node_is_ready_again_when_drops_have_stopped_for_a_while() -> None:
    reasons = judged(100, [0, 100_000] + [100_000] * 20)
    assert reasons[1]
    assert reasons[-1] == ""


def test_without_a_rate_drops_do_not_matter() -> None:
    assert judged(None, [0, 10**9]) == ["", ""]


@pytest.mark.parametrize("count", [0, None])
def test_a_system_that_does_not_count_drops_is_ready(count: int | None) -> None:
    assert judged(0, [count, count]) == ["", ""]
