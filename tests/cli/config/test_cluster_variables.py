"""The cluster in the file and in the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from homing import gen
from homing.cli.config.source import Loaded, load


def loaded(tmp_path: Path, text: str = "", **environment: str) -> Loaded:
    file = tmp_path / "app.toml"
    file.write_text(text)
    return load(str(file), environment)


@pytest.mark.parametrize(
    ("variable", "value", "field", "expected"),
    [
        ("HOMING_CLUSTER", "prod", "name", "prod"),
        ("HOMING_CLUSTER_NAME", "prod", "name", "prod"),
        ("HOMING_CLUSTER_LISTEN", "tls/0.0.0.0:7447", "listen", ("tls/0.0.0.0:7447",)),
        ("HOMING_CLUSTER_JOIN", "tls/a:1, tls/b:2", "join", ("tls/a:1", "tls/b:2")),
        ("HOMING_CLUSTER_JOIN", '["tls/a:1"]', "join", ("tls/a:1",)),
        ("HOMING_CLUSTER_CERT", "/etc/homing", "cert", "/etc/homing"),
        ("HOMING_CLUSTER_SECRET", "/run/secret", "secret_file", "/run/secret"),
        ("HOMING_CLUSTER_TRUST", "all", "trust", "all"),
        ("HOMING_CLUSTER_INSECURE", "1", "insecure", True),
        ("HOMING_CLUSTER_TAG", "edge", "tags", ("edge",)),
        ("HOMING_CLUSTER_NODE_TIMEOUT", "5", "node_timeout", 5.0),
        ("HOMING_CLUSTER__WEIGHT", "3", "weight", 3),
    ],
)
def test_each_option_has_a_variable(tmp_path: Path, variable: str, value: str, field: str, expected: Any) -> None:
    assert loaded(tmp_path, **{variable: value}).cluster == {field: expected}


def test_a_variable_has_precedence_over_the_file(tmp_path: Path) -> None:
    found = loaded(tmp_path, '[cluster]\nname = "a"\nweight = 2', HOMING_CLUSTER="b")
    assert found.cluster == {"name": "b", "weight": 2}


def test_a_table_can_be_given_as_one_variable(tmp_path: Path) -> None:
    assert loaded(tmp_path, HOMING_CLUSTER='{name = "a", weight = 2}').cluster == {"name": "a", "weight": 2}


def test_variables_that_kubernetes_makes_for_a_service_of_that_name_are_left_alone(tmp_path: Path) -> None:
    found = loaded(tmp_path, HOMING_CLUSTER_SERVICE_HOST="10.0.0.1", HOMING_CLUSTER_PORT="tcp://10.0.0.1:7447")
    assert found.cluster == {}


def test_an_empty_name_joins_no_cluster(tmp_path: Path) -> None:
    assert loaded(tmp_path, '[cluster]\nname = ""').cluster == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[cluster]\nname = 'a b'", "line 2: cluster.name: 'a b': give letters, digits"),
        ("[cluster]\nlisten = 'tcp/127.0.0.1:1'", "line 2: cluster.listen: 'tcp/127.0.0.1:1': Expected"),
        ("[cluster]\ntrust = 'some'", "line 2: cluster.trust: 'some': "),
        ("[cluster]\nlink_window = 1", "line 2: cluster.link_window: 1: "),
        ("[cluster]\nspawnable = {}", "there is no such key"),
        ("cluster = 7", "give a table, [cluster]"),
    ],
)
def test_a_fault_is_named_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(gen.BadConfiguration) as failure:
        loaded(tmp_path, text)
    assert problem in "\n".join(failure.value.problems)
