"""Tables of records: a column says how a record becomes a cell; at a terminal, the columns that fit are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.text import Text

Row: TypeAlias = dict[str, Any]

GAP = 2
"""Blanks between two columns."""

SHORTEST = 16
"""Least width that a text is cut to. A column is left out rather than cut texts further."""


def _plain(row: Row) -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table.

    title: its heading: one word. cell: returns the cell of a record.
    rank: columns with the highest are left out first if a terminal is too narrow; 0: never.
    sort: the order of the request that sorts by this column; "": there is none.
    number: aligned to the right, and never cut. style: returns the style of rich for a cell.
    """

    title: str
    cell: Callable[[Row], str]
    rank: int = 0
    sort: str = ""
    number: bool = False
    style: Callable[[Row], str] = _plain


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns with their widths, for a number of columns on the terminal. left_out: titles of the other columns."""

    columns: list[Column]
    widths: list[int]
    left_out: list[str]


def title_of(column: Column) -> str:
    """Returns the plain heading of a column."""
    return column.title


def layout(
    columns: Sequence[Column], rows: list[Row], width: int | None, heading: Callable[[Column], str] = title_of
) -> Layout:
    """Returns the columns that fit into `width`, of the lowest ranks; None: all of them, uncut."""
    natural = {
        column.title: max(cell_len(text) for text in (heading(column), *map(column.cell, rows))) for column in columns
    }
    shown = list(columns)
    least = {column.title: _least(column, natural[column.title]) for column in columns}
    while width is not None and len(shown) > 1 and _total([least[column.title] for column in shown]) > width:
        worst = max(shown, key=lambda column: column.rank)
        if worst.rank == 0:
            break
        shown = [column for column in shown if column.rank < worst.rank]
    widths = [natural[column.title] for column in shown]
    if width is not None:
        _cut(widths, [least[column.title] for column in shown], width)
    left_out = [column.title for column in columns if column not in shown]
    return Layout(shown, widths, left_out)


def _least(column: Column, natural: int) -> int:
    return natural if column.number else min(natural, SHORTEST)


def _total(widths: list[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _cut(widths: list[int], least: list[int], width: int) -> None:
    """Makes the widest texts narrower, until all fit."""
    while (excess := _total(widths) - width) > 0:
        room = [own - low for own, low in zip(widths, least, strict=True)]
        place = max(range(len(widths)), key=lambda place: (room[place] > 0, widths[place]))
        if room[place] <= 0:
            return  # what never is left out does not fit either: the terminal wraps the lines
        widths[place] -= min(excess, max(1, room[place] // 2))


def lines(found: Layout, rows: list[Row], heading: Callable[[Column], str] = title_of) -> list[Text]:
    """Returns the heading and a line for each record."""
    headings = [(heading(column), "bold") for column in found.columns]
    cells = [headings, *([(column.cell(row), column.style(row)) for column in found.columns] for row in rows)]
    return [_line(found, row) for row in cells]


def _line(found: Layout, cells: list[tuple[str, str]]) -> Text:
    line = Text(no_wrap=True)
    for place, (column, width, (cell, style)) in enumerate(zip(found.columns, found.widths, cells, strict=True)):
        line.append(fitted(cell, width, column.number), style)
        line.append("" if place == len(cells) - 1 else " " * GAP)
    line.rstrip()
    return line


def column_at(found: Layout, x: int) -> Column | None:
    """Returns the column at the place `x` of a line."""
    for column, width in zip(found.columns, found.widths, strict=True):
        if 0 <= x < width + GAP:
            return column
        x -= width + GAP
    return None


def fitted(cell: str, width: int, right: bool = False) -> str:
    """Returns a cell of exactly that width."""
    have = cell_len(cell)
    if have > width:
        return set_cell_size(cell, width - 1) + "…"
    return " " * (width - have) + cell if right else cell + " " * (width - have)
