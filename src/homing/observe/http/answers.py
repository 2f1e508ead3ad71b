"""Responses: JSON, errors, and events of a stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from ..control.protocol import LONGEST_ANSWER
from ..encoding import encode

STATUS = {"bad_request": 400, "unknown_target": 404, "not_allowed": 403, "failed": 500}
"""The status of each refusal of an observer."""


async def as_json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Returns a response of JSON."""
    body = b"".join([*await encode(value, LONGEST_ANSWER), b"\n"])
    return Response(body, status, headers, media_type="application/json")


async def as_error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Returns an error, as JSON."""
    return await as_json({"error": {"code": code, "message": message}}, status, headers)


async def event(item: Any, kind: str = "") -> bytes:
    """Returns an event of a stream of server-sent events. kind: "" for an item."""
    head = f"event: {kind}\ndata: " if kind else "data: "
    return b"".join([head.encode(), *await encode(item, LONGEST_ANSWER), b"\n\n"])  # JSON has no line breaks
