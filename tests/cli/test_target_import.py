"""Importing a service: `homing run` imports its module, and multiprocessing the program; neither starts a node then."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..examples.test_examples import ROOT
from ..support import DEADLINE
from .nodes import environment, run_to_the_end

STARTS = {
    "homing.run": "homing.run(Service)",
    "homing.run of a function": "async def main(node): await node.wait()\nhoming.run(main)",
    "homing.start_node": "async def main():\n    async with homing.start_node('a@b') as node: await node.wait()\n"
    "asyncio.run(main())",
    "a module that it imports": "import started",
}


@pytest.mark.parametrize("how", STARTS)
async def test_a_module_that_starts_a_node_when_it_is_imported_is_refused_in_one_line(
    runtime: Path, tmp_path: Path, how: str
) -> None:
    head = "import asyncio\nimport homing\nfrom homing import act\nclass Service(act.Actor): pass\n"
    (tmp_path / "started.py").write_text(head + "homing.run(Service)\n")
    (tmp_path / "service.py").write_text(head + STARTS[how] + "\n")
    code, text = await run_to_the_end(runtime, "service:Service", cwd=tmp_path)
    assert (code, text) == (
        2,
        "homing run: module 'service' starts a node when it is imported; "
        'put that under `if __name__ == "__main__":`\n',
    )


def run(tmp_path: Path, source: str) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "program.py"
    path.write_text("import asyncio, multiprocessing\nimport homing\nfrom homing import act, gen\n" + source)
    command = [sys.executable, "-W", "always", "-X", "dev", str(path)]
    env = environment(tmp_path)
    return subprocess.run(command, capture_output=True, text=True, timeout=2 * DEADLINE, check=False, env=env)


def test_a_child_of_multiprocessing_that_imports_the_program_starts_no_node(tmp_path: Path) -> None:
    source = """
def work():
    pass

async def main(node):
    child = multiprocessing.get_context("spawn").Process(target=work)
    child.start()
    await asyncio.to_thread(child.join)
    print(child.exitcode)

homing.run(main)
"""
    done = run(tmp_path, source)
    assert done.stdout == "1\n"
    assert done.stderr.splitlines()[-1].endswith(
        "a child of multiprocessing imports the program, which then starts a node; "
        'put that under `if __name__ == "__main__":`'
    )


MISTAKES = {
    "inside of a running loop": (
        "async def main(node): pass\nasync def outer(): homing.run(main)\nasyncio.run(outer())",
        "homing.run was called within a running event loop; there use `async with homing.start_node(...)`",
    ),
    "in a handler": (
        "async def inner(node): pass\nasync def main(node): homing.run(inner)\nhoming.run(main)",
        "homing.run was called within a running event loop; there use `async with homing.start_node(...)`",
    ),
    "of a coroutine": ("async def main(node): pass\nhoming.run(main(None))", "give an async function, or a class"),
    "of a number": ("homing.run(5)", "give an async function, or a class derived from act.Actor or gen.Application"),
    "of a plain function": ("def main(node): pass\nhoming.run(main)", "give an async function, or a class derived"),
    "of a name that is none": ("homing.run(act.Actor, name='x')", "name='x': give name@host"),
    "with options that are none": ("homing.run(act.Actor, options=5)", "options=5: give gen.NodeOptions"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_brings_one_error_and_no_second_one(tmp_path: Path, mistake: str) -> None:
    source, words = MISTAKES[mistake]
    done = run(tmp_path, source + "\n")
    assert done.returncode == 1
    assert words in done.stderr.splitlines()[-1]
    assert done.stderr.count("Traceback") == 1
    assert "Warning" not in done.stderr
    assert "never awaited" not in done.stderr


# --- what is shown ---------------------------------------------------------------------------------------------


def shown() -> list[object]:
    """The programs of the README, the guides and the examples."""
    found: list[object] = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", path.read_text(), re.M | re.S)):
            if not block.startswith("# fragment"):
                found.append(pytest.param(block, id=f"{path.name}:{number}"))
    found += [pytest.param(path.read_text(), id=path.name) for path in sorted((ROOT / "examples").glob("*.py"))]
    return found


@pytest.mark.parametrize("source", shown())
def test_every_program_that_is_shown_can_be_imported(source: str) -> None:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        pytest.skip("a fragment")
    for statement in tree.body:
        call = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(call, ast.Call):
            assert ast.unparse(call.func) not in ("homing.run", "asyncio.run"), ast.unparse(call)
