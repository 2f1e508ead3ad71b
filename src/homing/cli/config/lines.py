"""The line on which each key of a TOML file stands: the standard library's parser gives values without places."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import NamedTuple

Path = tuple[str | int, ...]
"""The keys that lead to a value, and its index in an array: ("servers", "echo", "port"), ("app", "peers", 0)."""

_TOKEN = re.compile(
    r'''
      (?P<skip>  [ \t\r]+ | \#[^\n]* )
    | (?P<text>  """(?:[^\\]|\\.)*?"""(?:"{0,2}) | \'\'\'.*?\'\'\'(?:'{0,2}) | "(?:[^"\\]|\\.)*" | '[^']*' )
    | (?P<mark>  [\[\]{},=.\n] )
    | (?P<bare>  [^\s\[\]{},=.\#"']+ )
    ''',
    re.VERBOSE | re.DOTALL,
)


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def lines_of(text: str) -> dict[Path, int]:
    """Returns the line, from 1 on, of each table, key and element of an array in `text`, which is valid TOML."""
    return _Lines(text).found


class _Lines:
    """Reads the tokens of a file, and collects the places."""

    def __init__(self, text: str) -> None:
        self.found: dict[Path, int] = {}
        self._last: dict[Path, int] = {}  # the index of the last [[table]] of each array of tables
        self._tokens = _tokens(text)
        self._next = next(self._tokens)
        table: Path = ()
        while self._next.kind != "end":
            if self._next.text == "\n":
                self._take()
            elif self._next.text == "[":
                table = self._header()
            else:
                self._pair(table)

    def _take(self) -> _Token:
        taken, self._next = self._next, next(self._tokens, _Token("end", "", self._next.line))
        return taken

    def _take_any(self, *texts: str) -> bool:
        """Takes the next token if it is one of these."""
        return self._next.text in texts and bool(self._take())

    def _note(self, path: Path, line: int) -> None:
        for length in range(1, len(path) + 1):
            self.found.setdefault(path[:length], line)

    def _keys(self) -> Iterator[str]:
        """Takes the parts of a key such as a."b.c", and the "=" or "]" behind it."""
        while not self._take_any("=", "]"):
            token = self._take()
            if token.kind == "bare":
                yield token.text
            elif token.kind == "text":
                yield next(iter(tomllib.loads(f"{token.text} = 0")))

    def _header(self) -> Path:
        line = self._take().line
        is_array = self._take_any("[")
        path: Path = ()
        for key in self._keys():
            path = (*path, *self._index(path), key)
        self._take_any("]")
        if is_array:
            self._note(path, line)
            self._last[path] = self._last.get(path, -1) + 1
        path = (*path, *self._index(path))
        self._note(path, line)
        return path

    def _index(self, path: Path) -> Path:
        return (self._last[path],) if path in self._last else ()

    def _pair(self, table: Path) -> None:
        line = self._next.line
        path = (*table, *self._keys())
        self._note(path, line)
        self._value(path)

    def _value(self, path: Path) -> None:
        if self._take_any("["):
            self._array(path)
        elif self._take_any("{"):
            while not self._take_any("}"):
                if not self._take_any(",", "\n"):
                    self._pair(path)
        else:
            while self._next.kind != "end" and self._next.text not in (",", "]", "}", "\n"):
                self._take()

    def _array(self, path: Path) -> None:
        index = 0
        while not self._take_any("]"):
            if not self._take_any(",", "\n"):
                self._note((*path, index), self._next.line)
                self._value((*path, index))
                index += 1


def _tokens(text: str) -> Iterator[_Token]:
    line = 1
    for found in _TOKEN.finditer(text):
        if found.lastgroup != "skip":
            yield _Token(str(found.lastgroup), found[0], line)
        line += found[0].count("\n")
    yield _Token("end", "", line)
