"""The lines of `homing nodes --watch`: the nodes of a cluster, then what changes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from ...observe.watching import apply
from .columns import CLUSTER_NODES
from .table import layout, lines
from .values import text

Row = dict[str, Any]


class NodeChanges:
    """Makes texts of the items of the stream `watch`."""

    def __init__(self) -> None:
        self._state: Row = {}

    def text_of(self, item: Row) -> str:
        """Returns the text of an item: a table of the nodes, later a line for each change; "" if nothing to tell has
        changed."""
        if "snapshot" in item:
            self._state = item["snapshot"]
            rows = list(_rows(self._state).values())
            return "\n".join(str(line) for line in lines(layout(CLUSTER_NODES, rows, None), rows))
        before = _rows(self._state)
        self._state = apply(self._state, item["delta"])
        now = time.strftime("%H:%M:%S")
        return "\n".join(f"{now} {text(change)}" for change in _changes(before, _rows(self._state)))


def _rows(state: Row) -> dict[str, Row]:
    rows: dict[str, Row] = state.get("nodes", {}).get("rows", {})
    return rows


def _changes(before: dict[str, Row], now: dict[str, Row]) -> Iterator[str]:
    for key in sorted({**before, **now}):
        old, new = before.get(key), now.get(key)
        name = (new or old or {}).get("name", key)
        was_up, is_up = _is_up(old), _is_up(new)
        if was_up and is_up and old is not None and new is not None and old.get("creation") != new.get("creation"):
            yield f"{name} was started again"
        elif was_up != is_up:
            yield f"{name} is {'up' if is_up else 'down'}"
        elif new is not None and new.get("draining") and not (old or {}).get("draining"):
            yield f"{name} drains"


def _is_up(row: Row | None) -> bool:
    return row is not None and bool(row.get("up"))
