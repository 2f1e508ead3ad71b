"""The parts of the page that need no node: numbers, buffers, patches, texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import ALONE, without_a_node


@pytest.fixture
def evaluate(open_page: Callable[..., Any]) -> Callable[[str, str], Any]:
    """Evaluates an expression with a module of the page as `it`."""
    page = open_page(f"{ALONE}page/icon.svg", first=without_a_node)
    return lambda module, text: page.evaluate(f"import('/page/{module}.js').then((it) => {text})")


def test_numbers_are_written_with_their_units(evaluate: Callable[[str, str], Any]) -> None:
    for text, shown in {
        "it.seconds(null)": "\u2013",
        "it.seconds(0)": "0 s",
        "it.seconds(0.0000123)": "12 µs",
        "it.seconds(0.00345)": "3.4 ms",
        "it.seconds(0.9999)": "1.0 s",
        "it.seconds(59.7)": "1 m 0 s",
        "it.seconds(3 * 86400 + 7200)": "3 d 2 h",
        "it.bytes(212992)": "208 KiB",
        "it.bytes(1.5 * 2 ** 30)": "1.5 GiB",
        "it.rate(0.125)": "0.13",
        "it.rate(1234.5)": "1,235",
        "it.percent(0.0001)": "< 0.1 %",
        "it.percent(0.42)": "42 %",
        "it.short(2500000)": "2.5M",
        "it.short(12345)": "12.3k",
        "it.fact({a: [1, 2], b: null})": "a 1, 2, b \u2013",
    }.items():
        assert evaluate("format", text).replace("\u00a0", " ") == shown, text


def test_invisible_and_reordering_characters_are_shown(evaluate: Callable[[str, str], Any]) -> None:
    assert evaluate("dom", "it.clean('a\\u202eb\\u0000c\\ud800d\\u200be')") == "a\\u{202e}b\\u{0}c\\u{d800}d\\u{200b}e"
    assert evaluate("dom", "it.clean('x'.repeat(1e6)).length") == 20000


def test_changes_are_merged_as_rfc_7396_says(evaluate: Callable[[str, str], Any]) -> None:
    assert evaluate("live", "it.apply({a: {b: 1, c: [1]}, d: 2}, {a: {b: null, c: [2]}, e: {f: null}})") == {
        "a": {"c": [2]},
        "d": 2,
        "e": {},
    }


def test_the_history_keeps_the_last_rows(evaluate: Callable[[str, str], Any]) -> None:
    text = "[0,1,2,3,4].reduce((kept, at) => (kept.push(at, at % 2 ? {a: at} : {b: at}), kept), new it.History(3))"
    assert evaluate("history", f"{text}.window(['a', 'b'], 100, 4)") == [[2, 3, 4], [None, 3, None], [2, None, 4]]
    assert evaluate("history", f"{text}.window(['a'], 1, 4)") == [[3, 4], [3, None]]


def test_drops_count_by_cause_from_one_look_to_the_next(evaluate: Callable[[str, str], Any]) -> None:
    look = "{alias: name, drops: [{direction: 'in', cause: 'kernel', count}]}"
    text = f"""(() => {{
        const kept = new it.Recorder();
        const sockets = (counts) => Object.entries(counts).map(([name, count]) => ({look}));
        kept.add(10, {{}}, sockets({{a: 100}}));
        kept.add(12, {{}}, sockets({{a: 104, b: 50}}));
        return [kept.rates.get('in kernel'), kept.totals.get('in kernel')];
    }})()"""
    assert evaluate("history", text) == [2, 154]  # a socket that is new has not dropped all that in these seconds
