"""`homing run --http`, with the tools of operators: promtool, Prometheus, schemathesis."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import homing
from homing import act, gen, meta, observe

from ..examples.test_examples import Program
from ..support import DEADLINE, UDPPeer, eventually
from .nodes import run, run_to_the_end, the_end, udp_port

ANY = "127.0.0.1:0"
TOKEN = "0123456789abcdef"


async def url_of(running: Program, label: str = "HTTP") -> str:
    found = re.search(r"http://\S+/", await running.line_with(label))
    assert found is not None
    return found[0]


async def get(url: str, **headers: str) -> tuple[int, Any]:
    """Status and body of a GET: what JSON says, or the text."""

    def ask() -> tuple[int, Any]:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=DEADLINE)
        try:
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            text = response.read().decode()
            return response.status, json.loads(text) if text.startswith("{") else text
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


def free_tcp_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_metrics_and_health_of_a_service_until_it_stops(runtime: Path) -> None:
    async with run(runtime, "served:Service", "--http", ANY) as running:
        url = await url_of(running)
        for probe in ("live", "ready", "startup"):
            assert (await get(f"{url}health/{probe}"))[0] == 200
        status, text = await get(f"{url}metrics")
        assert status == 200
        assert "homing_socket_received_packets_total" in text
        assert (await get(f"{url}api/v1/node"))[1]["allow"] is False
        running.process.send_signal(signal.SIGTERM)
        assert await the_end(running) == 0
        with pytest.raises(ConnectionRefusedError):
            await get(url)


async def test_startup_is_false_until_the_application_has_started(runtime: Path) -> None:
    port = free_tcp_port()
    async with run(runtime, "served:Slow", "--http", f"127.0.0.1:{port}", "--stop-timeout", "0.1") as running:
        async with asyncio.timeout(DEADLINE):
            while True:
                try:
                    status, body = await get(f"http://127.0.0.1:{port}/health/startup")
                    break
                except ConnectionRefusedError:
                    await asyncio.sleep(0.02)
        assert (status, body["ok"]) == (503, False)
        assert (await get(f"http://127.0.0.1:{port}/health/live"))[0] == 200
        running.process.send_signal(signal.SIGTERM)
        await the_end(running)


async def test_a_port_in_use_is_named(runtime: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, output = await run_to_the_end(runtime, "served:Service", "--http", address)
    assert code == 1
    assert f"cannot listen on {address}: Address already in use" in output


BAD = [
    (("--http", "nonsense"), "HOST:PORT"),
    (("--http", "0.0.0.0:0"), "--http-public and a token"),
    (("--http", "0.0.0.0:0", "--http-public"), "HOMING_HTTP_TOKEN"),
    (("--http", ANY, "--processes", "2", "--no-control"), "--no-control"),
    (("--http", ANY, "--http-token-file", "/nowhere"), "No such file"),
]


@pytest.mark.parametrize(("arguments", "told"), BAD)
async def test_a_bad_option_is_named(runtime: Path, arguments: tuple[str, ...], told: str) -> None:
    code, output = await run_to_the_end(runtime, "served:Service", *arguments)
    assert code == 2
    assert told in output


async def test_there_is_no_option_for_the_token_itself_as_others_could_see_it(runtime: Path) -> None:
    code, output = await run_to_the_end(runtime, "served:Service", "--http", ANY, "--http-token", TOKEN)
    assert code == 2
    assert "--http-token-file" in output


async def test_with_a_token_the_node_can_be_changed_if_allowed(
    runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    options = ("--http", ANY, "--http-token-file", str(tmp_path / "token"), "--allow")
    async with run(runtime, "served:Service", *options) as running:
        url = await url_of(running)
        assert (await get(f"{url}metrics"))[0] == 401
        status, node = await get(f"{url}api/v1/node", Authorization=f"Bearer {TOKEN}")
        assert (status, node["allow"]) == (200, True)
        assert TOKEN not in "".join(running.output)


async def test_without_a_token_allow_is_for_the_control_socket_only(runtime: Path) -> None:
    async with run(runtime, "served:Service", "--http", ANY, "--allow") as running:
        line = await running.line_with("HTTP")
        assert "--allow needs a token here" in line
        url = re.search(r"http://\S+/", line)
        assert url is not None
        assert (await get(f"{url[0]}api/v1/node"))[1]["allow"] is False


async def test_a_loop_that_is_blocked_is_not_live(runtime: Path, peer: UDPPeer) -> None:
    async with run(runtime, "served:Service", "--http", ANY, "--stop-timeout", "0") as running:
        url, port = await url_of(running), await udp_port(running)
        peer.send(b"block", ("127.0.0.1", port))
        async with asyncio.timeout(DEADLINE):
            while (await get(f"{url}health/live"))[0] == 200:
                await asyncio.sleep(0.1)
        status, body = await get(f"{url}health/ready")
        assert (status, body["checks"][0]["ok"]) == (503, False)
        status, text = await get(f"{url}metrics")
        assert 'homing_health_check{check="loop"} 0.0' in text
        running.process.kill()


async def test_one_server_answers_for_all_processes(runtime: Path) -> None:
    async with run(runtime, "served:Service", "--name", "shop@host", "--processes", "2", "--http", ANY) as running:
        url = await url_of(running, "HTTP server of all processes")
        async with asyncio.timeout(DEADLINE):
            while (await get(f"{url}health/ready"))[0] != 200:
                await asyncio.sleep(0.1)
        _, text = await get(f"{url}metrics")
        for name in ("shop-1@host", "shop-2@host"):
            assert f'homing_node_processes{{node="{name}"}}' in text
            assert f'homing_health_check{{check="ready",node="{name}"}}' not in text
            assert f'homing_health_check{{check="sockets",node="{name}"}} 1.0' in text
        _, rows = await get(f"{url}api/v1/sockets")
        assert {row["node"] for row in rows["sockets"]} == {"shop-1@host", "shop-2@host"}
        running.process.send_signal(signal.SIGTERM)
        assert await the_end(running) == 0


async def test_a_successor_takes_over_the_http_server_too(runtime: Path) -> None:
    address = f"127.0.0.1:{free_tcp_port()}"
    async with run(runtime, "served:Service", "--http", address) as first:
        await first.line_with("UDP server  ")
        async with run(runtime, "served:Service", "--http", address, "--takeover") as second:
            await second.line_with("UDP server  ")
            assert await the_end(first) == 0
            async with asyncio.timeout(DEADLINE):
                while True:
                    try:
                        _, node = await get(f"http://{address}/api/v1/node")
                        break
                    except OSError:
                        await asyncio.sleep(0.02)
            assert node["os_pid"] == second.process.pid


# --- the tools --------------------------------------------------------------------------------------------


class Echo(act.Actor):
    async def init(self) -> None:
        self.health("db", True, timeout=None)
        await self.spawn_meta(meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1", port=0)))


class Top(act.Supervisor):
    def init(self) -> act.SupervisorSpec:
        return act.SupervisorSpec(children=(act.ChildSpec(name="echo", behavior=Echo),))


class App(gen.Application):
    def load(self, node: Any, *args: Any) -> gen.ApplicationSpec:
        return gen.ApplicationSpec(name="app", members=(gen.ApplicationMember(behavior=Top, name="top"),))


async def test_promtool_finds_nothing(node: homing.Node) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    await node.application_load(App)
    await node.application_start("app")
    _, text = await get(f"{start_http(node).url}metrics")
    command = [promtool, "check", "metrics"]
    checked = await asyncio.to_thread(subprocess.run, command, input=text.encode(), capture_output=True, timeout=30)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def start_http(node: homing.Node, **options: Any) -> Any:
    return observe.start_http(node, port=0, **options)


CONFIGURATION = """
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: homing
    authorization: {credentials: TOKEN}
    static_configs: [{targets: ["ADDRESS"]}]
