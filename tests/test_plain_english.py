"""Turns of phrase that have to be read twice are refused, in the sources, the README and the documentation.

`plain_english_exceptions.txt` lists the files and folders that may still have some. The list may only shrink.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
EXCEPTIONS = Path(__file__).parent / "plain_english_exceptions.txt"
MOST_EXCEPTIONS = 5
"""Lines of the list of exceptions. Lower it when a line is removed; never raise it."""

_SENTENCE = r"(?:^|(?<=[.:;] ))"

REPLACEMENTS = {
    _SENTENCE + r"What (?![^.]*\?)[a-z]": 'a noun: "The datagrams that ..."',
    _SENTENCE + r"Who (?![^.]*\?)[a-z]": 'a noun: "A process that ..."',
    r"\b[Ww]hoever\b": 'a noun: "the caller", "any process"',
    r"^Gives? (?!an? )[a-z]": '"Returns"',
    r"\b(?:is|are|was|were|be|been) told\b(?! apart)": '"gets", "is notified", "is reported"',
    r"\b(?:has|have|had|is|are|was|were) gone\b": '"has ended", "no longer exists"',
    r"\bgo(?:es)? on\b": '"continue"',
    r"\bheard\b": '"received"',
    r"\blets? go\b": '"dropped", "released"',
    r"\bwhat (?:is|was) left\b": '"the rest", "the remaining ..."',
    r"\bhand(?:s|ed|ing)? on\b": '"deliver", "pass"',
    r"(?<!there )\b(?:is|are) none\b(?! of)": '"is not a ..."',
    r"\b[Aa] second time (?:it )?does nothing": '"A second call does nothing"',
    r"\bat a stretch\b": '"at once", "in a row"',
    r"\bin the midst of\b": '"during", "inside"',
    r"\ball the same\b": '"still", "nevertheless"',
    r"\bfor ever\b": '"forever"',
    r"\blest\b": '"so that ... not"',
    r"\boctets?\b": '"bytes", except in wire formats',
}
"""Patterns, each with the words to write instead."""

_QUOTED = r'"""(.*?)"""|"((?:\\.|[^"\\\n])*)"|' + r"'((?:\\.|[^'\\\n])*)'"
_PIECE = re.compile(rf"{_QUOTED}|(#[^\n]*(?:\n[ \t]*#[^\n]*)*)", re.DOTALL)
_PARAGRAPH = re.compile(r"[^\n]+(?:\n(?! *\n)[^\n]+)*")
_BLOCK = re.compile(r"^ *(?!#)[^\n]+(?:\n(?! *(?:[-*|>#\n]|\d+\. ))[^\n]+)*", re.MULTILINE)
_FENCED = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)


class Fault(NamedTuple):
    """A refused turn of phrase."""

    line: int
    words: str
    instead: str


def pieces_of_source(text: str) -> Iterator[tuple[int, str]]:
    """Docstrings by paragraph, other strings, and comments, each with its position."""
    for found in _PIECE.finditer(text):
        group = found.lastindex or 0
        for paragraph in _PARAGRAPH.finditer(found[group]):
            words = re.sub(r"^[ \t]*#+", "", paragraph[0], flags=re.MULTILINE) if group == 4 else paragraph[0]
            yield found.start(group) + paragraph.start(), words


def pieces_of_page(text: str) -> Iterator[tuple[int, str]]:
    """Paragraphs, list items and rows of tables, each with its position; no headings and no code."""
    text = _FENCED.sub(lambda fenced: re.sub(r"[^\n]", " ", fenced[0]), text)
    for found in _BLOCK.finditer(text):
        yield found.start(), re.sub(r"^ *(?:[-*|>]|\d+\.) +", "", found[0])


def faults_in(pieces: Iterator[tuple[int, str]], text: str) -> Iterator[Fault]:
    for start, piece in pieces:
        plain = re.sub(r"\s+", " ", re.sub(r"`[^`]*`", "`...`", piece)).strip()
        for pattern, instead in REPLACEMENTS.items():
            for hit in re.finditer(pattern, plain):
                yield Fault(text.count("\n", 0, start) + 1, plain[hit.start() : hit.end() + 30], instead)


@cache
def all_faults() -> dict[str, list[Fault]]:
    """The faults of each file that has any, by path."""
    sources = [path for path in (ROOT / "src/homing").rglob("*") if path.suffix in (".py", ".pyx", ".pxd", ".pyi")]
    found = {}
    for path in (*sources, ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        pieces = pieces_of_page(text) if path.suffix == ".md" else pieces_of_source(text)
        if faults := list(faults_in(pieces, text)):
            found[path.relative_to(ROOT).as_posix()] = faults
    return found


class Exempt(NamedTuple):
    """A file, or a folder if it ends in "/", that may have faults: those with these words, or all ("*")."""

    path: str
    words: str
    reason: str

    def covers(self, path: str, fault: Fault) -> bool:
        return path.startswith(self.path) and (self.words == "*" or self.words in fault.words)


@cache
def exceptions() -> list[Exempt]:
    lines = [line for line in EXCEPTIONS.read_text().splitlines() if line and not line.startswith("#")]
    return [Exempt(*(field.strip() for field in line.split("|"))) for line in lines]


def test_sources_and_documentation_use_plain_english() -> None:
    faults = [
        f'{path}:{fault.line}: "{fault.words}": write {fault.instead}'
        for path, found in all_faults().items()
        for fault in found
        if not any(exempt.covers(path, fault) for exempt in exceptions())
    ]
    assert not faults, "\n".join(faults)


def test_each_exception_is_needed_and_has_a_reason() -> None:
    faults = [(path, fault) for path, found in all_faults().items() for fault in found]
    for exempt in exceptions():
        assert exempt.reason, f"{exempt.path} has no reason"
        assert any(exempt.covers(*fault) for fault in faults), f"{exempt.path} has no such fault; remove its line"


def test_the_list_of_exceptions_does_not_grow() -> None:
    assert len(exceptions()) <= MOST_EXCEPTIONS


@pytest.mark.parametrize(
    ("text", "is_refused"),
    [
        ('"""What is kept."""', True),
        ('"""Returns it. What is left behind, the caller gets."""', True),
        ("x = 1  # a socket that\n# has gone", True),
        ("raise ValueError(f'{x} is none')", True),
        ('"""What is kept? The rest."""', False),
        ('"""Calls `let go` of the rest; if there is none, nothing."""', False),
        ("let_go(octets)", False),
    ],
)
def test_docstrings_comments_and_strings_are_searched_and_code_is_not(text: str, is_refused: bool) -> None:
    assert any(faults_in(pieces_of_source(text), text)) == is_refused


@pytest.mark.parametrize(
    ("text", "is_refused"),
    [
        ("A paragraph.\nWhat it says is clear.", True),
        ("| cell | whoever asks |", True),
        ("- What waits is kept.", True),
        ("# What it promises", False),
        ("```\nWhat is code.\n```", False),
    ],
)
def test_paragraphs_of_pages_are_searched_and_headings_and_code_are_not(text: str, is_refused: bool) -> None:
    assert any(faults_in(pieces_of_page(text), text)) == is_refused
