"""Sources as tests look at them: parsed once in each program, however many tests look."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path


@cache
def parsed(source: str) -> ast.Module:
    """The tree of a source, which nobody changes."""
    return ast.parse(source)


@cache
def text_of(path: Path) -> str:
    """The content of a file, which stays the same while tests run."""
    return path.read_text()


def statements_of(tree: ast.Module) -> Iterator[tuple[ast.stmt, bool, bool]]:
    """All statements, each with whether it is for type checkers only, and whether it is part of a function.

    Expressions, most of the tree, are left out.
    """
    yield from _below(tree, typing=False, function=False)


def _below(node: ast.AST, *, typing: bool, function: bool) -> Iterator[tuple[ast.stmt, bool, bool]]:
    for name in ("body", "handlers", "orelse", "finalbody", "cases"):
        hidden = typing or (name == "body" and _is_for_typing(node))
        for child in getattr(node, name, ()):
            if isinstance(child, ast.stmt):
                yield child, hidden, function
            inner = function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from _below(child, typing=hidden, function=inner)


def _is_for_typing(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
