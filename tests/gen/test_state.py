"""The life of a process as a table: that it is a life."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing import gen
from homing.gen import TRANSITIONS, ProcessState


def reachable(start: ProcessState) -> set[ProcessState]:
    found: set[ProcessState] = set()
    rest = [start]
    while rest:
        for state in TRANSITIONS[rest.pop()] - found:
            found.add(state)
            rest.append(state)
    return found


def test_the_table_has_a_row_for_every_state() -> None:
    assert set(TRANSITIONS) == set(ProcessState)
    assert {state.value for state in ProcessState} == {
        "init",
        "sleep",
        "running",
        "wait response",
        "zombie",
        "terminated",
    }


def test_every_state_can_be_reached_from_init_and_init_from_none() -> None:
    assert reachable(ProcessState.INIT) == set(ProcessState) - {ProcessState.INIT}


@pytest.mark.parametrize("state", set(ProcessState) - {ProcessState.TERMINATED}, ids=lambda state: state.value)
def test_every_state_but_the_last_can_end(state: ProcessState) -> None:
    assert ProcessState.TERMINATED in reachable(state)


def test_nothing_leaves_terminated_and_a_zombie_can_only_end() -> None:
    assert TRANSITIONS[ProcessState.TERMINATED] == frozenset()
    assert TRANSITIONS[ProcessState.ZOMBIE] == {ProcessState.TERMINATED}


@given(st.data())
def test_whatever_way_a_life_takes_it_never_comes_back_from_its_end(data: st.DataObject) -> None:
    state, ended = ProcessState.INIT, False
    for _ in range(20):
        if not TRANSITIONS[state]:
            break
        state = data.draw(st.sampled_from(sorted(TRANSITIONS[state], key=lambda each: each.value)))
        assert state is not ProcessState.INIT
        assert not (ended and state is not ProcessState.TERMINATED)
        ended = ended or state in (ProcessState.ZOMBIE, ProcessState.TERMINATED)


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        gen.TRANSITIONS[ProcessState.INIT] = frozenset()  # type: ignore[index]