"""


async def test_a_real_prometheus_scrapes_it(node: homing.Node, tmp_path: Path) -> None:
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        pytest.skip("Prometheus is not installed (Debian: prometheus)")
    await node.application_load(App)
    await node.application_start("app")
    server, port = start_http(node, token=TOKEN), free_tcp_port()
    configuration = tmp_path / "prometheus.yml"
    host, own_port = server.address
    configuration.write_text(CONFIGURATION.replace("ADDRESS", f"{host}:{own_port}").replace("TOKEN", TOKEN))
    process = await asyncio.create_subprocess_exec(
        prometheus,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        found = await asyncio.wait_for(scraped(port, "homing_node_processes"), 2 * DEADLINE)
        assert float(found["value"][1]) == node.info().processes
        up = await scraped(port, "up")
        assert up["value"][1] == "1"
        causes = await scraped(port, 'homing_socket_dropped_packets_total{direction="in",cause="kernel"}')
        assert causes["metric"]["socket"] == "client"
    finally:
        process.kill()
        await process.wait()


async def scraped(port: int, query: str) -> Any:
    """The first result of a query, when Prometheus has one."""
    while True:
        try:
            _, body = await get(f"http://127.0.0.1:{port}/api/v1/query?query={query}")
            if body["data"]["result"]:
                return body["data"]["result"][0]
        except (OSError, TypeError, KeyError, http.client.HTTPException):
            pass  # it starts
        await asyncio.sleep(0.1)


async def test_schemathesis_finds_nothing(node: homing.Node, tmp_path: Path) -> None:
    """Requests made from the description, and the answers checked against it. Streams are left out: they do not end."""
    await node.application_load(App)
    await node.application_start("app")
    server = start_http(node, request_rate=1e6, most_connections=1000)
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}openapi.json"]
    options = ["--max-examples", "6", "--exclude-path-regex", "/stream/", "--no-color", "--seed", "1"]
    done = await asyncio.to_thread(
        subprocess.run, [*command, *options], capture_output=True, text=True, timeout=50, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    await eventually(lambda: node.info().state == "running")
