"""The table on the screen: which records it shows, in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..columns import PROCESSES, SOCKETS
from ..table import Column, Row

MOST_ROWS = 200
"""Most rows of the table. More are found by filter and order, in the node."""


@dataclass(slots=True)
class View:
    """A table.

    what: its request, "processes" or "sockets". address: the field that names a record's target.
    sort: the order of the request. reverse: the opposite order. text: the filter.
    """

    what: str
    columns: list[Column]
    address: str
    sort: str
    reverse: bool = False
    text: str = ""

    def fields(self) -> dict[str, Any]:
        """Returns the fields of the request for its rows."""
        return {"sort": self.sort, "reverse": self.reverse, "filter": self.text, "limit": MOST_ROWS}

    def request(self) -> dict[str, Any]:
        """Returns the request for its rows."""
        return {"what": self.what, **self.fields()}

    def move_sort(self, step: int, shown: list[Column]) -> None:
        """Sorts by the next of the columns that are shown, or the one before."""
        orders = [column.sort for column in shown if column.sort] or [self.sort]
        place = orders.index(self.sort) if self.sort in orders else -step
        self.sort, self.reverse = orders[(place + step) % len(orders)], False

    def sort_by(self, column: Column) -> None:
        """Sorts by a column; a second time, the other way round."""
        if column.sort:
            self.reverse = column.sort == self.sort and not self.reverse
            self.sort = column.sort

    @property
    def sorted_by(self) -> str:
        """The title of the column that it is sorted by."""
        return next((column.title for column in self.columns if column.sort == self.sort), self.sort)

    def heading(self, column: Column) -> str:
        """Returns the heading of a column: an arrow shows the order."""
        if column.sort != self.sort:
            return column.title
        descending = column.number and column.sort != "id"
        return column.title + ("▼" if descending != self.reverse else "▲")

    def target(self, row: Row) -> str:
        """Returns the address of a record."""
        return str(row[self.address])


def views(sort: str, text: str) -> list[View]:
    """Returns the tables. sort: a column of the processes; "": the default. Raises `ValueError` if there is none."""
    orders = {name: column.sort for column in PROCESSES if column.sort for name in (column.sort, column.title)}
    if sort and sort not in orders:
        raise ValueError(f"sort={sort!r}: give one of {', '.join(c.title for c in PROCESSES if c.sort)}")
    processes = View("processes", PROCESSES, "pid", orders.get(sort, "running"), text=text)
    return [processes, View("sockets", SOCKETS, "alias", "packets_in_rate", text=text)]
