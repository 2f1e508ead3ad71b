"""Log levels of single processes, which change while the node runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import Probe, eventually
from ..actors import Doer, Meta, throw


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("homing")
    before = root.level, own.level
    root.setLevel(logging.WARNING)
    own.setLevel(logging.NOTSET)
    yield
    root.setLevel(before[0])
    own.setLevel(before[1])


def say(level: str) -> Any:
    return lambda actor: getattr(actor.log, level)(level)


async def test_one_process_logs_more_than_the_others(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    pid = await node.spawn(Doer)
    node.set_log_level("debug", pid)
    await node.call(pid, say("debug"))
    await probe.do(say("info"))
    assert [record.pid for record in caplog.records] == [pid]  # type: ignore[attr-defined]
    assert (caplog.records[0].funcName, caplog.records[0].filename) == ("<lambda>", "test_levels.py")


async def test_one_process_logs_less_than_the_others(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    node.set_log_level(logging.ERROR, probe.pid)
    await probe.do(say("warning"))
    await probe.do(say("error"))
    assert caplog.messages == ["error"]


async def test_a_logger_that_a_process_has_kept_follows_too(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    pid = await node.spawn(Doer)
    kept = await node.call(pid, lambda actor: actor.log)
    node.set_log_level("info", pid)
    kept.info("now")
    assert kept.isEnabledFor(logging.INFO)
    node.set_log_level(None, pid)
    kept.info("not any more")
    assert caplog.messages == ["now"]


async def test_the_level_of_a_name_applies_to_the_successor_of_that_name_too(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    class Parent(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            return act.SupervisorSpec(children=(act.ChildSpec(name="child", behavior=Doer),), intensity=5)

    await node.spawn(Parent)
    node.set_log_level("info", "child")
    first = node._core.registry.names["child"].id
    node.send("child", throw(ValueError("crash")))
    await eventually(
        lambda: node._core.registry.names.get("child", None) not in (None, node._core.processes.get(first))
    )
    caplog.clear()
    await node.call("child", say("info"))
    assert caplog.messages == ["info"]


async def test_a_level_of_a_pid_ends_with_the_process(node: homing.Node, probe: Probe) -> None:
    pid = await node.spawn(Doer)
    node.set_log_level("debug", pid)
    node.kill(pid)
    await eventually(lambda: pid not in node.processes())
    node.set_log_level("debug", probe.pid)
    assert list(node._core.levels) == [probe.pid]
    with pytest.raises(gen.ProcessTerminated):
        node.set_log_level("debug", pid)


async def test_meta_processes_follow_their_owner_unless_they_have_a_level_of_their_own(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    class Source(Meta):
        def init(self, process: gen.MetaProcess) -> None:
            self.log = process.log
            super().init(process)

    source = Source()
    alias = await probe.do(lambda actor: actor.spawn_meta(source))
    node.set_log_level("info", probe.pid)
    source.log.info("with its owner")
    node.set_log_level("error", alias)
    source.log.warning("not this")
    assert caplog.messages == ["with its owner"]


async def test_an_alias_of_a_process_stands_for_the_process(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    node.set_log_level("info", await probe.do(lambda actor: actor.create_alias()))
    await probe.do(say("info"))
    assert caplog.messages == ["info"]


async def test_what_logging_disables_stays_so(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    node.set_log_level("debug", probe.pid)
    logging.disable(logging.INFO)
    try:
        await probe.do(say("info"))
    finally:
        logging.disable(logging.NOTSET)
    assert caplog.messages == []


async def test_the_end_of_a_process_with_its_own_level_is_logged(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    pid = await node.spawn(Doer)
    node.set_log_level("info", pid)
    node.kill(pid)
    await eventually(lambda: any("TerminateKill" in message for message in caplog.messages))


async def test_without_a_target_the_level_of_the_whole_program_changes(node: homing.Node, probe: Probe) -> None:
    node.set_log_level("info")
    assert logging.getLogger().level == logging.INFO
    assert logging.getLogger("homing").level == logging.NOTSET
    logging.getLogger("homing").setLevel(logging.WARNING)
    node.set_log_level("DEBUG")
    assert logging.getLogger("homing").level == logging.DEBUG


@pytest.mark.parametrize("level", ["loud", 0, -1, True, 2.5, object(), "notset"])
async def test_a_level_that_is_none_is_refused(node: homing.Node, probe: Probe, level: Any) -> None:
    with pytest.raises(gen.BadOption, match="level"):
        node.set_log_level(level, probe.pid)


@pytest.mark.parametrize("target", [7, object(), b"x"])
async def test_a_target_of_another_kind_is_refused(node: homing.Node, target: Any) -> None:
    with pytest.raises(gen.BadOption, match="target"):
        node.set_log_level("info", target)


async def test_unknown_targets_are_refused(node: homing.Node) -> None:
    with pytest.raises(gen.ProcessUnknown):
        node.set_log_level("info", "nobody")
    with pytest.raises(gen.BadOption, match="level"):
        node.set_log_level(None)
