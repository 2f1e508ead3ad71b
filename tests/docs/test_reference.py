"""The reference names what there is, with its fields and defaults."""

from __future__ import annotations

import ast
import dataclasses
import enum
import random
import re
from pathlib import Path
from typing import Any

import pytest

import homing
from homing import act, datagram, gen, meta, testing

from .pages import DOCS

SECTION = re.compile(r"^#{2,3} `([\w.]+)`$(.*?)(?=^#{2,3} |\Z)", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"`(?:await )?(\w+)[^`]*`")


def sections() -> dict[str, list[list[str]]]:
    """The rows of the tables in each section of the reference, by the name in the section's heading."""
    found = {}
    for section in SECTION.finditer((DOCS / "reference.md").read_text()):
        lines = [line for line in section[2].splitlines() if line.startswith("|")]
        rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
        found[section[1]] = [row for row in rows if row[0].startswith("`")]
    return found


REFERENCE = sections()


def named(section: str) -> list[str]:
    """The names in the first column of a section's tables."""
    return [name for row in REFERENCE[section] for name in NAME.findall(row[0])]


def public(thing: object) -> set[str]:
    """The public attributes of a class or module."""
    return {name for name in dir(thing) if not name.startswith("_")}


def exported(module: Any) -> set[str]:
    """What a module lists; else what a package's `__init__` imports under its own name (`from .x import Y as Y`)."""
    if hasattr(module, "__all__"):
        return set(module.__all__)
    if "__dir__" in vars(module):
        return public(module)
    tree = ast.parse(Path(module.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {alias.name for node in imports for alias in node.names if alias.asname == alias.name}


def own_fields(kind: Any) -> list[dataclasses.Field[Any]]:
    """Without those of all sockets, which have a section of their own."""
    cls = kind if isinstance(kind, type) else type(kind)
    shared = issubclass(cls, meta.SocketOptions) and cls is not meta.SocketOptions
    inherited = {field.name for field in dataclasses.fields(meta.SocketOptions)} if shared else set()
    return [field for field in dataclasses.fields(kind) if field.name not in inherited]


def fields(kind: Any) -> list[str]:
    return [field.name for field in own_fields(kind)]


def check_all_named(section: str, names: set[str]) -> None:
    there = named(section)
    assert set(there) == names
    assert len(there) == len(names), "a name stands there twice"


@pytest.mark.parametrize(
    "module",
    [homing, gen, gen.errors, datagram.errors, act, act.requests, act.errors, meta, testing],
    ids=lambda module: module.__name__,
)
def test_the_reference_has_all_public_names_of_a_module_and_no_others(module: Any) -> None:
    check_all_named(module.__name__, exported(module))


CALLBACKS = public(gen.ProcessBehavior)


@pytest.mark.parametrize(
    ("section", "names"),
    [
        ("act.Actor", public(act.Actor) - CALLBACKS),
        ("act.Router", public(act.Router) - public(act.Actor)),
        ("act.Supervisor", public(act.Supervisor) - public(act.Actor)),
        ("gen.ProcessBehavior", CALLBACKS),
        ("homing.Node", public(homing.Node)),
        ("gen.Application", public(gen.Application)),
        ("gen.MetaBehavior", public(gen.MetaBehavior)),
        ("gen.MetaProcess", public(gen.MetaProcess)),
        ("testing.FakeNetwork", public(testing.FakeNetwork) | {"seed"}),
        ("testing.Peer", public(testing.Peer) | {"address"}),
        ("meta.UDPServer", public(meta.UDPServer) - public(gen.MetaBehavior) | {"terminate"}),
        ("meta.UDPClient", public(meta.UDPClient) - public(gen.MetaBehavior) | {"terminate"}),
        ("meta.MessageUDP", public(meta.MessageUDP)),
        ("meta.PacketInfo", public(meta.PacketInfo)),
        ("meta.DatagramBatch", public(meta.DatagramBatch)),
        ("meta.TakeOver", {"predecessor"}),
        ("meta.BufferPool", public(meta.BufferPool) | set(vars(meta.BufferPool())) - {"_idle", "_lent"}),
    ],
)
def test_the_reference_has_all_public_names_of_a_class_and_no_others(section: str, names: set[str]) -> None:
    check_all_named(section, {name for name in names if not name.startswith("_")})


@pytest.mark.parametrize(
    "kind",
    [
        gen.NodeOptions,
        gen.ProcessOptions,
        gen.MetaOptions,
        gen.EventOptions,
        gen.Fallback,
        meta.SocketOptions,
        meta.UDPServerOptions,
        meta.RateLimit,
        meta.ReplyGuard,
        meta.Pacing,
        meta.UDPClientOptions,
        meta.UDPRequest,
        act.PoolOptions,
        act.RouterOptions,
        act.RouteSpec,
        act.SupervisorSpec,
        act.ChildSpec,
        gen.ApplicationSpec,
        gen.ApplicationMember,
        act.Backoff,
        testing.Conditions,
    ],
)
def test_the_reference_has_all_options_with_their_defaults(kind: Any) -> None:
    module = kind.__module__.split(".")[1]
    section = f"{'meta' if module == 'datagram' else module}.{kind.__name__}"
    assert named(section) == fields(kind)
    assert [row[1].strip("`") for row in REFERENCE[section]] == [default(field) for field in own_fields(kind)]


FUNCTIONS = {random.random: "random.random"}


def default(field: dataclasses.Field[Any]) -> str:
    """How the reference writes a field's default."""
    if field.default_factory is not dataclasses.MISSING:
        return written(field.default_factory())
    if field.default is dataclasses.MISSING:
        return "required"
    if isinstance(field.default, enum.Enum):
        return str(field.default)
    return FUNCTIONS[field.default] if callable(field.default) else written(field.default)


def written(value: object) -> str:
    """Process options with what differs from their defaults only."""
    if not isinstance(value, gen.ProcessOptions):
        return repr(value)
    given = {name: getattr(value, name) for name in fields(value)}
    plain = gen.ProcessOptions()
    return f"ProcessOptions({', '.join(f'{k}={v!r}' for k, v in given.items() if v != getattr(plain, k))})"


SNAPSHOTS = [
    gen.NodeInfo,
    gen.ProcessInfo,
    gen.MetaInfo,
    gen.MailboxInfo,
    gen.ApplicationInfo,
    gen.NodeTree,
    gen.ApplicationTree,
    gen.ProcessTree,
    act.ChildInfo,
    act.ChildCount,
    meta.Reconfigured,
    testing.NetworkStatistics,
    testing.Event,
]


@pytest.mark.parametrize("kind", SNAPSHOTS)
def test_the_reference_has_all_fields_of_a_snapshot(kind: Any) -> None:
    check_all_named(f"{kind.__module__.split('.')[1]}.{kind.__name__}", set(fields(kind)))


VERBS = ("Add", "Remove", "Replace", "Disable", "Enable", "Which", "Start", "Terminate", "Restart", "Delete", "CountC")


# --- messages: whatever has fields and can be received or sent -------------------------------------------------


def with_fields() -> list[Any]:
    """The public classes with fields that are no options, snapshots or requests."""
    found = {
        getattr(module, name)
        for module in (gen, act, meta)
        for name in exported(module)
        if dataclasses.is_dataclass(getattr(module, name)) or hasattr(getattr(module, name), "_fields")
    }
    requests = {getattr(act.requests, name) for name in act.requests.__all__ if name != "RouteInfo"}
    return sorted((kind for kind in found - requests if section_of(kind) not in OTHERS), key=section_of)


def section_of(kind: Any) -> str:
    module = kind.__module__.split(".")[1]
    return f"{'meta' if module == 'datagram' else module}.{kind.__name__}"


OTHERS = {f"{kind.__module__.split('.')[1]}.{kind.__name__}" for kind in SNAPSHOTS} | {
    name for name, rows in REFERENCE.items() if rows and len(rows[0]) == 3
}
"""Sections that other tests look at: of snapshots, and of options, which have a column for their defaults."""


@pytest.mark.parametrize("kind", with_fields(), ids=section_of)
def test_the_reference_has_all_fields_of_a_message_in_their_order(kind: Any) -> None:
    names = list(kind._fields) if hasattr(kind, "_fields") else fields(kind)
    if kind is meta.UDPClientStatistics:
        names = [name for name in names if name not in fields(datagram.Statistics)]
    assert named(section_of(kind)) == names


def test_the_messages_that_the_runtime_sends_are_among_them() -> None:
    sent = {getattr(gen, name) for name in exported(gen) if name.startswith("Message")} - {gen.MessagePriority}
    assert {*sent, meta.MessageUDPError} <= set(with_fields())


@pytest.mark.parametrize("name", [name for name in act.requests.__all__ if name.startswith(VERBS)])
def test_the_reference_has_all_arguments_of_a_request(name: str) -> None:
    row = next(row for row in REFERENCE["homing.act.requests"] if row[0].startswith(f"`{name}("))
    assert re.findall(r"(\w+)(?:=[^,]*)?(?=[,)])", row[0].partition("(")[2].replace("()", "")) == fields(
        getattr(act.requests, name)
    )
