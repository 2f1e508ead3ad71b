"""Environment variables of `[cluster]`: HOMING_CLUSTER is its name, HOMING_CLUSTER_LISTEN is `listen`, and so on."""

from __future__ import annotations

import json
import re
from typing import get_origin

from .schema import cluster_members

_SHORT = {"secret": "secret_file", "tag": "tags"}
"""Keys that have the name of an option of the command."""


def path_of(path: list[str], value: str) -> list[str]:
    """Returns the path in the file of a variable about the cluster; any other path as it is.

    path: the parts of the variable's name, in lower case.
    """
    first, *rest = path
    if first == "cluster" and not rest and not value.lstrip().startswith("{"):
        return ["cluster", "name"]
    key = first.removeprefix("cluster_")
    if key != first and not rest and _SHORT.get(key, key) in cluster_members():
        return ["cluster", _SHORT.get(key, key)]
    return path


def value_of(path: list[str], value: str) -> str:
    """Returns the value of a variable. An array of texts can be given as TOML, or as its texts with commas between."""
    member = cluster_members().get(path[1]) if len(path) == 2 and path[0] == "cluster" else None
    if member is None or get_origin(member.kind) is not tuple or value.lstrip().startswith("["):
        return value
    return json.dumps([word for word in re.split(r"[,\s]+", value) if word])
