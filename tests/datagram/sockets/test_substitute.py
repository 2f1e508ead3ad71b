"""What a thread has entered in the place of the system's network counts for it, and for threads that belong to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from homing.datagram.sockets.substitute import current, enter

Run = Callable[[Callable[[], Any]], Any]


@pytest.fixture
def leaving() -> Iterator[ExitStack]:
    """Ends what a test has entered."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def on_thread() -> Iterator[Run]:
    """Runs a function on another thread, always the same one."""
    with ThreadPoolExecutor(1) as threads:
        yield lambda function: threads.submit(function).result()


def one(host: str, port: int, options: Any) -> str:
    return "one"


def other(host: str, port: int, options: Any) -> str:
    return "other"


def test_without_a_substitute_the_system_binds() -> None:
    assert current() is None


def test_the_innermost_counts_until_it_is_left(leaving: ExitStack) -> None:
    leaving.callback(enter(one))
    leave = enter(other)
    assert current() is other
    leave()
    assert current() is one


def test_substitutes_may_be_left_in_any_order(leaving: ExitStack) -> None:
    leave = enter(one)
    leaving.callback(enter(other))
    leave()
    assert current() is other


def test_a_substitute_does_not_count_for_other_threads(leaving: ExitStack, on_thread: Run) -> None:
    leaving.callback(enter(one))
    assert on_thread(current) is None


def test_a_substitute_counts_for_threads_that_belong_to_its_own(leaving: ExitStack, on_thread: Run) -> None:
    here = threading.get_ident()
    leaving.callback(enter(one, lambda: here))
    assert on_thread(current) is one


def test_one_that_a_thread_has_entered_itself_comes_first(leaving: ExitStack, on_thread: Run) -> None:
    here = threading.get_ident()
    leave = on_thread(lambda: enter(other, lambda: here))
    leaving.callback(enter(one, lambda: here))
    assert on_thread(current) is other
    on_thread(leave)
    assert on_thread(current) is one
