"""A lane does what a `collections.deque` does: the compiled one, and the same source interpreted."""

from __future__ import annotations

import importlib.util
import sys
from collections import deque
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import homing
from homing import gen
from homing.node.mailbox import lane as installed

from ...starving import failing, needs_starving


def interpreted() -> ModuleType:
    """`homing.node.mailbox.lane` from its source, whether or not it is compiled here."""
    source = Path(homing.__file__).parent / "node" / "mailbox" / "lane.py"
    spec = importlib.util.spec_from_file_location("homing.node.mailbox.interpreted_lane", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


KINDS = [installed.Lane, interpreted().Lane]
SENDER = gen.PID("lane@localhost", 1, 2)
ENTRY = st.one_of(st.builds(object), st.tuples(st.just(SENDER), st.one_of(st.none(), st.integers())))
STEP = st.one_of(
    st.tuples(st.just("append"), ENTRY),
    st.tuples(st.just("appendleft"), ENTRY),
    st.tuples(st.just("popleft"), st.none()),
    st.tuples(st.just("extend"), st.lists(ENTRY, max_size=20)),
    st.tuples(st.just("extendleft"), st.lists(ENTRY, max_size=20)),
    st.tuples(st.just("clear"), st.none()),
)


@pytest.mark.parametrize("kind", KINDS)
@given(steps=st.lists(STEP, max_size=60))
def test_it_does_what_a_deque_does(kind: Any, steps: list[tuple[str, Any]]) -> None:
    lane, model = kind(), deque[Any]()
    for name, argument in steps:
        if name == "popleft" and not model:
            with pytest.raises(IndexError):
                lane.popleft()
            continue
        arguments = () if argument is None else (argument,)
        assert getattr(lane, name)(*arguments) == getattr(model, name)(*arguments)
        assert (len(lane), bool(lane), list(lane)) == (len(model), bool(model), list(model))


@pytest.mark.parametrize("kind", KINDS)
@given(
    messages=st.lists(st.integers(), max_size=40),
    envelopes=st.lists(st.builds(object), max_size=5),
    before=st.integers(0, 20),
)
def test_messages_of_one_sender_go_in_together_and_come_out_without_tuples(
    kind: Any, messages: list[int], envelopes: list[object], before: int
) -> None:
    lane = kind()
    for number in range(before):  # so that the ring begins anywhere
        lane.extend([number, number])
        lane.popleft()
    for _ in range(before):
        lane.popleft()
    lane.extend(envelopes)
    lane.extend_from(SENDER, messages)
    assert list(lane) == [*envelopes, *((SENDER, message) for message in messages)]
    taken = []
    while lane:
        taken.append((lane.take(), lane.sender))
    assert taken == [*((envelope, None) for envelope in envelopes), *((message, SENDER) for message in messages)]


@pytest.mark.parametrize("kind", KINDS)
def test_it_keeps_nothing_that_was_taken_and_grows_small_again(kind: Any) -> None:
    lane, message = kind(), object()
    before = sys.getrefcount(message)
    lane.extend((SENDER, message) for _ in range(5000))
    taken = [lane.popleft() for _ in range(5000)]
    assert taken == [(SENDER, message)] * 5000
    del taken
    lane.extend_from(SENDER, [message] * 5000)
    while lane:
        lane.popleft()
    assert sys.getrefcount(message) == before


class Envelope:
    """An entry that names its sender."""

    def __init__(self, sender: Any) -> None:
        self.sender = sender


OTHER = gen.PID("lane@localhost", 7, 2)
OWNER = st.sampled_from([SENDER, OTHER])
OWNED = st.one_of(st.builds(object), st.builds(Envelope, OWNER), st.tuples(OWNER, st.sampled_from([None, 1, 2])))


@pytest.mark.parametrize("module", [installed, interpreted()])
@given(
    before=st.lists(OWNED, max_size=8),
    entries=st.lists(OWNED, max_size=30),
    count=st.integers(-1, 12),
    depth=st.integers(-1, 35),
)
def test_the_oldest_of_one_sender_go_and_the_others_stay_in_order(
    module: Any, before: list[Any], entries: list[Any], count: int, depth: int
) -> None:
    lane = module.make_lane()
    lane.extend([*before, *entries])
    for _ in before:  # so that it begins anywhere in its ring
        lane.popleft()
    looked_at = entries[: max(0, depth)]
    go = [number for number, entry in enumerate(looked_at) if module.sender_of(entry) is SENDER][: max(0, count)]
    assert module.drop_oldest(lane, SENDER, count, depth) == len(go)
    left = [entry for number, entry in enumerate(entries) if number not in go]
    assert len(lane) == len(left)
    assert all(ours is theirs or ours == theirs for ours, theirs in zip(lane, left, strict=True))


@needs_starving
@pytest.mark.parametrize("module", [installed, interpreted()])
def test_where_an_allocation_fails_the_oldest_go_or_stay_all_of_them(module: Any) -> None:
    if not module.COMPILED and sys.version_info >= (3, 12):
        pytest.skip("from 3.12 on, CPython allocates for loops and calls of its own, at any place of interpreted code")
    for number in range(1, 40):
        lane = module.make_lane()
        lane.extend((SENDER if index % 2 else OTHER, index) for index in range(400, 500))
        went = 0
        with failing(number):
            went = module.drop_oldest(lane, SENDER, 20, 90)
        assert [index for _, index in lane] == [
            index for index in range(400, 500) if not (went and index % 2 and index < 440)
        ]
        assert went in (0, 20)


def test_the_mailbox_takes_the_compiled_one_where_there_is_one() -> None:
    assert type(installed.make_lane()) is (installed.Lane if installed.COMPILED else deque)
