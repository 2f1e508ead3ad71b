"""Tables that fit a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from homing.cli.shell.table import Column, Row, layout, lines

COLUMNS = [
    Column(title="pid", cell=lambda row: str(row["pid"]), number=True),
    Column(title="name", cell=lambda row: row["name"]),
    Column(title="in", cell=lambda row: "100", number=True, rank=1),
    Column(title="out", cell=lambda row: "200", number=True, rank=1),
    Column(title="kind", cell=lambda row: "actor", rank=2),
]
ROWS: list[Row] = [{"pid": 7, "name": "a"}, {"pid": 1001, "name": "longer"}]


def shown(width: int | None, rows: list[Row] = ROWS) -> list[str]:
    return [line.plain for line in lines(layout(COLUMNS, rows, width), rows)]


def test_numbers_are_aligned_to_the_right_and_texts_to_the_left() -> None:
    assert shown(None) == [
        " pid  name     in  out  kind",
        "   7  a       100  200  actor",
        "1001  longer  100  200  actor",
    ]


def test_a_narrow_terminal_loses_the_columns_of_the_highest_rank() -> None:
    assert layout(COLUMNS, ROWS, 28).left_out == ["kind"]
    assert layout(COLUMNS, ROWS, 20).left_out == ["in", "out", "kind"]
    assert shown(14)[0] == " pid  name"


def test_a_long_text_is_cut_before_a_column_is_left_out() -> None:
    rows: list[Row] = [{"pid": 7, "name": "x" * 300}]
    (_, line) = shown(45, rows)
    assert "x…  100  200  actor" in line
    assert cell_len(line) == 45


def test_without_a_terminal_nothing_is_cut() -> None:
    assert "x" * 300 in shown(None, [{"pid": 7, "name": "x" * 300}])[1]


def test_a_table_without_rows_has_its_heading() -> None:
    assert shown(80, []) == ["pid  name  in  out  kind"]


@given(st.lists(st.text(st.sampled_from("ab日本語")), max_size=5), st.integers(36, 100))
def test_no_line_is_wider_than_the_terminal(names: list[str], width: int) -> None:
    rows: list[Row] = [{"pid": number, "name": name} for number, name in enumerate(names)]
    assert all(cell_len(line) <= width for line in shown(width, rows))
