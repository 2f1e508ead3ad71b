"""The service of a new project, as it runs on a laptop, under systemd, in the image, and beside Prometheus."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ..examples.test_examples import Program, program
from ..support import DEADLINE, UDPPeer, free_port
from .made import NAME, made
from .nodes import environment, run, udp_port

OPTIONS = ("--config", "app.toml")
TOKEN = "0123456789abcdef" * 2
HTTP_PORT = "9911"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("made"))


@pytest.fixture
def own_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any free ports, as tests run side by side."""
    monkeypatch.setenv("HOMING_SERVERS__COUNTER__PORT", "0")
    monkeypatch.setenv("HOMING_HTTP", "127.0.0.1:0")


@pytest.mark.usefixtures("own_ports")
async def test_its_service_answers_as_its_readme_says(project: Path, runtime: Path, peer: UDPPeer) -> None:
    async with run(runtime, *OPTIONS, "--name", "answers@localhost", cwd=project) as running:
        port = await udp_port(running)
        assert await peer.ask(b"add apples 3", ("127.0.0.1", port)) == b"apples 3\n"
        assert await peer.ask(b"get apples", ("127.0.0.1", port)) == b"apples 3\n"


WITHOUT_EXECUTABLE_MEMORY = """
import ctypes, mmap, os, sys
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0):
    sys.exit("this kernel has no PR_SET_MDWE")
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)
except PermissionError:
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""As MemoryDenyWriteExecute=yes of the unit: no memory of the program that follows becomes executable."""


@pytest.fixture
def without_executable_memory() -> str:
    """The program, on a machine that can run it."""
    command = [sys.executable, "-c", WITHOUT_EXECUTABLE_MEMORY, "--version"]
    if not sys.platform.startswith("linux") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this kernel has no PR_SET_MDWE (Linux 6.3)")
    return WITHOUT_EXECUTABLE_MEMORY


@pytest.mark.usefixtures("own_ports")
async def test_its_service_answers_where_no_memory_may_become_executable(
    project: Path, runtime: Path, peer: UDPPeer, without_executable_memory: str
) -> None:
    command = ("-c", without_executable_memory, "-m", "homing", "run", "--name", "strict@localhost", *OPTIONS)
    env = environment(runtime)
    async with program(*command, stderr=asyncio.subprocess.STDOUT, cwd=project, env=env) as running:
        port = await udp_port(running)
        assert await peer.ask(b"add apples 3", ("127.0.0.1", port)) == b"apples 3\n"


# --- in the image -----------------------------------------------------------------------------------------


class Served:
    """The service, with the environment variables of the image. http, udp: its ports."""

    def __init__(self, running: Program, line: str) -> None:
        self.running = running
        self.http, self.udp = (int(found) for found in re.findall(r"0\.0\.0\.0:(\d+)", line))

    async def ask(self, path: str, **headers: str) -> int:
        """Returns the status of the answer to a GET."""
        return await asyncio.to_thread(self._ask, path, headers)

    def _ask(self, path: str, headers: dict[str, str]) -> int:
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
                status: int = answer.status
                return status
        except urllib.error.HTTPError as error:
            with error:
                return error.code


