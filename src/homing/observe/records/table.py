"""The rows of any table."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class Rows(TypedDict):
    """A part of a table.

    total: rows that match the filters. more: of these, the rows that are left out.
    missing: of several nodes together: why a node is not in the answer, by its name.
    """

    total: int
    more: int
    missing: NotRequired[dict[str, str]]
