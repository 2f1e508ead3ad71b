"""Finds the application that `homing run module:attribute` names, or raises an error that says what to do."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from types import ModuleType, TracebackType
from typing import Any

from .. import gen
from ..node.start import StartsOnImport, no_nodes

EXAMPLE = "give module:attribute, for example examples.service:Service"


class TargetError(gen.HomingError):
    """`module:attribute` names nothing that can be run. The text says why, and what to do."""


class Single(gen.Application):
    """An application of one process: it ends with the process, for whatever reason."""

    def __init__(self, behavior: type[gen.ProcessBehavior]) -> None:
        self._behavior = behavior

    def load(self, node: Any, *args: Any) -> gen.ApplicationSpec:
        return gen.ApplicationSpec(
            name=self._behavior.__name__.lower(),
            members=(gen.ApplicationMember(behavior=self._behavior),),
            mode=gen.ApplicationMode.PERMANENT,
        )


def resolve(target: str) -> gen.Application:
    """Returns the application that `target` names; for a process behavior, an application that runs it.

    The current directory is searched for the module first. Raises `TargetError`, and what the module raises.
    """
    name, colon, attribute = target.partition(":")
    if name.endswith(".py") or os.sep in name:
        raise TargetError(f"{name!r} is the path of a file; {_example(name, attribute or 'App')}")
    if not (name and colon and attribute):
        raise TargetError(f"{target!r} is not a target; {EXAMPLE}")
    module = _import(name)
    found = getattr(module, attribute, None)
    if found is None:
        raise TargetError(f"module {name!r} has no {attribute!r}; {_candidates(module, attribute)}")
    if isinstance(found, gen.Application):
        return found
    if isinstance(found, type) and issubclass(found, gen.ProcessBehavior):
        return Single(found)
    if isinstance(found, type) and issubclass(found, gen.Application):
        return _make(found, target)
    kind = f"the class {found.__name__}" if isinstance(found, type) else f"of type {type(found).__name__}"
    raise TargetError(
        f"{target} is {kind}, no gen.Application, act.Actor or the like; {_candidates(module, attribute)}"
    )


def _example(path: str, attribute: str) -> str:
    """Returns how to name the file at `path` as a module."""
    module = os.path.relpath(path).removesuffix(".py").replace(os.sep, ".")
    return f"give module:attribute, for example {module}:{attribute}"


def _import(name: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        with no_nodes(f"module {name!r}"):
            return importlib.import_module(name)
    except StartsOnImport as error:
        raise TargetError(str(error)) from None
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name != missing and not name.startswith(missing + "."):
            raise TargetError(f"module {name!r} imports {missing!r}, which is not found") from None
        where = "" if missing == name else f" (there is no {missing!r})"
        raise TargetError(f"there is no module {name!r}{where}; the current directory is {here}") from None


def outside_of_homing(trace: TracebackType | None) -> TracebackType | None:
    """Returns a traceback from the first frame of the program on: not those of this module and of the import."""
    own = (__package__, "importlib")
    while trace is not None and str(trace.tb_frame.f_globals.get("__name__")).startswith(own):
        trace = trace.tb_next
    return trace


def _make(kind: type[gen.Application], target: str) -> gen.Application:
    try:
        return kind()
    except TypeError as error:
        raise TargetError(f"{target} cannot be created without arguments ({error}); name an instance") from None


def _candidates(module: ModuleType, attribute: str) -> str:
    """Lists the objects in `module` that can be run: those it defines itself, else those it has imported."""
    runnable = [name for name, value in vars(module).items() if not name.startswith("_") and _can_run(value)]
    own = [name for name in runnable if getattr(vars(module)[name], "__module__", "") == module.__name__]
    if not runnable:
        return "nothing there can be run: define a class derived from gen.Application or act.Actor"
    names = own or runnable
    like = difflib.get_close_matches(attribute, names, 1)
    guess = f"did you mean {like[0]!r}? " if like else ""
    return f"{guess}it has: {', '.join(names)}"


def _can_run(value: object) -> bool:
    if isinstance(value, type):
        return issubclass(value, (gen.Application, gen.ProcessBehavior))
    return isinstance(value, gen.Application)
