"""Health checks: what a program reports of what it depends on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen
from homing.node.health import LONGEST_REASON, MOST_CHECKS
from homing.testing import run_virtual
from tests.support import eventually


class Writer(act.Actor):
    def init(self, ok: bool = True) -> None:
        self.health("db", ok, reason="" if ok else "refused")

    def handle_message(self, sender: Any, message: Any) -> None:
        if isinstance(message, Exception):
            raise message
        self.health("db", message)


def names_of(node: homing.Node) -> list[tuple[str, bool]]:
    return [(check.name, check.ok) for check in node.health_checks()]


async def test_what_a_process_reports_is_a_check(node: homing.Node) -> None:
    pid = await node.spawn(Writer)
    (check,) = node.health_checks()
    assert (check.name, check.ok, check.reason, check.owner, check.timeout) == ("db", True, "", pid, 10.0)


async def test_a_failed_check_keeps_its_reason(node: homing.Node) -> None:
    await node.spawn(Writer, False)
    (check,) = node.health_checks()
    assert (check.ok, check.reason) == (False, "refused")


def test_a_check_that_is_not_reported_again_fails_after_its_timeout() -> None:
    async def main() -> None:
        async with homing.start_node("n@localhost") as node:
            node.health("db", True, timeout=10)
            await asyncio.sleep(9.9)
            assert names_of(node) == [("db", True)]
            await asyncio.sleep(0.2)
            (check,) = node.health_checks()
            assert not check.ok
            assert "10.1 s" in check.reason
            assert "timeout of 10 s" in check.reason
            node.health("db", True, timeout=10)
            assert names_of(node) == [("db", True)]

    run_virtual(main)


def test_a_check_without_a_timeout_stays() -> None:
    async def main() -> None:
        async with homing.start_node("n@localhost") as node:
            node.health("db", True, timeout=None)
            await asyncio.sleep(1e6)
            assert names_of(node) == [("db", True)]

    run_virtual(main)


@pytest.mark.parametrize("how", ["crash", "kill", "normal"])
async def test_the_check_of_a_process_that_has_ended_fails(node: homing.Node, how: str) -> None:
    pid = await node.spawn(Writer)
    if how == "kill":
        node.kill(pid)
    else:
        node.send(pid, gen.TerminateNormal() if how == "normal" else ValueError("crash"))
    await eventually(lambda: pid not in node.processes())
    (check,) = node.health_checks()
    assert not check.ok
    assert str(pid) in check.reason


async def test_a_successor_that_reports_replaces_the_check_of_the_process_that_has_ended(node: homing.Node) -> None:
    first = await node.spawn(Writer)
    node.kill(first)
    await eventually(lambda: first not in node.processes())
    second = await node.spawn(Writer)
    assert [(check.ok, check.owner) for check in node.health_checks()] == [(True, second)]


async def test_processes_of_the_same_check_do_not_hide_each_other(node: homing.Node) -> None:
    await node.spawn(Writer, False)
    await node.spawn(Writer, True)
    assert names_of(node) == [("db", False), ("db", True)]


async def test_a_check_is_removed_by_none(node: homing.Node) -> None:
    pid = await node.spawn(Writer)
    node.send(pid, None)
    await eventually(lambda: not node.health_checks())


async def test_a_process_on_a_thread_reports_too(node: homing.Node) -> None:
    pid = await node.spawn(Writer, options=gen.ProcessOptions(thread=True))
    assert [check.owner for check in node.health_checks()] == [pid]


@pytest.mark.parametrize(
    ("option", "arguments"),
    [
        ("name", {"name": ""}),
        ("name", {"name": 7}),
        ("ok", {"ok": 1}),
        ("ok", {"ok": "yes"}),
        ("timeout", {"timeout": 0}),
        ("timeout", {"timeout": "soon"}),
        ("reason", {"reason": ValueError()}),
    ],
)
async def test_a_bad_argument_is_named(node: homing.Node, option: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(gen.BadOption) as raised:
        node.health(**{"name": "db", "ok": True, **arguments})
    assert raised.value.option == option


async def test_a_long_reason_is_cut(node: homing.Node) -> None:
    node.health("db", False, reason="x" * 10_000)
    assert len(node.health_checks()[0].reason) == LONGEST_REASON


class Deceitful(str):
    """A text whose methods raise once they are called from elsewhere."""

    raises = False

    def __eq__(self, other: object) -> bool:
        if self.raises:
            raise RuntimeError("not comparable")
        return str(self) == other

    __hash__ = str.__hash__

    def __getitem__(self, place: Any) -> Any:
        return object()


async def test_texts_of_any_class_are_kept_as_plain_texts(node: homing.Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.health(Deceitful("db"), False, reason=Deceitful("refused"))
    monkeypatch.setattr(Deceitful, "raises", True)
    (check,) = node.health_checks()
    assert [(type(text), text) for text in (check.name, check.reason)] == [(str, "db"), (str, "refused")]
    node.health("db", True)
    assert names_of(node) == [("db", True)]


async def test_the_number_of_checks_is_bounded(node: homing.Node) -> None:
    for number in range(MOST_CHECKS):
        node.health(f"check {number}", True)
    with pytest.raises(gen.NotAllowed, match="1000"):
        node.health("one more", True)
    node.health("check 0", False)


async def test_a_service_reports_as_the_process_of_its_function() -> None:
    service = homing.Service("app")

    @service.on_start
    def begin() -> None:
        service.health("db", True)

    @service.every(60)
    def tick() -> None: ...

    with pytest.raises(gen.NotAllowed, match="not been started"):
        service.health("db", True)
    async with service.started() as node:
        (check,) = node.health_checks()
        assert node.process_info(check.owner).name == "app.begin"
