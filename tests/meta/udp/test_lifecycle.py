"""The lives of servers and clients are tables: what is not in them raises."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import pytest

from homing.meta.udp.lifecycle import IllegalTransition, Lifecycle
from homing.meta.udp_client import phase as of_client
from homing.meta.udp_server import phase as of_server

TABLES: list[tuple[Mapping[Any, frozenset[Any]], type[enum.Enum]]] = [
    (of_client.TRANSITIONS, of_client.Phase),
    (of_server.TRANSITIONS, of_server.Phase),
]
STEPS = [(table, one, other) for table, phases in TABLES for one in phases for other in phases]


@pytest.mark.parametrize(("table", "before", "after"), STEPS, ids=lambda value: getattr(value, "value", ""))
def test_a_state_follows_only_those_that_the_table_names(
    table: Mapping[Any, frozenset[Any]], before: enum.Enum, after: enum.Enum
) -> None:
    life: Lifecycle[Any] = Lifecycle(table, before)
    if after in table[before]:
        life.enter(after)
        assert life.state is after
        return
    with pytest.raises(IllegalTransition, match=before.value):
        life.enter(after)
    assert life.state is before


@pytest.mark.parametrize(("table", "phases"), TABLES)
def test_a_table_names_every_state_and_each_can_be_reached(
    table: Mapping[Any, frozenset[Any]], phases: type[enum.Enum]
) -> None:
    assert set(table) == set(phases)
    first = {of_client.Phase.NAMED, of_server.Phase.BOUND, of_server.Phase.ADOPTING}
    assert set(phases) - first == set().union(*table.values())


@pytest.mark.parametrize(("table", "phases"), TABLES)
def test_every_life_can_be_ended_once(table: Mapping[Any, frozenset[Any]], phases: type[enum.Enum]) -> None:
    closed: Any = phases["CLOSED"]
    last = [state for state in phases if not table[state]]
    assert closed in last
    assert all(closed in table[state] for state in phases if state not in last)
