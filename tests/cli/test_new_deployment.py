"""The files with which a new project is deployed: what the real tools say of them, and that they agree with each other.

No container engine runs here: the Dockerfile and the compose file are read, and no image is built.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from .made import NAME, made

MOST_EXPOSED = 2.0
"""Of 10, as `systemd-analyze security` counts it. The unit has 1.3."""

UDP_PORT, HTTP_PORT = 2345, 9911


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def options(project: Path) -> dict[str, Any]:
    """What app.toml says."""
    return tomllib.loads((project / "app.toml").read_text())


def tool(*command: str | Path, cwd: Path | None = None) -> str:
    """Runs a tool, or skips the test where there is none. Returns what it prints."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_ports_of_all_files_are_those_of_its_options(options: dict[str, Any]) -> None:
    assert options["servers"]["counter"]["port"] == UDP_PORT
    assert options["http"] == f"127.0.0.1:{HTTP_PORT}"


# --- systemd ----------------------------------------------------------------------------------------------


@pytest.fixture
def units(project: Path, tmp_path: Path) -> list[Path]:
    """The two units, with a program that is here."""
    found = []
    for path in sorted((project / "deploy" / "systemd").iterdir()):
        text = path.read_text().replace(f"/opt/{NAME}/venv/bin/homing", sys.executable)
        (tmp_path / path.name).write_text(text)
        found.append(tmp_path / path.name)
    return found


