"""The table of groups: whatever comes in whatever order, it is the union of what each node has told last."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from homing.cluster.membership import MOST_MEMBERSHIPS, Membership
from homing.gen import PID

NODES, GROUPS = ("here", "there", "far"), ("g", "h")
pids = st.builds(PID, st.sampled_from(NODES), st.integers(1001, 1004), st.just(1))
steps = st.one_of(
    st.tuples(st.sampled_from(["join", "leave"]), st.sampled_from(GROUPS), pids),
    st.tuples(st.just("forget"), st.sampled_from(NODES), st.none()),
    st.tuples(st.just("replace"), st.sampled_from(NODES), st.lists(st.tuples(st.sampled_from(GROUPS), pids))),
)


@given(st.lists(steps, max_size=30))
def test_members_and_notices_are_those_of_a_set_of_memberships(life: list[Any]) -> None:
    told: set[tuple[str, PID]] = set()

    def changed(group: str, joined: tuple[PID, ...], left: tuple[PID, ...]) -> None:
        assert bool(joined) != bool(left)
        for pid in joined:
            assert (group, pid) not in told
            told.add((group, pid))
        for pid in left:
            told.remove((group, pid))

    table, model = Membership("here", changed), set()
    for word, where, what in life:
        if word == "join":
            table.join(where, (what,))
            model.add((where, what))
        elif word == "leave":
            table.leave(where, (what,))
            model.discard((where, what))
        else:
            now = [(group, pid) for group, pid in what or () if pid.node == where]
            model = {each for each in model if each[1].node != where} | set(now)
            if word == "forget":
                table.forget(where)
            else:
                table.replace(where, [(group, [pid]) for group, pid in now])
        assert told == model
        for group in GROUPS:
            expected = {pid for name, pid in model if name == group}
            assert set(table.members(group)) == expected
            assert len(table.members(group)) == len(expected)
            assert set(table.nodes(group)) == {pid.node for pid in expected}
        assert set(table.groups()) == {group for group, _ in model}


def test_a_node_that_tells_of_too_many_members_does_not_use_up_the_memory() -> None:
    table = Membership("here", lambda group, joined, left: None)
    table.join("g", (PID("there", number, 1) for number in range(MOST_MEMBERSHIPS + 5)))
    assert len(table.members("g")) == MOST_MEMBERSHIPS
    assert table.refused == 5
    table.join("g", [PID("here", 1001, 1)])
    assert len(table.members("g")) == MOST_MEMBERSHIPS + 1
