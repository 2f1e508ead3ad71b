"""The codec of kept states (`gen.ProcessOptions.state`): the rules and the types of messages between nodes."""

from __future__ import annotations

from typing import Any

from ..gen import BadOption
from ..gen.cluster import MESSAGES
from ..gen.foreign import safe_repr
from .fitting import Unreadable
from .types import Types


class StateTypes:
    """Encodes states of plain data and of the classes marked by `gen.message`, also of those marked later."""

    def __init__(self) -> None:
        self._marked: dict[str, type] = {}
        self._types: Types | None = None
        self._table: list[Any] = []
        self._readers: list[Any] = []

    def _current(self) -> Types:
        if self._types is None or self._marked != MESSAGES:
            types = Types()
            self._table = [list(row) for row in types.table()]
            self._readers = types.reader(self._table)
            self._marked, self._types = dict(MESSAGES), types
        return self._types

    def encode(self, value: Any) -> tuple[bytes, int, list[Any]]:
        """Returns a value's bytes, the number of its class, and the table of all classes. Raises `NotTransferable`,
        `BadOption`."""
        number, body = self._current().prepare(value)
        return bytes(body), number, self._table

    def decode(self, data: bytes, number: int, table: list[Any]) -> Any:
        """Returns the value of such bytes. Raises `BadOption` for a class that is not known here, or has changed."""
        types = self._current()
        readers = self._readers if table is self._table else types.reader(table)
        reader = readers[number] if 0 <= number < len(readers) else None
        if reader is None:
            name = next((row[1] for row in table if row[0] == number), number)
            raise BadOption("state", name, "mark a class by @gen.message under this name: no such class is known here")
        try:
            return reader(data)
        except Unreadable as error:
            raise BadOption("state", safe_repr(error), "the class has changed: give new fields defaults") from None
