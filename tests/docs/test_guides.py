"""The guides tell the truth: their programs run and print what stands below them."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from ..support import DEADLINE
from .pages import FENCE, PAGES, line_of, name_of

MOST_LINES = 500
SERVICE = re.compile(r"# \w+\.py\n")
"""A program that begins with the name of its file runs until it is stopped: test_start.py asks it something."""


def programs() -> list[Any]:
    """Each complete program that ends by itself, and the text that it must print (None: the page does not say)."""
    found = []
    for path in PAGES:
        text = path.read_text()
        blocks = list(FENCE.finditer(text))
        for block, following in zip_longest(blocks, blocks[1:]):
            if block[1] != "python" or block[2].startswith("# fragment") or SERVICE.match(block[2]):
                continue
            printed = None
            if following and following[1] == "text" and not text[block.end() : following.start()].strip():
                printed = following[2]
            # it may sleep for a moment in which others are to print, which a busy machine delays
            marks = [pytest.mark.serial] if printed is not None and "sleep(" in block[2] else []
            found.append(
                pytest.param(block[2], printed, id=f"{name_of(path)}:{line_of(text, block.start())}", marks=marks)
            )
    return found


@pytest.mark.parametrize(("program", "printed"), programs())
def test_a_program_runs_and_prints_what_the_guide_says(program: str, printed: str | None) -> None:
    command = [sys.executable, "-W", "always", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    assert "was never awaited" not in done.stderr
    assert "never retrieved" not in done.stderr
    assert "ResourceWarning" not in done.stderr
    if printed is not None:
        assert done.stdout == printed, done.stderr


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_the_fragments_are_python(path: Path) -> None:
    for block in FENCE.finditer(path.read_text()):
        if block[1] == "python":
            compile(block[2], str(path), "exec")


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings_that_exist(path: Path) -> None:
    """As on a forge, where the pages are read as they are; `make docs` looks at the links of the site."""
    for file, heading in re.findall(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)]*))?\)", path.read_text()):
        target = path.parent / file if file else path
        assert target.exists(), file
        if heading:
            assert heading in headings(target), f"{target.name}#{heading}"


def headings(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them, and of what the reference documents."""
    prose = FENCE.sub("", path.read_text())
    documented = set(re.findall(r"^::: (\S+)$", prose, re.MULTILINE))
    found = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return documented | {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-").lower() for heading in found}


def test_no_page_is_too_long_to_be_read() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in PAGES}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}
