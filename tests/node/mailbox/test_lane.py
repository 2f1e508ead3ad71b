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

from homing import gen
from homing.node.mailbox import lane as installed


def interpreted() -> ModuleType:
    """`homing.node.mailbox.lane` from its source, whether or not it is compiled here."""
    source = Path(installed.__file__).with_name("lane.py")
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
@given(messages=st.lists(st.integers(), max_size=40), envelopes=st.lists(st.builds(object), max_size=5))
def test_messages_of_one_sender_go_in_together_and_come_out_without_tuples(
    kind: Any, messages: list[int], envelopes: list[object]
) -> None:
    lane = kind()
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
    assert sys.getrefcount(message) == before


def test_the_mailbox_takes_the_compiled_one_where_there_is_one() -> None:
    assert type(installed.make_lane()) is (installed.Lane if installed.COMPILED else deque)
