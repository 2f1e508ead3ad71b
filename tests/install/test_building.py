"""A build compiles what has changed, and links all of it into one shared object."""

from __future__ import annotations

import os
import re
import time
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from ..suite.proof import extensions as names
from .test_missing_compiler import build, extensions, pytestmark, tree

__all__ = ["pytestmark", "tree"]

COMPILER = """#!/bin/sh
echo "$@" >>"$0.log"
for argument; do
  if [ "$before" = -o ]; then echo >"$argument"; fi
  before=$argument
done
"""
"""A compiler that makes a file of each source, at no cost, and notes what it was called with."""


class Building:
    """Builds a tree in place with that compiler."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self.compiler = tree / "compiler"
        self.compiler.write_text(COMPILER)
        self.compiler.chmod(0o755)
        self.log = tree / "compiler.log"

    def __call__(self, **more: str) -> tuple[list[str], list[str]]:
        """Returns the modules that are said to be compiled, and those that the compiler was called with."""
        self.log.write_text("")
        done = build(self.tree, CC=str(self.compiler), **more)
        assert done.returncode == 0, done.stderr
        told = re.findall(r"^homing: compiled \d+ of \d+: ([\w.]+)$", done.stderr, re.MULTILINE)
        called = re.findall(r" -c build/cython/src/(\S+)\.c ", self.log.read_text())
        return told, [name.replace("/", ".") for name in called]

    def linked(self) -> list[str]:
        """The modules that were linked by the last build; none if nothing was linked."""
        (arguments,) = [line for line in self.log.read_text().splitlines() if " -c " not in line] or [""]
        return [name.replace("/", ".") for name in re.findall(r"build/cython/src/(\S+)\.o", arguments)]


@pytest.fixture
def building(tree: Path) -> Building:
    return Building(tree)


ALL = sorted(["homing._compiled", *names()])


def test_all_modules_are_compiled_and_linked_into_one_object(building: Building) -> None:
    told, called = building()
    assert sorted(told) == sorted(called) == ALL
    assert sorted(building.linked()) == ALL
    in_place = [path for path in extensions(building.tree) if path.is_relative_to(building.tree / "src")]
    assert in_place == [building.tree / "src" / "homing" / f"_compiled{EXTENSION_SUFFIXES[0]}"]


def test_a_build_after_which_nothing_has_changed_compiles_and_links_nothing(building: Building) -> None:
    building()
    assert building() == ([], [])
    assert building.linked() == []


def test_only_what_has_changed_is_compiled_and_all_is_linked_anew(building: Building) -> None:
    building()
    changed = building.tree / "build" / "cython" / "src" / "homing" / "node" / "mailbox" / "lane.c"
    later = time.time() + 3600
    os.utime(changed, (later, later))
    assert building() == (["homing.node.mailbox.lane"], ["homing.node.mailbox.lane"])
    assert sorted(building.linked()) == ALL


def test_what_is_left_of_a_module_that_is_compiled_no_longer_makes_nothing_new(building: Building) -> None:
    building()
    left = building.tree / "build" / "cython" / "src" / "homing" / "left.c"
    left.write_text("")
    os.utime(left, (0, 0))
    assert building() == ([], [])


def test_extensions_of_single_modules_are_removed_that_an_earlier_build_has_left(building: Building) -> None:
    left = [
        folder / "homing" / "node" / "mailbox" / f"lane{EXTENSION_SUFFIXES[0]}"
        for folder in (building.tree / "src", *building.tree.glob("build/lib.*"))
    ]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"of an earlier build")
    building()
    assert not [path for path in left if path.exists()]


@pytest.mark.parametrize("sanitized", ["0", "1"])
def test_every_source_and_the_object_get_the_flags_that_harden_them_or_those_of_the_sanitizers(
    building: Building, sanitized: str
) -> None:
    building(HOMING_SANITIZE=sanitized)
    flags = [set(line.split()) for line in building.log.read_text().splitlines()]
    assert len(flags) == len(ALL) + 1
    for arguments in flags:
        assert ("-fsanitize=address,undefined" in arguments) == (sanitized == "1")
        hardened = {"-fstack-protector-strong"} if "-c" in arguments else {"-Wl,-z,relro", "-Wl,-z,now"}
        assert (hardened <= arguments) == (sanitized == "0")


def test_two_modules_with_the_same_last_part_are_refused_by_name(tree: Path) -> None:
    setup = tree / "setup.py"
    first = '    "homing.datagram.message": "src/homing/datagram/message.py",\n'
    text = setup.read_text()
    assert first in text
    setup.write_text(text.replace(first, first + '    "homing.gen.lane": "src/homing/gen/state.py",\n'))
    done = build(tree, CC="/nonexistent/cc")
    assert done.returncode == 1
    assert "rename a compiled module" in done.stderr
    assert "['homing.gen.lane', 'homing.node.mailbox.lane']" in done.stderr
