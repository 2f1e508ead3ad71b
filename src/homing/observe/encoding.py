"""JSON of large answers, in portions: `json.dumps` of ten thousand rows at once would hold the loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from ..gen.foreign import class_name
from .refusals import RequestRefused

LONG = 64
"""Entries of a list or an object from which on it is encoded in portions."""

_PORTION_BYTES = 64 * 1024
"""Bytes that are encoded before the loop polls: less than a millisecond."""


_dumps = json.JSONEncoder(allow_nan=False).encode


class TooLong(RequestRefused):
    """The answer is longer than allowed."""


async def encode(value: Any, most: int) -> list[bytes]:
    """Returns the JSON of `value` in pieces, together at most `most` bytes. Raises `TooLong`; `RequestRefused` if a
    handler of the program has returned what JSON cannot hold."""
    pieces: list[bytes] = []
    size = since = 0
    try:
        for text in _pieces(value, 2):
            pieces.append(text.encode())
            size += len(text)
            since += len(text)
            if size > most:
                raise TooLong("failed", f"the answer has more than {most} bytes; ask for fewer rows")
            if since >= _PORTION_BYTES:
                since = 0
                await asyncio.sleep(0)
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestRefused("failed", f"the answer is no JSON: {error}") from None
    return pieces


def _pieces(value: Any, levels: int) -> Iterator[str]:
    """Yields the JSON of `value`. The first `levels` of objects, and all that contain something long, are divided."""
    if type(value) is dict and (levels or len(value) > LONG or _has_long(value)):
        before = "{"
        for key, item in value.items():
            if type(key) is not str:
                raise TypeError(f"a key is a {class_name(key)}")
            yield f"{before}{_dumps(key)}: "
            yield from _pieces(item, max(0, levels - 1))
            before = ", "
        yield "}" if before == ", " else "{}"
    elif type(value) is list and value:
        before = "["
        items = iter(value)
        while portion := list(islice(items, LONG)):
            if any(map(_has_long, portion)):
                for item in portion:
                    yield before
                    yield from _pieces(item, 0)
                    before = ", "
            else:
                yield before + _dumps(portion)[1:-1]
                before = ", "
        yield "]"
    else:
        yield _dumps(value)


def _has_long(value: Any) -> bool:
    return type(value) is dict and any(type(item) in (dict, list) and len(item) > LONG for item in value.values())
