"""The buffer pool by itself."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing import meta


def test_a_pool_gives_writable_buffers_of_its_size() -> None:
    buffer = meta.BufferPool(size=100).get()
    assert len(buffer) == 100
    buffer[99] = 1


def test_a_buffer_that_came_back_is_lent_again() -> None:
    pool = meta.BufferPool(size=10)
    buffer = pool.get()
    pool.put(buffer)
    assert pool.get() is buffer
    assert pool.allocated == 1


def test_a_buffer_is_never_lent_twice_at_a_time() -> None:
    pool = meta.BufferPool(size=10, capacity=2)
    lent = [pool.get() for _ in range(10)]
    assert len({id(buffer) for buffer in lent}) == 10
    assert pool.lent == 10


def test_no_more_buffers_than_the_capacity_are_kept() -> None:
    pool = meta.BufferPool(size=10, capacity=3)
    for buffer in [pool.get() for _ in range(10)]:
        pool.put(buffer)
    assert (pool.idle, pool.lent) == (3, 0)


def test_a_buffer_that_comes_back_twice_is_kept_once_and_counted_as_foreign() -> None:
    pool = meta.BufferPool(size=10)
    buffer = pool.get()
    pool.put(buffer)
    pool.put(buffer)
    assert (pool.idle, pool.foreign) == (1, 1)


@pytest.mark.parametrize("thing", [bytearray(10), bytearray(1), b"bytes", None, "text", 5])
def test_what_the_pool_has_not_lent_is_counted_as_foreign_and_not_kept(thing: object) -> None:
    pool = meta.BufferPool(size=10)
    pool.put(thing)
    assert (pool.idle, pool.foreign) == (0, 1)


def test_a_view_of_a_part_of_a_buffer_brings_the_whole_buffer_back() -> None:
    pool = meta.BufferPool(size=10)
    view = memoryview(pool.get())[2:5]
    pool.put(view)
    assert pool.lent == 0
    assert len(pool.get()) == 10


def test_a_buffer_that_somebody_still_looks_at_is_replaced_by_a_new_one() -> None:
    pool = meta.BufferPool(size=10)
    buffer = pool.get()
    view = memoryview(buffer)[:5]
    pool.put(buffer)
    assert pool.replaced == 1
    other = pool.get()
    other[:5] = b"other"
    assert other is not buffer
    assert bytes(view) == bytes(5)


def test_a_buffer_keeps_its_size_however_often_it_comes_back() -> None:
    pool = meta.BufferPool(size=65535)
    for _ in range(100):
        buffer = pool.get()
        assert len(buffer) == 65535
        pool.put(buffer)


def test_a_pool_tells_its_numbers() -> None:
    pool = meta.BufferPool(size=10, capacity=5)
    pool.get()
    assert repr(pool) == "BufferPool(size=10, capacity=5, idle=0, lent=1)"


def test_several_threads_may_use_one_pool() -> None:
    pool = meta.BufferPool(size=10, capacity=8)
    failures: list[str] = []

    def body(mark: int) -> None:
        for _ in range(2000):
            buffer = pool.get()
            buffer[:] = bytes([mark]) * 10
            if bytes(buffer) != bytes([mark]) * 10:
                failures.append("two had the same buffer")
            pool.put(buffer)

    threads = [threading.Thread(target=body, args=(mark,)) for mark in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert (pool.lent, pool.foreign) == (0, 0)


@given(
    steps=st.lists(st.sampled_from(["get", "put", "put first", "put again"]), max_size=60), capacity=st.integers(1, 4)
)
def test_whatever_is_done_the_buffers_out_are_distinct_and_counted(steps: list[str], capacity: int) -> None:
    pool = meta.BufferPool(size=4, capacity=capacity)
    out: list[bytearray] = []
    returned: list[bytearray] = []
    for step in steps:
        if step == "get":
            out.append(pool.get())
        elif step == "put again" and returned and all(returned[-1] is not buffer for buffer in out):
            pool.put(returned[-1])
        elif step.startswith("put") and step != "put again" and out:
            buffer = out.pop(0 if step == "put first" else -1)
            pool.put(buffer)
            returned.append(buffer)
        assert len({id(buffer) for buffer in out}) == len(out) == pool.lent
        assert pool.idle <= capacity
