"""The protocol of the control socket, version 1: lines of JSON.

A client sends one request, a line of at most `LONGEST_REQUEST` bytes. `v` is the version; `what` and the other fields
are those of `observe.Observer`:

    {"v": 1, "what": "processes", "limit": 10}

The node answers with one line, and closes:

    {"v": 1, "answer": {...}}
    {"v": 1, "error": {"code": "bad_request", "message": "..."}}

A stream is any number of items, then an end or an error. The client ends it by closing the connection:

    {"v": 1, "item": {...}}
    {"v": 1, "end": true}

The next item of a stream is made when the last has left, so that a slow client gets fewer of them, and nothing piles
up.
"""

from __future__ import annotations

import json
from typing import Any

from ..plain import shown
from ..refusals import Code, RequestRefused

VERSION = 1

LONGEST_REQUEST = 64 * 1024
"""Most bytes of a request. Only a message to a process needs more than a few hundred."""

LONGEST_ANSWER = 32 * 1024 * 1024
"""Most bytes of an answer, and of an item of a stream: some 30,000 processes."""

CODES: tuple[Code, ...] = ("bad_request", "unknown_target", "not_allowed", "failed")


def parse_request_untrusted(line: bytes) -> dict[str, Any]:
    """Returns a request. Raises only `RequestRefused`, whatever the bytes."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise RequestRefused("bad_request", "the request is not a line of JSON") from None
    if type(request) is not dict:
        raise RequestRefused("bad_request", f"the request is {shown(request)}: give an object with the field what")
    version = request.get("v")
    if type(version) is not int or version != VERSION:
        told = "no version" if version is None else f"version {shown(version)}"
        raise RequestRefused("bad_request", f'the request has {told}; this node speaks version 1: give "v": {VERSION}')
    return request


def error_of(refused: RequestRefused) -> dict[str, Any]:
    """Returns the error of an answer."""
    return {"code": refused.code, "message": refused.message}


def parse_answer_untrusted(line: bytes) -> tuple[str, Any]:
    """Returns the kind of a line from a node, "answer", "item" or "end", and its value.

    Raises `RequestRefused` for an error, and `ValueError` if it is none of these.
    """
    try:
        answer = json.loads(line)
    except RecursionError:
        raise ValueError("too deep") from None
    if type(answer) is not dict:
        raise ValueError("no object")
    error = answer.get("error")
    if type(error) is dict and error.get("code") in CODES:
        raise RequestRefused(error["code"], str(error.get("message")))
    if error is not None:  # of a node of an older version: a text
        raise RequestRefused("failed", str(error))
    for kind in ("answer", "item", "end"):
        if kind in answer:
            return kind, answer[kind]
    raise ValueError("no answer")
