"""Calls all methods of all compiled classes on objects that were never initialized, with arguments that are none.

Run as a module. What it calls may raise whatever it likes; but the program ends with "done". `--names` prints each call
before it is made: the last one is the one that crashed.
"""

from __future__ import annotations

import importlib
import inspect
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SETUP = Path(__file__).parents[1] / "setup.py"
CALLS = 12
"""Calls of each method with each number of arguments."""
LEFT_OUT = {"__class__", "__new__", "__init_subclass__", "__subclasshook__"}


def compiled_classes() -> Iterator[type[Any]]:
    """The classes of the modules that setup.py compiles."""
    for name in re.findall(r'"(homing\.[\w.]+)":', SETUP.read_text()):
        module = importlib.import_module(name)
        for thing in list(vars(module).values()):
            if isinstance(thing, type) and thing.__module__ == name:
                yield thing


def odd_things(kind: type[Any]) -> list[Any]:
    """What no method expects; some of it, one or the other does."""
    return [
        *(None, 0, -1, 1 << 40, 1.5, float("nan"), "x", b"x", (), [], [None], {}, set(), object(), kind, print),
        *(bare(other) for other in (kind, *_kinds())),
    ]


def _kinds() -> list[type[Any]]:
    return [kind for kind in compiled_classes() if not issubclass(kind, BaseException)]


def bare(kind: type[Any]) -> Any:
    """An object that was never initialized; None, if there can be none."""
    try:
        return kind.__new__(kind)
    except Exception:
        return None


def call(method: Any, arguments: list[Any]) -> None:
    try:
        result = method(*arguments)
        if inspect.iscoroutine(result) or hasattr(result, "send"):
            result.send(None)
    except Exception:
        pass  # that is what it may do


def try_all(kind: type[Any], names: bool) -> None:
    draw = random.Random(kind.__name__)
    things = odd_things(kind)
    methods = [name for name in sorted(dir(kind)) if name not in LEFT_OUT]
    for name in methods:
        if names:
            print(f"{kind.__module__}.{kind.__name__}.{name}", flush=True)
        for count in range(8):
            for _ in range(CALLS if count else 1):
                thing = bare(kind)
                call(lambda thing=thing, name=name, *rest: getattr(thing, name)(*rest), draw.choices(things, k=count))
    for name in methods:
        if names:
            print(f"{kind.__module__}.{kind.__name__}.{name} is set", flush=True)
        for value in draw.sample(
            [thing for thing in things if thing is not kind], 6
        ):  # its methods would get no object
            thing = bare(kind)
            call(lambda thing=thing, name=name, value=value: setattr(thing, name, value), [])
            for other in methods:
                call(lambda thing=thing, other=other: getattr(thing, other)(), [])


def main() -> None:
    sys.unraisablehook = lambda unraisable: None  # what is raised in a finalizer
    for kind in compiled_classes():
        try_all(kind, "--names" in sys.argv)
    print("done")


if __name__ == "__main__":
    main()
