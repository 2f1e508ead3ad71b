"""`python -m bench.instructions`: counts the instructions of each operation, and compares them with the ceilings."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from ..suite import Failed
from . import ceilings, counting
from .catalog import PROGRAMS

UNABLE = 3
"""Exit status where instructions cannot be counted: neither success (0) nor a regression (1)."""

SHIFTS = (5, 17, 40)
"""Layouts of memory in which an operation is counted again: see `counting.count`."""


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.instructions",
        description="Counts the instructions in user space for each operation; see bench/README.md.",
        epilog=f"Exit status: 0; 1 if a count is over its ceiling, or a program fails; {UNABLE} without valgrind.",
    )
    names = ", ".join(PROGRAMS)
    parser.add_argument(
        "--only", action="append", metavar="NAME", help=f"programs whose names begin so; may be repeated: {names}"
    )
    parser.add_argument("--judged", action="store_true", help="only programs that have a ceiling here")
    parser.add_argument("--set-ceilings", action="store_true", help="makes the counts the ceilings")
    parser.add_argument(
        "--keep", metavar="FOLDER", help="keeps callgrind's profiles there, NAME.2, for callgrind_annotate"
    )
    arguments = parser.parse_args(argv)
    for name in arguments.only or ():
        if not any(program.startswith(name) for program in PROGRAMS):
            parser.error(f"--only {name}: no such program; there are {names}")
    return arguments


def _shown(name: str, count: float, ceiling: int | None) -> str:
    compared = "" if ceiling is None else f"{ceiling:>10,}  {count / ceiling - 1:+6.1%}"
    return f"{name:<18}{count:>10,.0f}  {compared:<18}  {PROGRAMS[name].title}"


def _count(name: str, ceiling: int | None, folder: str | None) -> float:
    """Returns the count; the least of several layouts of memory if the first is over the ceiling."""
    count = counting.count(name, folder=folder)
    for shift in SHIFTS:
        if not ceilings.verdict(name, count, ceiling)[0]:
            break
        count = min(count, counting.count(name, shift=shift))
    return count


def _chosen(arguments: argparse.Namespace, limits: dict[str, int]) -> Iterator[str]:
    """Yields the names of the programs that are to be counted. Prints why others are left out that were chosen."""
    for name, program in PROGRAMS.items():
        if arguments.only and not any(name.startswith(begin) for begin in arguments.only):
            continue
        if arguments.judged and name not in limits:
            continue
        if reason := counting.left_out(program):
            print(f"{name:<18}left out: {reason}")
            continue
        yield name


def main(argv: Sequence[str] | None = None) -> int:
    """Counts the chosen programs, and prints a line for each. Returns the exit status."""
    arguments = _arguments(argv)
    if reason := counting.unable():
        print(f"instructions are not counted: {reason}")
        return UNABLE
    limits = {} if arguments.set_ceilings else ceilings.load()
    if not limits and not arguments.set_ceilings:
        print(f"no ceilings for {ceilings.section()}, {ceilings.built()}: the counts are not judged")
    folder = os.path.abspath(arguments.keep) if arguments.keep else None
    if folder:
        os.makedirs(folder, exist_ok=True)
    print(f"{'':<18}{'count':>10}  {'ceiling':>10}")
    counts: dict[str, float] = {}
    remarks: list[str] = []
    bad = False
    # Side by side: a count does not depend on what else the processors do.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = {
            name: pool.submit(_count, name, limits.get(name), folder) for name in list(_chosen(arguments, limits))
        }
        for name, counted in running.items():
            try:
                count = counts[name] = counted.result()
            except (Failed, subprocess.SubprocessError) as error:
                remarks.append(f"{name} FAILED: {error}")
                bad = True
                continue
            print(_shown(name, count, limits.get(name)), flush=True)
            over, remark = ceilings.verdict(name, count, limits.get(name))
            bad = bad or over
            remarks += [remark] if remark else []
    print("\n".join(remarks), end="\n" if remarks else "")
    if arguments.set_ceilings and not bad:
        ceilings.save(counts)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
