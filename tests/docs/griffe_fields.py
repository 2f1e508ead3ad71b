"""A griffe extension for this project's docstrings, which explain fields and arguments in lines such as

    host, port: the address to bind.
        An explanation may go on in lines that are indented.

For a class these lines become a table, with the type and the default of each field; for a function, a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import griffe

ENTRY = re.compile(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*): (.*)$")


def split(docstring: str) -> tuple[str, dict[str, str]]:
    """Returns a docstring's text and, by name, its explanations. Fields that share one are in it together."""
    text: list[str] = []
    entries: dict[str, str] = {}
    current = ""
    for line in docstring.splitlines():
        entry = ENTRY.match(line)
        if entry:
            current = entry[1]
            entries[current] = entry[2]
        elif current and line.startswith("    "):
            entries[current] += " " + line.strip()
        else:
            current = ""
            text.append(line)
    return with_fences("\n".join(text).strip()), entries


def with_fences(text: str) -> str:
    """Marks sessions of an interpreter as code: Markdown would take `>>>` for a quotation."""
    return re.sub(r"^>>> .*(?:\n.+)*", r"```pycon\n\g<0>\n```", text, flags=re.MULTILINE)


def cell(text: str) -> str:
    """A text as it can stand in a table. What is in backticks may have bars."""
    return re.sub(r"`[^`]*`|\|", lambda found: found[0] if len(found[0]) > 1 else "\\|", text).replace("\n", " ")


def row(names: str, meaning: str, members: dict[str, Any]) -> str:
    """A line of the table: names, types and defaults of fields that are explained together, and the explanation."""
    found = [members[name] for name in names.split(", ") if name in members]
    types = list(dict.fromkeys(str(member.annotation) for member in found if member.annotation))
    defaults = list(dict.fromkeys(f"`{member.value}`" for member in found if member.value is not None))
    code = ", ".join(f"`{name}`" for name in names.split(", "))
    kinds = ", ".join(f"`{kind}`" for kind in types)
    return f"| {code} | {kinds} | {', '.join(defaults)} | {cell(meaning)} |"


def table(cls: griffe.Class) -> None:
    """Moves the explanations of a class's fields from its docstring into a table, and the fields with them."""
    if cls.docstring is None:
        return
    text, entries = split(cls.docstring.value)
    members = {name: member for name, member in cls.members.items() if not member.is_alias and member.is_attribute}
    fields = [name for name, member in members.items() if not name.startswith("_") and "property" not in member.labels]
    explained = {name for names in entries for name in names.split(", ")}
    for name in fields:  # an attribute with a docstring of its own, and one that its name explains
        if name not in explained and not (name.startswith("_") or "instance-attribute" in members[name].labels):
            docstring = members[name].docstring
            entries[name] = docstring.value if docstring else ""
    if entries:
        order = {name: number for number, name in enumerate(cls.members)}
        lines = sorted(entries.items(), key=lambda entry: order.get(entry[0].split(", ")[0], len(order)))
        rows = [row(names, meaning, members) for names, meaning in lines]
        text += "\n\n| name | type | default | meaning |\n|---|---|---|---|\n" + "\n".join(rows)
    cls.docstring.value = text
    for name in fields:
        del cls.members[name]


def listed(function: griffe.Function) -> None:
    """Makes the explanations of a function's arguments a list."""
    if function.docstring is not None:
        text, entries = split(function.docstring.value)
        items = "\n".join(f"- `{names}`: {meaning}" for names, meaning in entries.items())
        function.docstring.value = f"{text}\n\n{items}".strip()


def lent(cls: griffe.Class) -> None:
    """Makes methods of the functions that a class names in its body: `link = links.link`."""
    for name, member in list(cls.members.items()):
        if member.is_alias or not member.is_attribute or not re.fullmatch(r"[\w.]+", str(member.value)):
            continue
        module, _, function = str(member.value).rpartition(".")
        try:
            found = cls.modules_collection[
                f"{cls.resolve(module)}.{function}" if module else cls.module.resolve(function)
            ]
        except (griffe.NameResolutionError, KeyError):
            continue
        if found.is_function:
            parameters = griffe.Parameters(*list(found.parameters)[1:])  # without `self`
            made = griffe.Function(name, parameters=parameters, returns=found.returns, docstring=found.docstring)
            made.labels |= found.labels
            made.parent = cls
            cls.members[name] = made  # where it stood: the order is that of the source


def inherited(cls: griffe.Class) -> None:
    """Gives a method without a docstring the one of the method that it overrides."""
    for name, member in cls.members.items():
        if member.is_function and not member.docstring and not name.startswith("_"):
            found = (base.members[name].docstring for base in cls.mro() if name in base.members)
            member.docstring = next(filter(None, found), None)


class Fields(griffe.Extension):
    """Changes the docstrings of whatever is documented."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Called when the whole package is loaded."""
        for step in (lent, inherited, table):
            for cls in classes(pkg):
                step(cls)
        for function in functions(pkg):
            listed(function)


def classes(thing: griffe.Object) -> Iterator[griffe.Class]:
    for member in list(thing.members.values()):
        if not member.is_alias and (member.is_class or member.is_module):
            yield from classes(member)
            if member.is_class:
                yield member


def functions(thing: griffe.Object) -> Iterator[griffe.Function]:
    for member in list(thing.members.values()):
        if not member.is_alias and member.is_function:
            yield member
        elif not member.is_alias and (member.is_class or member.is_module):
            yield from functions(member)
