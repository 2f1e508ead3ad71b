"""Garbage whose finalizers call the runtime: on the thread of the test, whichever thread collects it."""

from __future__ import annotations

import threading

from ..garbage import littered


def test_what_another_thread_collects_does_not_act_there() -> None:
    threads: set[int] = set()

    def note() -> None:
        threads.add(threading.get_ident())

    with littered(note) as litter:
        for _ in range(20):
            other = threading.Thread(target=lambda: [[] for _ in range(1000)])
            other.start()
            other.join()
        assert [[number] for number in range(1000)]
    assert threads == {threading.get_ident()}
    assert litter.collections > 10
