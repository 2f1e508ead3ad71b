"""The lines of the keys of a TOML file."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.cli.config.lines import lines_of


def test_each_key_and_table_has_the_line_on_which_it_stands() -> None:
    text = 'name = "x"\n\na.b = 1\n[servers."dns.answer"]\nport = 1\n[[groups]]\naddress = "y"\n'
    assert lines_of(text) == {
        ("name",): 1,
        ("a",): 3,
        ("a", "b"): 3,
        ("servers",): 4,
        ("servers", "dns.answer"): 4,
        ("servers", "dns.answer", "port"): 5,
        ("groups",): 6,
        ("groups", 0): 6,
        ("groups", 0, "address"): 7,
    }


def test_a_line_in_a_text_or_an_array_is_not_taken_for_a_key() -> None:
    text = 'text = """\nport = 3\n[app]\n"""\nlist = [\n  "a",  # port = 4\n]\nport = 5\n'
    assert lines_of(text) == {("text",): 1, ("list",): 5, ("list", 0): 6, ("port",): 8}


def test_the_keys_of_an_inline_table_have_the_line_of_the_table() -> None:
    assert lines_of("\nlimit = { rate = 5 }\n")["limit", "rate"] == 2


def test_each_table_of_an_array_and_what_is_in_it_has_its_own_line() -> None:
    text = "[[a]]\nx = 1\n[[a.b]]\ny = 1\n[[a]]\nx = 2\n[a.c]\nz = 1\n[[a.b]]\n[[a.b]]\ny = 2\n"
    assert lines_of(text) == {
        ("a",): 1,
        ("a", 0): 1,
        ("a", 0, "x"): 2,
        ("a", 0, "b"): 3,
        ("a", 0, "b", 0): 3,
        ("a", 0, "b", 0, "y"): 4,
        ("a", 1): 5,
        ("a", 1, "x"): 6,
        ("a", 1, "c"): 7,
        ("a", 1, "c", "z"): 8,
        ("a", 1, "b"): 9,
        ("a", 1, "b", 0): 9,
        ("a", 1, "b", 1): 10,
        ("a", 1, "b", 1, "y"): 11,
    }


def test_each_element_of_an_array_and_what_is_in_it_has_its_own_line() -> None:
    found = lines_of("a = [\n{ w = 1 },\n[5],\n]\n")
    assert found == {("a",): 1, ("a", 0): 2, ("a", 0, "w"): 2, ("a", 1): 3, ("a", 1, 0): 3}


@pytest.mark.parametrize(
    "text",
    [
        "a = 1 # [b]\r\n\r\n'c' = 2\r\n",
        'a = """x\\"""""" # """\n\nc = 2',
        "a = '''''\n\\'''\n\"c\" = 2",
        '# \x85 \u2028 \'\n\n"\\u0063" = 2',
        'a = "\\"= [" # "\n  \t\n\tc\t=\t2',
        "a.'b=]'.\"#\" = 1\n\n c = -1_0.0e5",
    ],
)
def test_line_ends_quotes_and_comments_are_read_as_the_parser_reads_them(text: str) -> None:
    assert tomllib.loads(text)["c"]
    assert lines_of(text)["c",] == 3


@pytest.mark.parametrize(
    "value", ["[\n" + "1,\n" * 50_000 + "]", '"""' + "text\n" * 50_000 + '"""', "[" * 200 + "]" * 200]
)
def test_a_long_value_does_not_take_long_and_later_keys_are_still_found(value: str) -> None:
    text = f"list = {value}\n[table]\nport = 5\n"
    assert lines_of(text)["table", "port"] == text.splitlines().index("port = 5") + 1


_KEYS = st.sampled_from(["a", "b-c", "d_1"])
_VALUES = st.sampled_from(["1", '"x"', '"""\nq = 1\n"""', "[\n1,\n2]", "{ z = 1 }"])


@given(tables=st.lists(st.dictionaries(_KEYS, _VALUES, max_size=3), max_size=3))
def test_every_key_of_the_parsed_file_has_a_line_and_it_contains_the_key(tables: list[dict[str, str]]) -> None:
    parts = [f"[t{n}]\n" + "".join(f"{key} = {value}\n" for key, value in t.items()) for n, t in enumerate(tables)]
    text = "\n# a comment = 1\n".join(parts)
    found, rows = lines_of(text), text.splitlines()
    parsed: dict[str, Any] = tomllib.loads(text)
    for table, values in parsed.items():
        assert rows[found[(table,)] - 1] == f"[{table}]"
        for key in values:
            assert rows[found[table, key] - 1].startswith(f"{key} = ")
