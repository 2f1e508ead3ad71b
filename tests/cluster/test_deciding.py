"""What nodes decide about a singleton: in one view never more owners than copies, and what runs too much stops."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from homing.cluster.deciding import Verdict, View, decide
from homing.cluster.rendezvous import Candidate
from homing.gen import PID

NODES = ("a", "b", "c", "d", "e")
some = st.sets(st.sampled_from(NODES))
copies = st.integers(1, 3)


def view_of(own: str, voters: set[str], draining: set[str], running: set[str], votes: set[str] | None = None) -> View:
    """What a node sees where all see the same: all vote for it, if they vote as they see."""
    candidates = tuple(Candidate(name) for name in sorted(voters - draining))
    pids = {name: PID(name, 2000, 1) for name in sorted(running)}
    return View(own, frozenset(voters), candidates, pids, frozenset(voters if votes is None else votes))


@given(some, some, some, copies, st.integers(1, 5))
def test_nodes_that_see_the_same_run_no_more_copies_than_they_should(
    voters: set[str], draining: set[str], running: set[str], most: int, quorum: int
) -> None:
    running &= voters
    verdicts = {own: decide("x", view_of(own, voters, draining, running), most, quorum)[0] for own in voters}
    starting = [own for own, verdict in verdicts.items() if verdict is Verdict.RUN and own not in running]
    staying = [own for own in running if verdicts[own] in (Verdict.RUN, Verdict.WAIT)]
    assert len(starting) + len(staying) <= most
    if len(voters) < quorum:
        assert set(verdicts.values()) <= {Verdict.NO_QUORUM}


@given(some, some, some, copies, st.integers(1, 5), st.data())
def test_one_step_after_another_ends_with_exactly_the_owners(
    voters: set[str], draining: set[str], running: set[str], most: int, quorum: int, data: st.DataObject
) -> None:
    running &= voters
    for _ in range(40):
        acts = []
        for own in sorted(voters):
            verdict, other = decide("x", view_of(own, voters, draining, running), most, quorum)
            assert (other is not None) == (verdict is Verdict.CONFLICT)
            if verdict is Verdict.RUN and own not in running:
                acts.append((own, True))
            elif own in running and verdict in (Verdict.STOP, Verdict.CONFLICT, Verdict.NO_QUORUM):
                acts.append((own, False))
        if not acts:
            break
        own, run = data.draw(st.sampled_from(acts))
        (running.add if run else running.discard)(own)
    expected = 0 if len(voters) < quorum else min(most, len(voters - draining))
    assert len(running) == expected
    assert running <= voters - draining


def test_the_process_that_gives_way_is_told_which_one_stays() -> None:
    voters = {"a", "b"}
    owner = view_of("a", voters, set(), set()).owners("x", 1, 1)[0]
    other = "b" if owner == "a" else "a"
    assert decide("x", view_of(other, voters, set(), {"a", "b"}), 1, 1) == (Verdict.CONFLICT, PID(owner, 2000, 1))
    assert decide("x", view_of(other, voters, set(), {other}), 1, 1) == (Verdict.STOP, None)
    assert decide("x", view_of(owner, voters, set(), {other}), 1, 1) == (Verdict.WAIT, None)


sights = st.sets(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")))


@given(sights)
def test_of_three_nodes_of_which_some_do_not_see_each_other_at_most_one_has_the_votes_of_two(
    blind: set[tuple[str, str]],
) -> None:
    nodes = "abc"
    views = {
        own: {other for other in nodes if other == own or not {(own, other), (other, own)} & blind} for own in nodes
    }
    choice = {own: view_of(own, views[own], set(), set()).owners("x", 1, 1)[0] for own in nodes}
    running = []
    for own in nodes:
        votes = {other for other in views[own] if choice[other] == own}
        if decide("x", view_of(own, views[own], set(), set(), votes), 1, 2)[0] is Verdict.RUN:
            running.append(own)
    assert len(running) <= 1
