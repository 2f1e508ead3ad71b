"""The layers: a module imports only from its own layer and those below; likewise the sub-packages of a layer."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import homing
from homing.datagram import errors

from .sources import parsed, statements_of, text_of

PACKAGE = Path(homing.__file__).parent
ALLOWED = {
    "finder": set(),
    "gen": {"gen"},
    "datagram": {"finder", "gen", "datagram"},
    "node": {"gen", "node"},
    "act": {"gen", "datagram", "node", "act"},
    "meta": {"gen", "datagram", "node", "act", "meta"},
    "service": {"gen", "datagram", "node", "act", "meta", "service"},
    "testing": {"gen", "datagram", "node", "act", "meta", "testing"},
    "cluster": {"gen", "datagram", "node", "act", "meta", "cluster"},
    "observe": {"gen", "datagram", "node", "act", "meta", "cluster", "observe"},
    "cli": {"gen", "datagram", "node", "act", "meta", "cluster", "observe", "cli", ""},
}
"""For each layer, those it may import from. "" is the package itself."""

DEFERRED = {
    "gen/behavior.py": {"datagram"},
    "gen/errors.py": {"datagram"},
    "node/node.py": {"cluster"},
}
"""Layers above its own from which a module may import for type checkers, or when it is asked for a name, but not when
it is imported itself: a callback is declared with the batch that users annotate; errors of UDP can be imported from
`gen`, where they once were."""

FLOORS: dict[str, list[set[str]]] = {
    "datagram": [
        {"address", "batch", "columns", "errors", "failures", "ledger", "loss", "message", "statistics", "validation"},
        {"policy"},
        {"sockets"},
        {"capture"},
        {"backend"},
        {"hearing", "polling", "send_queue"},
        {"endpoint"},
    ],
    "node": [
        {"deadline", "loop", "mailbox", "output"},
        {"logs"},
        {"scheduling"},
        {"states"},
        {"processes"},
        {"messaging"},
        {"tracing"},
        {
            *(
                "application",
                "applications",
                "config",
                "core",
                "elsewhere",
                "executor",
                "forks",
                "health",
                "log_receivers",
                "node",
                "program",
                "servers",
                "signals",
            ),
            *("start", "stopping", "systemd", "tree", "unawaited"),
        },
    ],
    "act": [
        {"actor", "clustered", "config", "health", "links", "missing", "names", "remote", "responses", "timers"},
        {"pool"},
        {"router"},
        {"supervisor"},
        {"errors", "requests"},
    ],
    "meta": [
        {"assembly"},
        {"udp"},
        {"peers"},
        {"sessions"},
        {"udp_server"},
        {"udp_client"},
        {"tcp"},
        {"tcp_server"},
        {"tcp_client"},
        {"dtls"},
        {"short", "upgrade"},
    ],
    "cluster": [
        {"addresses", "built_frames", "datagram_frames", "endpoints", "engine", "membership"},
        {"placement_text", "rendezvous"},
        {"annotations", "datagram_bodies", "deciding", "exceptions", "fitting", "plain", "types", "wire"},
        {"certificates", "discovery"},
        {"security"},
        {"zenoh_engine"},
        {"ignored", "inbound", "memory_engine", "notices", "link_outbox"},
        {"calling", "remote_consumer", "remote_target", "watching"},
        {"link", "relations"},
        {"frames", "groups", "important", "other_nodes", "spawning"},
        {"udp"},
        {"placement", "pools"},
        {"singleton"},
        {"placing"},
        {"cluster", "state_types"},
        {"join"},
    ],
    "observe": [
        {"ages", "drops", "encoding", "histogram", "option_values", "per_node", "plain", "records", "refusals"},
        {"dtls_sums"},
        {"fields", "inspecting", "sampler", "targets"},
        {"cluster_requests", "rows", "selecting"},
        {
            *("changes", "health", "measuring", "node_requests", "process_requests", "socket_requests", "tree"),
            *("taps", "tcp_requests", "logs", "traces", "watching"),
        },
        {"otel"},
        {"merging"},
        {"clustered"},
        {"observer"},
        {"control"},
        {"merged_streams"},
        {"merged"},
        {"http"},
    ],
    "service": [{"functions"}, {"actors"}, {"listener"}, {"service"}],
}
"""For each layer, its sub-packages and modules, the lowest first. At run time a module imports from its own floor and
from those below it. What is imported for type checkers only may come from anywhere in the layer."""

SOURCES = sorted(path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".pyx", ".pxd"))
MODULES = {".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in SOURCES}


Statement = tuple[int, str, list[str], bool, bool]
"""Level, module and names of an import; whether it is for type checkers only; whether it is part of a function."""


def names_imported(path: Path, source: str, *, typing: bool, functions: bool = True) -> set[str]:
    """The absolute names that a source imports, from modules and packages alike: "homing.gen.PID". typing: with those
    that only a type checker imports. functions: with those that are imported when a function is called."""
    package = ["homing", *path.relative_to(PACKAGE).parts[:-1]]
    found = set()
    for level, module, names, hidden, inner in _statements(path, source):
        if (hidden and not typing) or (inner and not functions):
            continue
        base = package[: len(package) - level + 1] if level else []
        module_path = [*base, *(module.split(".") if module else [])]
        found |= {".".join([*module_path, name]) for name in names}
    return found


@functools.cache
def _statements(path: Path, source: str) -> list[Statement]:
    if path.suffix != ".py":
        pattern = r"^[ \t]*from (\.*)([\w.]*) c?import (?:\(([^)]*)\)|([^\n(#]*))|^[ \t]*c?import ([\w.]+)"
        return [
            (len(dots), module or plain, (several + one).replace(",", " ").split() or [""], False, False)
            for dots, module, several, one, plain in re.findall(pattern, source, re.MULTILINE)
        ]
    found: list[Statement] = []
    for node, hidden, inner in statements_of(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(0, alias.name, [""], hidden, inner) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or "", [alias.name for alias in node.names], hidden, inner))
    return found


def imported_layers(path: Path, source: str, *, typing: bool = True, functions: bool = True) -> set[str]:
    """The layers of `homing` that a source imports from. typing: also those for type checkers only. functions: also
    those that functions import when they are called."""
    found = set()
    for name in names_imported(path, source, typing=typing, functions=functions):
        parts = name.split(".")
        if parts[0] == "homing":
            layer = parts[1] if len(parts) > 1 else ""
            found.add(layer if layer in ALLOWED else "")
    return found


def modules_imported(path: Path, source: str, *, functions: bool = True) -> set[str]:
    """The modules of `homing` ("gen.errors") that a source imports at run time."""
    found = set()
    for name in names_imported(path, source, typing=False, functions=functions):
        parts = name.split(".")[1:] if name.startswith("homing.") else []
        while parts and ".".join(parts) not in MODULES:
            parts = parts[:-1]
        if parts:
            found.add(".".join(parts))
    return found


def floor_of(module: str) -> int | None:
    """The number of the floor that a module is on; None for the face of a layer, which may import all of it."""
    layer, _, rest = module.partition(".")
    name = rest.split(".")[0]
    for number, names in enumerate(FLOORS.get(layer, [])):
        if name in names:
            return number
    return None


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def upward(module: str, imported: set[str]) -> set[tuple[str, str]]:
    """Of the modules that a module imports, those of its layer that are on floors above its own."""
    mine = floor_of(module)
    found = set()
    for other in imported:
        theirs = floor_of(other)
        if other.split(".")[0] == module.split(".")[0] and mine is not None and theirs is not None and theirs > mine:
            found.add((module, other))
    return found


def test_a_module_imports_only_from_its_own_layer_and_those_below() -> None:
    for path in SOURCES:
        if path.parent == PACKAGE:
            continue
        source = text_of(path)
        layer, deferred = path.relative_to(PACKAGE).parts[0], DEFERRED.get(path.relative_to(PACKAGE).as_posix(), set())
        assert imported_layers(path, source) <= ALLOWED[layer] | deferred, path
        if deferred:
            assert imported_layers(path, source, typing=False, functions=False) <= ALLOWED[layer], path


def test_a_module_imports_only_from_its_own_floor_and_those_below() -> None:
    for path in SOURCES:
        assert upward(module_of(path), modules_imported(path, text_of(path))) == set()


@pytest.mark.parametrize("layer", sorted(FLOORS))
def test_every_module_of_a_divided_layer_is_on_a_floor(layer: str) -> None:
    names = {module.split(".")[1] for module in MODULES if module.startswith(f"{layer}.")} - {"__init__"}
    assert names == set().union(*FLOORS[layer])


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for path in SOURCES:
        if path.suffix == ".py" and path.name != "__init__.py":
            graph[module_of(path)] = modules_imported(path, text_of(path), functions=False)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize(
    ("source", "layer"),
    [
        ("from ..act import Actor", "act"),
        ("from .. import act", "act"),
        ("import homing.meta.udp", "meta"),
        ("from homing import run", ""),
        ("def f():\n    from ..meta import MessageUDP", "meta"),
    ],
)
def test_an_upward_import_is_found_however_it_is_written(source: str, layer: str) -> None:
    assert layer in imported_layers(PACKAGE / "node" / "core.py", source)
    assert layer not in ALLOWED["node"]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("activity.py", "from ..processes.process import Process"),
        ("activity.py", "def f():\n    from ..processes import process"),
        ("activity.py", "import homing.node.processes.process"),
        ("activity.pxd", "from ..processes.process cimport Process"),
    ],
)
def test_an_import_from_a_floor_above_is_found_however_it_is_written(name: str, source: str) -> None:
    path = PACKAGE / "node" / "scheduling" / name
    assert upward(module_of(path), modules_imported(path, source)) == {
        ("node.scheduling.activity", "node.processes.process")
    }


def test_no_module_takes_an_error_of_udp_from_its_old_place() -> None:
    old = {f"homing.{place}.{name}" for place in ("gen", "gen.errors") for name in errors.__all__}
    for path in SOURCES:
        assert not names_imported(path, text_of(path), typing=True) & old, path


def test_only_what_binds_sockets_and_the_fake_network_know_that_there_are_substitutes() -> None:
    known_to = {
        module_of(path) for path in SOURCES if "datagram.sockets.substitute" in modules_imported(path, text_of(path))
    }
    assert known_to == {"datagram.sockets.binding", "testing.kit.driver", "testing.network"}


def test_the_runtime_imports_nothing_but_the_standard_library() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] not in ("cli", "cluster", "observe"):
            roots = {name.split(".")[0] for name in names_imported(path, text_of(path), typing=False)}
            own = {"homing", "uvloop"}
            if path.parent.name == "dtls":
                own |= {"OpenSSL", "cryptography"}
            assert roots - own <= sys.stdlib_module_names, path


def test_observing_imports_no_package_of_an_extra_until_it_is_needed() -> None:
    code = "import sys; from homing import observe; print(*{name.partition('.')[0] for name in sys.modules})"
    found = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert not found & {
        "starlette",
        "uvicorn",
        "prometheus_client",
        "opentelemetry",
        "msgspec",
        "textual",
        "rich",
        "h11",
    }


def test_what_is_imported_when_it_is_needed_is_numpy_and_by_one_module() -> None:
    found = {
        (module_of(path), ast.unparse(node.args[0]))
        for path in PACKAGE.rglob("*.py")
        if "import_module" in text_of(path)
        for node in ast.walk(parsed(text_of(path)))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module")
    }
    assert {call for call in found if not call[0].startswith("cli.")} == {("datagram.columns", "'numpy'")}


FORBIDDEN = {"pickle", "marshal", "shelve", "dill", "eval", "exec", "compile", "__import__", "import_module"}
CALLS = re.compile(rf"(?<![.\w])(?:{'|'.join(sorted(FORBIDDEN))})\s*\(")
"""Looks like a call of one of them: only such a source is looked at in detail."""


def test_nothing_is_unpickled_evaluated_or_imported_by_name() -> None:
    """What comes from a network meets no function that could run it."""
    for path in PACKAGE.rglob("*.py"):
        source = text_of(path)
        called = {
            node.func.id
            for node in (ast.walk(parsed(source)) if CALLS.search(source) else ())
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        imported = {name.split(".")[0] for name in names_imported(path, source, typing=True)}
        assert not (called | imported) & FORBIDDEN, path
