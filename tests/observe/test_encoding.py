"""JSON in portions is the same JSON."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.observe import RequestRefused
from homing.observe.encoding import LONG, TooLong, encode

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def encoded(value: Any) -> Any:
    return json.loads(b"".join(asyncio.run(encode(value, 1 << 30))))


@given(VALUES)
def test_it_is_what_json_dumps_would_give(value: Any) -> None:
    assert encoded(value) == value


@pytest.mark.parametrize(
    "value",
    [
        {"rows": [{"n": number} for number in range(3 * LONG + 1)]},
        {"rows": {str(number): {"n": number} for number in range(2 * LONG)}},
        {"applications": [{"processes": [{"n": number} for number in range(LONG + 1)]}, {"processes": []}]},
        [],
        {},
        {"empty": [], "none": {}},
        [[]] * (LONG + 1),
    ],
)
def test_long_tables_are_the_same_too(value: Any) -> None:
    assert encoded(value) == value


async def test_the_loop_polls_while_a_long_answer_is_encoded() -> None:
    polls = 0

    def poll() -> None:
        nonlocal polls
        polls += 1
        handles[0] = asyncio.get_running_loop().call_soon(poll)

    handles = [asyncio.get_running_loop().call_soon(poll)]
    await encode({"rows": [{"text": "x" * 1000}] * 1000}, 1 << 30)
    handles[0].cancel()
    assert polls >= 1_000_000 // (64 * 1024 + 64 * 1020)


async def test_more_than_allowed_is_refused() -> None:
    with pytest.raises(TooLong, match="the answer has more than 100 bytes; ask for fewer rows"):
        await encode(["x" * 200], 100)


@pytest.mark.parametrize(
    "value", [{"a": object()}, {"a": float("nan")}, {"a": {1: 2}}, {1: 2}, {"rows": [{"a": b"1"}] * 100}]
)
async def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(RequestRefused, match="the answer is no JSON: ") as refused:
        await encode(value, 1000)
    assert refused.value.code == "failed"


async def test_a_value_that_contains_itself_is_refused() -> None:
    value: dict[str, Any] = {}
    value["a"] = [value]
    with pytest.raises(RequestRefused, match="the answer is no JSON: "):
        await encode(value, 1 << 30)
