"""Types of supervisors x restart strategies x reasons x positions: who is restarted, who stays, and in what order."""

from __future__ import annotations

import pytest

import homing
from homing import act, gen
from homing.act.supervisor.strategies import affected, shuts_down, starts_again

from ...faults.figures import figure
from .supervision import (
    ALL,
    ONE,
    PERMANENT,
    REST,
    RUNNING,
    SIMPLE,
    TEMPORARY,
    TERMINATED,
    TRANSIENT,
    Child,
    child,
    children,
    end,
    pids,
    supervise,
)

REASONS: dict[str, BaseException] = {
    "normal": gen.TerminateNormal(),
    "shutdown": gen.TerminateShutdown(),
    "kill": gen.TerminateKill(),
    "exception": RuntimeError("crash"),
    "panic": SystemExit(1),
}
ENDS_FOR_GOOD = {
    (TRANSIENT, "normal"),
    (TRANSIENT, "shutdown"),
    *((TEMPORARY, reason) for reason in REASONS),
}
CONCERNED = {
    (ONE, "a"): "a",
    (ONE, "b"): "b",
    (ONE, "c"): "c",
    (REST, "a"): "abc",
    (REST, "b"): "bc",
    (REST, "c"): "c",
    (ALL, "a"): "abc",
    (ALL, "b"): "abc",
    (ALL, "c"): "abc",
}
"""Who is started again when that child is, by hand."""


@pytest.mark.parametrize("others", [PERMANENT, TRANSIENT, TEMPORARY], ids=lambda each: f"others-{each.value}")
@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("strategy", [PERMANENT, TRANSIENT, TEMPORARY], ids=lambda each: each.value)
@pytest.mark.parametrize(("kind", "ended"), CONCERNED, ids=lambda each: getattr(each, "value", each))
async def test_the_end_of_a_child_concerns_whom_it_should_and_nobody_else(
    kind: act.SupervisorType,
    ended: str,
    strategy: act.RestartStrategy,
    reason: str,
    others: act.RestartStrategy,
    node: homing.Node,
) -> None:
    events: list[str] = []
    strategies = {label: strategy if label == ended else others for label in "abc"}
    specs = [child(events, label, restart=each) for label, each in strategies.items()]
    await supervise(node, *specs, type=kind)
    before = await pids(node)
    events.clear()
    await end(node, ended, REASONS[reason])
    after = await children(node)

    for_good = (strategy, reason) in ENDS_FOR_GOOD
    concerned = ended if for_good else CONCERNED[kind, ended]
    back = "" if for_good else "".join(each for each in concerned if strategies[each] is not TEMPORARY)
    gone = "".join(each for each in concerned if strategies[each] is TEMPORARY)
    ends = [f"-{ended}", *(f"-{each}" for each in reversed(concerned) if each != ended)]
    assert events == ends + [f"+{each}" for each in back]
    assert list(after) == [each for each in "abc" if each not in gone]
    for label, info in after.items():
        if label in back:
            assert info.state is RUNNING
            assert info.pid not in (None, before[label])
            assert info.restarts == 1
        elif label in concerned:
            assert (info.state, info.pid) == (TERMINATED, None)
        else:
            assert (info.state, info.pid, info.restarts, info.reason) == (RUNNING, before[label], 0, None)
        assert info.restart is strategies[label]
    combinations = len(CONCERNED) * 3 * len(REASONS) * 3
    figure(17, "combinations of type, child, strategy, reason and other strategies as they should be", combinations)


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("strategy", [PERMANENT, TRANSIENT, TEMPORARY], ids=lambda each: each.value)
@pytest.mark.parametrize("ended", "abc")
async def test_an_instance_is_restarted_alone_with_its_own_arguments_or_is_gone(
    ended: str, strategy: act.RestartStrategy, reason: str, node: homing.Node
) -> None:
    events: list[str] = []
    template = act.ChildSpec(name="instance", behavior=Child, args=(events,), restart=strategy)
    supervisor = await supervise(node, template, type=SIMPLE)
    before = {label: await node.call(supervisor, act.StartChild(args=(label,))) for label in "abc"}
    events.clear()
    await end(node, before[ended], REASONS[reason])
    after = [info.pid for info in await node.call(supervisor, act.WhichChildren())]
    stay = [pid for label, pid in before.items() if label != ended]
    if (strategy, reason) in ENDS_FOR_GOOD:
        assert events == [f"-{ended}"]
        assert after == stay
    else:
        assert events == [f"-{ended}", f"+{ended}"]
        assert [pid for pid in after if pid in stay] == stay
        assert len(after) == 3
        assert before[ended] not in after


# --- the rules themselves ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "ended"), CONCERNED, ids=lambda each: getattr(each, "value", each))
def test_the_type_tells_whom_a_restart_concerns(kind: act.SupervisorType, ended: str) -> None:
    assert affected(kind, "abc", ended) == list(CONCERNED[kind, ended])


@pytest.mark.parametrize(
    ("strategy", "reasons"),
    [
        (PERMANENT, [True, True, True, True, True]),
        (TRANSIENT, [False, False, False, True, True]),
        (TEMPORARY, [False, False, False, False, False]),
    ],
)
def test_the_strategy_tells_whether_a_child_is_started_again(
    strategy: act.RestartStrategy, reasons: list[bool]
) -> None:
    ends = (gen.TerminateNormal(), gen.TerminateShutdown(), gen.TerminateRestart(), gen.TerminateKill(), ValueError())
    assert [starts_again(strategy, reason) for reason in ends] == reasons


@pytest.mark.parametrize(
    ("mode", "alone", "among_others"),
    [
        (act.AutoShutdown.NEVER, False, False),
        (act.AutoShutdown.ANY_SIGNIFICANT, True, True),
        (act.AutoShutdown.ALL_SIGNIFICANT, True, False),
    ],
)
def test_the_mode_tells_whether_a_significant_end_ends_the_supervisor(
    mode: act.AutoShutdown, alone: bool, among_others: bool
) -> None:
    assert shuts_down(mode, others=False) is alone
    assert shuts_down(mode, others=True) is among_others