def lines(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", path.read_text(), re.MULTILINE))


def test_the_units_have_no_line_that_systemd_does_not_know(units: list[Path]) -> None:
    assert tool("systemd-analyze", "verify", *units).strip() == ""


def test_the_unit_is_little_exposed(units: list[Path]) -> None:
    printed = tool("systemd-analyze", "security", "--offline=true", units[0])
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", printed)
    assert exposure is not None
    assert float(exposure[1]) < MOST_EXPOSED


def test_the_unit_gives_the_service_more_time_than_it_takes_to_stop(units: list[Path], options: dict[str, Any]) -> None:
    assert float(lines(units[0])["TimeoutStopSec"]) > options["stop_timeout"]


def test_the_socket_has_the_port_and_the_name_that_the_service_asks_for(project: Path, units: list[Path]) -> None:
    socket = lines(units[1])
    assert socket["ListenDatagram"] == f"[::]:{UDP_PORT}"
    assert f'activation="{socket["FileDescriptorName"]}"' in (project / "fine_service" / "app.py").read_text()


# --- containers -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dockerfile(project: Path) -> list[tuple[str, str]]:
    """Its instructions, each with its arguments."""
    text = re.sub(r"^#.*\n", "", (project / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line.strip())]


def argument(dockerfile: list[tuple[str, str]], instruction: str) -> str:
    """The arguments of the only instruction of that name."""
    (found,) = [rest for word, rest in dockerfile if word == instruction]
    return found


def test_the_image_has_nothing_of_the_stage_that_builds_but_what_it_installed(
    dockerfile: list[tuple[str, str]],
) -> None:
    stages = [number for number, (word, _) in enumerate(dockerfile) if word == "FROM"]
    assert len(stages) == 2
    last = dockerfile[stages[1] :]
    assert [rest for word, rest in last if word == "COPY" and "--from" in rest] == ["--from=build /venv /venv"]
    assert not [rest for word, rest in last if word == "RUN" and "pip" in rest]


def test_the_image_copies_files_that_exist_and_that_are_not_ignored(
    project: Path, dockerfile: list[tuple[str, str]]
) -> None:
    allowed = {line[1:] for line in (project / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        name for word, rest in dockerfile if word == "COPY" and "--from" not in rest for name in rest.split()[:-1]
    }
    assert {name.removeprefix("./") for name in copied} == allowed
    assert all((project / name).exists() for name in allowed)


def test_the_image_and_the_readme_find_a_wheel_of_homing_that_no_index_has(
    project: Path, dockerfile: list[tuple[str, str]]
) -> None:
    (install,) = [rest for word, rest in dockerfile if word == "RUN" and "pip" in rest]
    assert "--find-links wheels" in install
    assert ("COPY", "wheels ./wheels") in dockerfile
    readme = (project / "README.md").read_text()
    assert all("--find-links wheels" in line for line in re.findall(r"^\$ .*pip install.*$", readme, re.MULTILINE))
    assert (python := re.search(r"python:[\d.]+", readme)) is not None
    assert {rest.split()[0] for word, rest in dockerfile if word == "FROM"} == {f"{python[0]}-slim"}


def test_the_service_in_the_image_is_no_root_and_gets_the_signals(dockerfile: list[tuple[str, str]]) -> None:
    assert argument(dockerfile, "USER") == "10001:10001"
    entrypoint = json.loads(argument(dockerfile, "ENTRYPOINT"))
    assert entrypoint == ["homing", "run", "--config", f"/etc/{NAME}/app.toml"]
    assert ("COPY", f"app.toml {entrypoint[-1]}") in dockerfile


def test_the_image_has_the_ports_and_asks_for_the_health_of_the_service(dockerfile: list[tuple[str, str]]) -> None:
    assert argument(dockerfile, "EXPOSE") == f"{UDP_PORT}/udp {HTTP_PORT}/tcp"
    command = json.loads(argument(dockerfile, "HEALTHCHECK").partition("CMD")[2])
    assert command[0] == "python"
    assert f"http://127.0.0.1:{HTTP_PORT}/health/live" in command[2]
    compile(command[2], "HEALTHCHECK", "exec")


def test_the_compose_file_opens_the_ports_and_gives_time_to_stop(project: Path, options: dict[str, Any]) -> None:
    services = yaml.safe_load((project / "compose.yaml").read_text())["services"]
    service = services.pop(NAME)
    assert service["ports"] == [f"{UDP_PORT}:{UDP_PORT}/udp", f"127.0.0.1:{HTTP_PORT}:{HTTP_PORT}"]
    assert float(service["stop_grace_period"].removesuffix("s")) > options["stop_timeout"]
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"]
    assert {name: each["profiles"] for name, each in services.items()} == {
        "prometheus": ["monitoring"],
        "grafana": ["monitoring"],
    }


def test_all_that_the_compose_file_mounts_is_in_the_project(project: Path) -> None:
    services = yaml.safe_load((project / "compose.yaml").read_text())["services"]
    mounted = [volume.split(":")[0] for each in services.values() for volume in each.get("volumes", ())]
    assert len(mounted) == 3
    assert all((project / path).exists() for path in mounted)


def test_docker_compose_takes_the_file(project: Path) -> None:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode
    ):
        pytest.skip("this docker has no compose")
    tool("docker", "compose", "--profile", "monitoring", "config", "--quiet", cwd=project)


# --- Kubernetes -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def manifests(project: Path) -> dict[str, Any]:
    """By kind and name."""
    text = (project / "deploy" / "kubernetes" / f"{NAME}.yaml").read_text()
    return {f"{each['kind']} {each['metadata']['name']}": each for each in yaml.safe_load_all(text)}


@pytest.fixture(scope="module")
def container(manifests: dict[str, Any]) -> Any:
    (found,) = manifests[f"Deployment {NAME}"]["spec"]["template"]["spec"]["containers"]
    return found


def test_the_manifests_are_a_deployment_and_a_service_for_each_protocol(manifests: dict[str, Any]) -> None:
    assert set(manifests) == {f"Deployment {NAME}", f"Service {NAME}", f"Service {NAME}-http"}
    labels = manifests[f"Deployment {NAME}"]["spec"]["template"]["metadata"]["labels"]
    assert all(each["spec"]["selector"] in (labels, {"matchLabels": labels}) for each in manifests.values())


def test_the_ports_of_the_pods_are_those_of_the_services(manifests: dict[str, Any], container: Any) -> None:
    ports = {port["name"]: (port["containerPort"], port["protocol"]) for port in container["ports"]}
    assert ports == {"udp": (UDP_PORT, "UDP"), "http": (HTTP_PORT, "TCP")}
    for name in (NAME, f"{NAME}-http"):
        (port,) = manifests[f"Service {name}"]["spec"]["ports"]
        assert (port["port"], port["protocol"]) == ports[port["targetPort"]]


@pytest.mark.parametrize("probe", ["startup", "liveness", "readiness"])
def test_each_probe_asks_for_its_own_health(container: Any, probe: str) -> None:
    path = {"startup": "startup", "liveness": "live", "readiness": "ready"}[probe]
    assert container[f"{probe}Probe"]["httpGet"] == {"path": f"/health/{path}", "port": "http"}


def test_a_pod_has_more_time_than_the_service_takes_to_stop(manifests: dict[str, Any], options: dict[str, Any]) -> None:
    pod = manifests[f"Deployment {NAME}"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > options["stop_timeout"]


def test_a_pod_has_few_rights_and_a_limit_of_memory(manifests: dict[str, Any], container: Any) -> None:
    pod = manifests[f"Deployment {NAME}"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]
    assert container["resources"]["requests"]


def test_kubectl_takes_the_manifests(project: Path, tmp_path: Path) -> None:
    name = f"{NAME}.yaml"
    shutil.copy(project / "deploy" / "kubernetes" / name, tmp_path)
    (tmp_path / "kustomization.yaml").write_text(f"resources: [{name}]\n")
    assert tool("kubectl", "kustomize", tmp_path).count("\nkind: ") == 3


# --- Prometheus and Grafana -------------------------------------------------------------------------------


def test_promtool_takes_the_configuration_of_prometheus(project: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(project / "deploy" / "prometheus", tmp_path / "prometheus")
    config = folder / "prometheus.yml"
    config.write_text(config.read_text().replace("/run/http-token", str(tmp_path / "token")))
    (tmp_path / "token").write_text("secret")
    assert "SUCCESS" in tool("promtool", "check", "config", config)


def test_prometheus_asks_the_service_with_the_token_that_compose_gives_it(project: Path) -> None:
    (job,) = yaml.safe_load((project / "deploy" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"{NAME}:{HTTP_PORT}"]}]
    compose = yaml.safe_load((project / "compose.yaml").read_text())
    (config,) = compose["services"]["prometheus"]["configs"]
    assert config["target"] == job["authorization"]["credentials_file"]
    assert compose["configs"][config["source"]] == {"content": "${HOMING_HTTP_TOKEN}"}


def test_grafana_finds_prometheus_and_the_dashboard(project: Path) -> None:
    provisioning = project / "deploy" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "homing.yml").read_text())["providers"]
    volumes = yaml.safe_load((project / "compose.yaml").read_text())["services"]["grafana"]["volumes"]
    assert f"./deploy/grafana/homing.json:{provider['options']['path']}/homing.json:ro" in volumes
    assert json.loads((project / "deploy" / "grafana" / "homing.json").read_text())["title"] == "Homing"
