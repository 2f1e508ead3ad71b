"""Calls all methods of all compiled classes on objects that were never initialized, with arguments that are none.

Run as a module. What it calls may raise whatever it likes; but the program ends with "done". `--names` prints each call
before it is made: the last one is the one that crashed. `--foreign` calls them on objects of other classes instead,
which is to raise `TypeError`, and prints each call that does not.
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

from .support import examples

SETUP = Path(__file__).parents[1] / "setup.py"
CALLS = examples(3, 12)
"""Calls of each method with each number of arguments."""
PYTHONS = 1 << 9
"""The flag of a class that is Python's own, in a module that is compiled (Py_TPFLAGS_HEAPTYPE)."""
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


def methods_of(kind: type[Any]) -> dict[str, Any]:
    """What a class defines to be called with an object of its own, as those who take it from the class get it."""
    own = {name: thing for name, thing in vars(kind).items() if name not in LEFT_OUT}
    properties = {name: thing.__get__ for name, thing in own.items() if inspect.isgetsetdescriptor(thing)}
    return {name: getattr(kind, name) for name, thing in own.items() if inspect.isroutine(thing)} | properties


def try_foreign(kind: type[Any], others: list[Any], names: bool) -> int:
    """Calls each method with what is no object of `kind` in the place of `self`. Returns how often that was."""
    count = 0
    for name, method in methods_of(kind).items():
        for other in (*others, kind):
            if isinstance(other, kind):
                continue
            called = f"{kind.__module__}.{kind.__name__}.{name} of a {type(other).__name__}"
            if names:
                print(f"calls {called}", flush=True)
            count += 1
            for rest in ([], [None], [1, 2]):
                try:
                    method(other, *rest)
                except TypeError:
                    continue
                except Exception as error:
                    print(f"{called} raised {error!r}", flush=True)
                else:
                    print(f"{called} raised nothing", flush=True)
    return count


def main() -> None:
    sys.unraisablehook = lambda unraisable: None  # what is raised in a finalizer
    names = "--names" in sys.argv
    if "--foreign" in sys.argv:
        foreign = [None, 0, "x", b"x", (), object(), print, *map(bare, _kinds())]
        # Python's own classes, of whose methods Python itself takes care, may be in such a module too
        kinds = [kind for kind in compiled_classes() if not kind.__flags__ & PYTHONS]
        print(sum(try_foreign(kind, foreign, names) for kind in kinds), "calls")
        return
    for kind in compiled_classes():
        try_all(kind, names)
    print("done")


if __name__ == "__main__":
    main()