@pytest.fixture
def image(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment variables of the image, with any free ports."""
    variables = dict(re.findall(r"(HOMING_\w+)=(\S+)", (project / "Dockerfile").read_text()))
    assert len(variables) == 4
    variables["HOMING_HTTP"] = variables["HOMING_HTTP"].replace(HTTP_PORT, "0")
    for name, value in {**variables, "HOMING_SERVERS__COUNTER__PORT": "0", "HOMING_HTTP_TOKEN": TOKEN}.items():
        monkeypatch.setenv(name, value)


@asynccontextmanager
async def served(runtime: Path, project: Path, name: str) -> AsyncIterator[Served]:
    async with run(runtime, *OPTIONS, "--name", f"{name}@localhost", cwd=project) as running:
        yield Served(running, await running.line_with("HTTP "))


@pytest.mark.usefixtures("image")
async def test_in_the_image_each_line_is_json(project: Path, runtime: Path) -> None:
    async with served(runtime, project, "lines") as service:
        service.running.process.send_signal(signal.SIGTERM)
        await service.running.line_with("stopped in order")
        assert await service.running.end() == 0
    for line in service.running.output:
        assert json.loads(line)["level"] == "INFO", line


@pytest.mark.usefixtures("image")
async def test_in_the_image_it_answers_udp_and_probes_and_metrics_want_the_token(
    project: Path, runtime: Path, peer: UDPPeer
) -> None:
    async with served(runtime, project, "image") as service:
        assert await peer.ask(b"add apples 3", ("127.0.0.1", service.udp)) == b"apples 3\n"
        for probe in ("startup", "live", "ready"):
            assert await service.ask(f"/health/{probe}") == 200
        assert await service.ask("/health/ready", Host="10.1.2.3:9911") == 200  # as kubelet asks a pod
        assert await service.ask("/metrics") == 401
        assert await service.ask("/metrics", Authorization=f"Bearer {TOKEN}") == 200
        authorized = {"Authorization": f"Bearer {TOKEN}"}
        assert await service.ask("/metrics", Host=f"{NAME}:9911", **authorized) == 200  # as Prometheus beside it asks


@pytest.mark.usefixtures("image")
async def test_the_image_does_not_start_without_a_token(
    project: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOMING_HTTP_TOKEN")
    async with run(runtime, *OPTIONS, "--name", "open@localhost", cwd=project) as running:
        assert "environment variable HOMING_HTTP: " in await running.line_with("give --http-public and a token")
        assert await running.end() == 2


@pytest.mark.usefixtures("image")
async def test_the_health_check_of_the_image_follows_the_service(project: Path, runtime: Path) -> None:
    line = next(line for line in (project / "Dockerfile").read_text().splitlines() if line.strip().startswith("CMD"))
    command = json.loads(line.strip().removeprefix("CMD"))[1:]

    async def healthy(port: int) -> bool:
        asked = [part.replace(HTTP_PORT, str(port)) for part in command]
        process = await asyncio.create_subprocess_exec(sys.executable, *asked, stderr=asyncio.subprocess.DEVNULL)
        async with asyncio.timeout(2 * DEADLINE):
            return await process.wait() == 0

    async with served(runtime, project, "healthy") as service:
        assert await healthy(service.http)
    assert not await healthy(service.http)


# --- Prometheus -------------------------------------------------------------------------------------------


def query(port: int, text: str) -> list[Any]:
    """Returns the results of a query; none while Prometheus is starting."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?query={text}", timeout=DEADLINE) as answer:
            result: list[Any] = json.load(answer)["data"]["result"]
            return result
    except OSError:
        return []


def configuration(project: Path, to: Path, target: str) -> Path:
    """Returns the configuration of Prometheus in the project, except for the places of things."""
    folder = shutil.copytree(project / "deploy" / "prometheus", to / "prometheus")
    (to / "token").write_text(TOKEN)
    text = (folder / "prometheus.yml").read_text().replace("5s", "1s")
    for was, now in (("/run/http-token", str(to / "token")), (f"{NAME}:{HTTP_PORT}", target)):
        assert was in text
        text = text.replace(was, now)
    (folder / "prometheus.yml").write_text(text)
    return folder / "prometheus.yml"


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")
@pytest.mark.usefixtures("image")
async def test_prometheus_scrapes_it_with_the_token(project: Path, runtime: Path, tmp_path: Path) -> None:
    port = free_port()
    async with served(runtime, project, "scraped") as service:
        process = await asyncio.create_subprocess_exec(
            "prometheus",
            f"--config.file={configuration(project, tmp_path, f'127.0.0.1:{service.http}')}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(2 * DEADLINE):
                while not (found := await asyncio.to_thread(query, port, "homing_node_uptime_seconds>0")):
                    await asyncio.sleep(0.1)
            assert [each["metric"]["job"] for each in found] == [f"homing-{NAME}"]
            assert await asyncio.to_thread(query, port, "ALERTS") == []
        finally:
            process.terminate()
            await process.wait()
