"""The documentation as a site: each page has its place in it, and `make docs` sees a link that leads nowhere."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from .check_site import broken
from .pages import DOCS, PAGES, ROOT


def places(entry: Any) -> list[str]:
    """The pages that an entry of the navigation names."""
    if isinstance(entry, str):
        return [entry]
    entries = entry if isinstance(entry, list) else entry.values()
    return [place for below in entries for place in places(below)]


def test_each_page_has_one_place_in_the_navigation() -> None:
    nav = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    assert sorted(places(nav)) == sorted(str(path.relative_to(DOCS)) for path in PAGES)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.py")), ids=lambda path: path.stem)
def test_each_example_is_shown_on_one_page(path: Path) -> None:
    """In the form of three lines: a single one is Python to the formatter, which then takes the marker apart."""
    shown = f"```py\n--8<--\n{path.relative_to(ROOT)}\n--8<--\n```\n"
    assert [page.read_text().count(shown) for page in PAGES if shown in page.read_text()] == [1]


def test_a_link_to_no_page_and_one_to_no_heading_are_found(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "index.html").write_text('<h1 id="top">A</h1><a href="#top">1</a><a href="../b/">2</a>')
    (tmp_path / "index.html").write_text(
        '<a href="a/#top">3</a><a href="a/#end">4</a><a href="https://python.org">5</a>'
    )
    assert broken(tmp_path) == ["a/index.html: ../b/", "index.html: a/#end"]
