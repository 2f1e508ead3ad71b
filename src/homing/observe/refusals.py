"""The refusal of a request."""

from __future__ import annotations

from typing import Literal, TypeAlias

from ..gen import HomingError

Code: TypeAlias = Literal["bad_request", "unknown_target", "not_allowed", "failed"]
"""Whose fault it is. "bad_request": the request is malformed. "unknown_target": nothing has that address.
"not_allowed": the request changes the node, which allows only reading. "failed": the node could not carry it out."""


class RequestRefused(HomingError):
    """A request to an observer was not carried out.

    code: the kind of refusal, for programs. message: the reason, for people.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
