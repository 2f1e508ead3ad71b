"""`homing config --example`: the file with all options, which shows the defaults."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path

from homing import gen, meta
from homing.cli.config.example import UNSET, example, texts_of
from homing.cli.config.schema import cluster_members, node_members, run_members, server_members
from homing.cli.config.source import load
from homing.cli.run_options import RunOptions

NO_VALUE = re.compile(rf"#\w+ = +{UNSET}")


def uncommented() -> str:
    """The example with all its defaults in force. (The server gets a name that needs no change.)"""
    lines = [line for line in example().splitlines() if not NO_VALUE.fullmatch(line)]
    return "\n".join(re.sub(r"^#(?=\[|\w+ = )", "", line) for line in lines)


def test_the_example_as_it_is_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "app.toml"
    file.write_text(example())
    found = load(str(file), {})
    assert (found.run, found.env, found.node, found.cluster, found.configuration.names) == ({}, {}, {}, {}, {})


def test_the_values_that_it_shows_are_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "app.toml"
    file.write_text(uncommented())
    found = load(str(file), {})
    assert found.env == {"KEY": "value"}
    options = dict(found.run)
    assert options.pop("target") == ""
    assert RunOptions(**options) == RunOptions()
    assert gen.NodeOptions(**found.node) == gen.NodeOptions()
    assert gen.ClusterOptions(name="any", **found.cluster) == gen.ClusterOptions(name="any")
    assert meta.UDPServerOptions(**found.configuration.server("NAME")) == meta.UDPServerOptions()


def test_it_has_every_option_and_those_without_a_value_have_the_default_none() -> None:
    shown = set(re.findall(r"^#(\w+) = ", example(), re.MULTILINE))
    assert shown == {*run_members(), *node_members(), *cluster_members(), *server_members(), "KEY"}
    unset = {line[1:].split()[0] for line in example().splitlines() if NO_VALUE.fullmatch(line)}
    for name in unset:
        kinds = (RunOptions, gen.NodeOptions, gen.ClusterOptions, meta.UDPServerOptions)
        fields = [each for kind in kinds for each in dataclasses.fields(kind) if each.name == name]
        assert None in [each.default for each in fields]  # a name may be in several tables


def test_every_option_is_described() -> None:
    for kind, members in (
        (gen.NodeOptions, node_members()),
        (gen.ClusterOptions, cluster_members()),
        (meta.UDPServerOptions, server_members()),
    ):
        texts = texts_of(kind)
        assert [name for name in members if len(texts.get(name, "")) < 10] == []


def test_options_that_need_objects_of_the_program_are_not_in_it() -> None:
    assert server_members().keys().isdisjoint({"worker", "buffer_pool", "socket", "peers", "bpf", "name"})


def test_it_is_toml_and_fits_an_editor() -> None:
    tomllib.loads(example())
    assert max(map(len, example().splitlines())) <= 100
