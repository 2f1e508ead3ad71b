"""Finds the compiled modules, all of which are in one shared object: `homing._compiled`.

`import homing` installs the finder before it imports anything else, so that no module is taken from its source if it is
compiled. Without the shared object, everything is imported from the sources and runs interpreted.

One object rather than one for each module, because each object has pages of its own for code, data and relocations:
docs/decisions/build.md.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType


class CompiledModules:
    """Finds the modules `names` in the shared object `file`, and no others: a finder for `sys.meta_path`."""

    def __init__(self, file: str, names: frozenset[str]) -> None:
        self._file = file
        self._names = names

    def __repr__(self) -> str:
        return f"<{len(self._names)} compiled modules in {self._file}>"

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Returns the specification of a compiled module; None for any other module."""
        if fullname not in self._names:
            return None
        # The loader calls PyInit_<last part of the name>: setup.py refuses two modules with the same last part.
        return spec_from_file_location(fullname, self._file, loader=ExtensionFileLoader(fullname, self._file))


_reason = "homing was imported without its finder"


def why_interpreted() -> str:
    """Returns why the compiled modules are not used; "" if they are."""
    return _reason


def install() -> None:
    """Makes the compiled modules importable. Warns if the shared object for this Python does not load.

    Calling it again changes nothing.
    """
    global _reason
    found: list[CompiledModules] = []
    reason = ""
    try:
        from ._compiled import MODULES
        from ._compiled import __file__ as file
    except ModuleNotFoundError as error:
        reason = _others() or str(error)
    except ImportError as error:
        reason = f"the extensions do not load: {error}"
        text = f"homing runs interpreted, several times slower: {reason}. Install homing again with this Python"
        warnings.warn(text, RuntimeWarning, stacklevel=3)  # the line that imports the package
    else:
        found = [CompiledModules(file, frozenset(MODULES.split()))]
    # In front, as the other finders would find the sources; and without the finder of another copy of the package that
    # the program has imported before, whose modules would be mixed with those of this one.
    sys.meta_path[:] = [*found, *(one for one in sys.meta_path if type(one).__module__ != __name__)]
    _reason = reason


def _others() -> str:
    """Says which shared objects lie here for other versions of Python; "" if none does."""
    files = [file.name for file in Path(__file__).parent.glob("_compiled.*") if file.suffix == ".so"]
    names = sorted(name for name in files if not name.endswith(EXTENSION_SUFFIXES[0]))
    return f"the extensions here are for another Python: {', '.join(names)}" if names else ""
