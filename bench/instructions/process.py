"""The process under valgrind: runs one program of the catalog."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from .. import child
from .catalog import PROGRAMS, Program
from .marks import WARM_UP, Marks, Steps


def _actors(name: str, program: Program, count: int, marks: Marks) -> None:
    from ..actors_homing import Homing
    from .servers import NODE

    operation, _, where = name.partition("-")
    contestant = Homing
    if where:
        from . import clusters

        contestant = {"clustered": clusters.Clustered, "remote": clusters.Remote}[where]

    def run(clock: Callable[[], float], operations: int) -> None:
        getattr(contestant(child.loop_factory(program.loop), NODE, clock), operation)(operations)

    run(lambda: 0.0, WARM_UP * program.step)
    run(marks.clock, count)
    run(marks.clock, 2 * count)


def _loaded(program: Program, count: int, marks: Marks, port: int) -> None:
    from . import servers

    steps = Steps(marks, count // program.step)
    with asyncio.Runner(loop_factory=child.loop_factory(program.loop)) as runner:
        if program.behavior:
            runner.run(servers.serve(program, steps))
        else:
            runner.run(servers.call(program, steps, port))


def main(name: str, count: int, library: str, port: int = 0) -> None:
    """Runs the program `name`. port: that of the server, for a client."""
    program = PROGRAMS[name]
    marks = Marks(library)
    if program.load:
        _loaded(program, count, marks, port)
    else:
        _actors(name, program, count, marks)


if __name__ == "__main__":
    child.limit_life()
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:]))
