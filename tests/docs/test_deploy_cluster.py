"""The files in `deploy/cluster`: the command and the library take their options, and they agree with each other.

No container engine runs here: no image is built.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from homing import gen
from homing.cli.config.settings import read_settings
from homing.cli.http import http_options
from homing.cli.joining import cluster_options
from homing.cli.run_options import RunOptions, with_run_options
from homing.cluster.certificates import make_authority, make_node_certificate

from .pages import ROOT

pytest.importorskip("zenoh", reason="zenoh is not installed (pip install 'homing[cluster]')")

DEPLOY = ROOT / "deploy" / "cluster"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
DOCUMENTS = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
IMAGE = (DEPLOY / "Dockerfile").read_text()
UDP, CLUSTER, HTTP = 5300, 7447, 9911


def kind(name: str) -> list[dict[str, Any]]:
    return [document for document in DOCUMENTS if document["kind"] == name]


PODS = {one["metadata"]["name"]: one["spec"]["template"] for one in kind("Deployment")}


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["spec"]["containers"]
    found: dict[str, Any] = only
    return found


COMMANDS = {name: service["command"] for name, service in COMPOSE["services"].items()} | {
    name: [word.replace("$(POD_NAME)", f"{name}-abc") for word in container(pod)["args"]] for name, pod in PODS.items()
}


def parsed(command: list[str]) -> tuple[str, RunOptions, set[str]]:
    """A command line, as `homing run` reads it."""
    found: list[Any] = []
    app = typer.Typer(add_completion=False)

    def keep(target: str, options: RunOptions, given: set[str]) -> None:
        found.append((target, options, given))

    app.command()(with_run_options(keep))
    app(command, standalone_mode=False)
    (only,) = found
    result: tuple[str, RunOptions, set[str]] = only
    return result


def joined(command: list[str], certificate: Path) -> gen.ClusterOptions:
    """The options of the cluster, all checked, with a certificate that is here."""
    mounted = [word for word in command if word.startswith("--cluster-cert=")]
    assert mounted == ["--cluster-cert=/etc/homing"]
    own = [f"--cluster-cert={certificate}" if word in mounted else word for word in command]
    _, options, given = parsed(own)
    found = cluster_options(read_settings(options, frozenset(given)), options.name)
    assert found is not None
    return found


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HOMING_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("authority")
    make_authority(directory)
    return directory


# --- the commands -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_runs_a_behavior_of_the_example_that_is_in_the_image(name: str) -> None:
    target, options, _ = parsed(COMMANDS[name])
    module, _, behavior = target.partition(":")
    assert hasattr(import_module(module), behavior)
    assert f"COPY {module.rpartition('.')[0].replace('.', '/')} " in IMAGE
    environment = dict(pair.split("=", 1) for pair in options.env)
    assert environment == ({"host": "0.0.0.0", "port": str(UDP)} if behavior == "Edge" else {})


@pytest.mark.parametrize("name", COMMANDS)
def test_a_node_can_be_given_the_certificate_that_the_instructions_make(name: str, authority: Path) -> None:
    _, options, _ = parsed(COMMANDS[name])
    file = "compose.yaml" if name in COMPOSE["services"] else "kubernetes.yaml"
    loop = re.search(r"for node in ([\w -]+); do homing cert node \$node@cluster --dir ca", (DEPLOY / file).read_text())
    made = [f"{node}@cluster" for node in loop[1].split()] if loop else ["any@kubernetes"]
    assert loop or "homing cert node any@kubernetes --dir ca" in (DEPLOY / file).read_text()
    paths = {node: make_node_certificate(authority, node) for node in made}
    certificate = paths[options.name] if loop else paths["any@kubernetes"]
    found = joined(COMMANDS[name], certificate)
    assert (found.trust, found.insecure) == ("names" if loop else "all", False)
    assert found.listen == (f"tls/0.0.0.0:{CLUSTER}",)


def test_nodes_of_one_file_are_in_one_cluster_and_have_names_of_their_own() -> None:
    for names in (COMPOSE["services"], PODS):
        options = [parsed(COMMANDS[name])[1] for name in names]
        assert len({one.name for one in options}) == len(options)
        assert len({one.cluster for one in options}) == 1


# --- compose ----------------------------------------------------------------------------------------------


def test_each_service_joins_all_others_and_has_the_certificate_of_its_name() -> None:
    services = COMPOSE["services"]
    assert len(services) == 3
    for name, service in services.items():
        _, options, _ = parsed(service["command"])
        assert options.join == [f"tls/{other}:{CLUSTER}" for other in services if other != name]
        assert service["volumes"] == [f"./ca/nodes/{options.name}:/etc/homing:ro"]


def test_only_the_edge_can_be_reached_and_only_from_this_machine() -> None:
    ports = {name: service.get("ports", []) for name, service in COMPOSE["services"].items()}
    assert ports == {"edge": [f"127.0.0.1:{UDP}:{UDP}/udp"], "worker-1": [], "worker-2": []}


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_service_has_few_rights_and_time_to_stop(name: str) -> None:
    service = COMPOSE["services"][name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert float(service["stop_grace_period"].rstrip("s")) > RunOptions().stop_timeout


def test_the_image_is_built_of_files_that_exist_and_are_not_ignored() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    sources = {
        word.removeprefix("./")
        for line in re.findall(r"^COPY (?!--from)(.*)$", IMAGE, re.MULTILINE)
        for word in line.split()[:-1]
    }
    assert sources == {line[1:] for line in ignored if line.startswith("!")}
    assert all((ROOT / source).exists() for source in sources)
    build = COMPOSE["x-node"]["build"]
    assert (DEPLOY / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).read_text() == IMAGE


# --- Kubernetes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PODS)
def test_the_seed_is_a_headless_service_that_has_the_pods_before_they_are_ready(name: str) -> None:
    _, options, _ = parsed(COMMANDS[name])
    ((_, seed, port),) = [address.split(":") for address in options.join]
    (service,) = [one for one in kind("Service") if one["metadata"]["name"] == seed]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert service["spec"]["selector"].items() <= PODS[name]["metadata"]["labels"].items()
    assert [str(one["port"]) for one in service["spec"]["ports"]] == [port]


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_asked_for_its_health_where_it_answers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    node = container(PODS[name])
    ports = {port["name"]: port["containerPort"] for port in node["ports"]}
    assert (ports["cluster"], ports["http"], ports.get("dns", UDP)) == (CLUSTER, HTTP, UDP)
    probes = {probe: node[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")}
    assert {get["port"] for get in probes.values()} == {"http"}
    assert [get["path"] for get in probes.values()] == ["/health/startup", "/health/live", "/health/ready"]
    variables = {variable["name"] for variable in node["env"]}
    assert variables == {"POD_NAME", "HOMING_HTTP_TOKEN"}
    monkeypatch.setenv("HOMING_HTTP_TOKEN", "0" * 64)
    _, options, _ = parsed(COMMANDS[name])
    http_options(options)
    assert options.http == f"0.0.0.0:{HTTP}"


@pytest.mark.parametrize("name", PODS)
def test_a_pod_has_few_rights(name: str) -> None:
    pod = PODS[name]["spec"]
    assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" in IMAGE
    assert container(PODS[name])["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("name", PODS)
def test_the_key_comes_from_a_secret_that_only_the_node_reads(name: str) -> None:
    pod = PODS[name]["spec"]
    (mount,) = [one for one in container(PODS[name])["volumeMounts"] if one["mountPath"] == "/etc/homing"]
    (volume,) = [one for one in pod["volumes"] if one["name"] == mount["name"]]
    assert mount["readOnly"] is True
    assert volume["secret"]["defaultMode"] & 0o007 == 0
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]
    assert f"generic {volume['secret']['secretName']} --from-file" in (DEPLOY / "kubernetes.yaml").read_text()


@pytest.mark.parametrize("name", PODS)
def test_a_pod_has_more_time_than_its_stop_takes(name: str) -> None:
    _, options, _ = parsed(COMMANDS[name])
    sleep = container(PODS[name]).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert PODS[name]["spec"]["terminationGracePeriodSeconds"] > sleep + options.stop_timeout


def selectors() -> Iterator[tuple[dict[str, str], int]]:
    """Each selector, and how many of the two kinds of pods it is meant for."""
    for one in kind("Service"):
        yield one["spec"]["selector"], 2 if one["spec"].get("clusterIP") == "None" else 1
    yield kind("NetworkPolicy")[0]["spec"]["podSelector"]["matchLabels"], 2
    yield kind("PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"], 1
    for one in kind("Deployment"):
        yield one["spec"]["selector"]["matchLabels"], 1


@pytest.mark.parametrize(("selector", "count"), list(selectors()))
def test_a_selector_finds_the_pods_that_it_is_for(selector: dict[str, str], count: int) -> None:
    assert sum(selector.items() <= pod["metadata"]["labels"].items() for pod in PODS.values()) == count
