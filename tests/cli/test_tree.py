"""`homing tree`: what runs on a node, seen from another program."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

import homing
from homing import act, gen, meta
from homing.cli.tree import duration, render
from homing.observe import Observer, open_control
from homing.observe.control import ControlError, client
from homing.observe.plain import MOST_FACTS
from homing.observe.tree import look

from ..node.actors import Meta, hang
from ..support import Probe, UDPPeer, eventually
from .nodes import files, run, tree, tree_alone, udp_port
from .served import Service, Top, Workers


async def test_it_shows_applications_members_children_and_meta_processes(runtime: Path, peer: UDPPeer) -> None:
    async with run(runtime, "served:Service") as running:
        port = await udp_port(running)
        for _ in range(3):
            await peer.ask(b"hello", ("127.0.0.1", port))
        code, out, err = await tree_alone(runtime)
    assert (code, err) == (0, "")
    title, _, header, application, *rows = out.splitlines()
    assert re.fullmatch(
        rf"served@localhost: running, up \d+ s, OS process {running.process.pid}, Python 3\.\S+ on \w+, 28 processes",
        title,
    )
    assert header.split() == ["pid", "behavior", "state", "waiting"]
    assert re.fullmatch(r"served 1\.2 \(permanent application, running, up \d+ s\)", application)
    assert re.fullmatch(r"└─ top +1001 +Top \(supervisor\) +sleep +0 +restarts 0", rows[0])
    assert re.fullmatch(r"   ├─ echo +\d+ +Echo +sleep +0", rows[1])
    assert re.fullmatch(rf"   │  └─ UDP 127\.0\.0\.1:{port} +\d+ +UDPServer +\w+ +0 +in 3, out 3, dropped 0", rows[2])
    assert re.fullmatch(r"   └─ workers +\d+ +Workers \(pool\) +sleep +0 +restarts 0", rows[3])
    assert re.fullmatch(r"      ├─ - +\d+ +Actor +sleep +0", rows[4])
    assert rows[24:] == ["      └─ ... and 5 more"]


async def test_with_all_it_shows_every_child(runtime: Path) -> None:
    async with run(runtime, "served:Service") as running:
        await udp_port(running)
        _, out, _ = await tree(runtime, "served@localhost", "--all")
    assert "more" not in out
    assert out.count("Actor") == 25


async def test_it_is_plain_ascii_where_the_output_has_nothing_else(runtime: Path) -> None:
    async with run(runtime, "served:Service") as running:
        await udp_port(running)
        code, out, _ = await tree(runtime, "served", PYTHONIOENCODING="ascii")
    assert code == 0
    assert out.isascii()
    assert re.search(r"^`- top .*\n   \|- echo .*\n   \|  `- UDP .*\n   `- workers", out, re.MULTILINE)


async def test_with_json_it_prints_the_data_without_the_environment(runtime: Path) -> None:
    async with run(runtime, "served:Service", "--env", "password=secret") as running:
        port = await udp_port(running)
        _, out, _ = await tree(runtime, "served", "--json")
    assert "secret" not in out
    data = json.loads(out)
    assert (data["node"]["name"], data["node"]["os_pid"]) == ("served@localhost", running.process.pid)
    (application,) = data["applications"]
    assert (application["name"], application["members"]) == ("served", ["<served@localhost.1001>"])
    top, echo, workers = application["processes"][:3]
    assert (top["depth"], echo["parent"], workers["more"]) == (0, top["pid"], 5)
    assert echo["metas"][0]["facts"]["listener"] == f"127.0.0.1:{port}"
    assert data["processes"] == []


async def test_a_udp_client_is_shown_with_its_peer(runtime: Path) -> None:
    async with run(runtime, "served:Client") as running:
        await running.line_with("no UDP server")
        _, out, _ = await tree(runtime, "served")
    assert re.search(r"UDP 127\.0\.0\.1:\d+ > 127\.0\.0\.1:9 .* UDPClient ", out)


async def test_of_two_nodes_it_wants_to_know_which(runtime: Path) -> None:
    one, two = run(runtime, "served:Workers"), run(runtime, "served:Service", "--name", "shop@host")
    async with one as first, two as second:
        await first.line_with("no UDP server")
        await udp_port(second)
        code, out, err = await tree_alone(runtime)
        assert (code, out) == (2, "")
        assert err == "homing tree: 2 nodes run; name one of them: served@localhost, shop@host\n"
        for name in ("shop", "shop@host"):
            code, out, _ = await tree_alone(runtime, name)
            assert out.startswith("shop@host: running")
        code, out, err = await tree_alone(runtime, "nobody")
        assert (code, out) == (2, "")
        assert err == "homing tree: no node nobody runs; there are served@localhost, shop@host\n"


async def test_where_no_node_runs_it_says_how_one_is_started(runtime: Path) -> None:
    code, out, err = await tree_alone(runtime)
    assert (code, out) == (1, "")
    assert f"has a control socket (none in {runtime}/homing or {runtime}/tmp)" in err
    assert "`homing run module:App` starts a node" in err


async def test_what_killed_nodes_left_behind_is_removed_and_not_shown(runtime: Path) -> None:
    (runtime / "homing").mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(runtime / "homing" / "old@host.sock"))
    code, _, err = await tree_alone(runtime)
    assert code == 1
    assert "no running node" in err
    assert files(runtime / "homing") == []


async def test_a_name_that_would_steer_the_terminal_is_shown_harmless(runtime: Path) -> None:
    async with run(runtime, "served:Named") as running:
        await running.line_with("no UDP server")
        _, out, _ = await tree(runtime, "served")
    assert "\x1b" not in out
    assert "└─ ?[2J?red  1001  Named" in out


# --- within one program -----------------------------------------------------------------------------------


async def shown(
    node: homing.Node, children: int | None = None, encoding: str = "utf-8", width: int | None = None
) -> str:
    return render(json.loads(json.dumps(await look(Observer(node), children))), encoding, width)


async def test_long_names_are_cut_at_a_narrow_terminal_only(node: homing.Node) -> None:
    for name in ("n" * 200, "日本語", "\x1b[2J\n"):
        await node.spawn(act.Actor, name=name)
    assert "n" * 200 in await shown(node)
    text = await shown(node, width=80)
    assert max(map(cell_len, text.splitlines()[2:])) <= 80
    assert {cell_len(line.partition("Actor")[0]) for line in text.splitlines() if "Actor" in line} == {
        cell_len(text.splitlines()[2].partition("behavior")[0])
    }


async def test_a_stuck_process_costs_the_tree_half_a_second_once_and_says_so(
    node: homing.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homing.observe.inspecting.TIMEOUT", 0.02)

    class Stuck(Workers):
        async def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
            await hang(self)

    class StuckMeta(Meta):
        async def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
            await hang(self)

    probe = await Probe.start(node)
    await probe.do(lambda actor: actor.spawn_meta(StuckMeta()))
    await node.spawn(Stuck)
    text = await shown(node, 2)
    assert re.search(r"StuckMeta +sleep +0 +does not answer", text)
    assert re.search(r"Stuck \(pool\) +\w+ +0 +does not answer", text)
    assert "1 more" not in text.splitlines()[-1]
    await node.stop(0)


async def test_what_a_program_tells_of_itself_is_cut_and_made_plain(node: homing.Node) -> None:
    class Talkative(Meta):
        def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
            many = {f"key {number}": number for number in range(1000)}
            return {
                "text": "x" * 10_000,
                "object": object(),
                "nan": float("nan"),
                "errors": {"EPERM": 1},
                5: many,
                **many,
            }

    probe = await Probe.start(node)
    await probe.do(lambda actor: actor.spawn_meta(Talkative()))
    snapshot = await look(Observer(node))
    facts = snapshot["processes"][0]["metas"][0]["facts"]
    assert (facts["text"], facts["nan"], facts["errors"]) == ("x" * 256, None, {"EPERM": 1})
    assert re.fullmatch(r"<object .{5,40}>", facts["object"])
    assert (len(facts), len(facts["5"])) == (MOST_FACTS, MOST_FACTS)


@pytest.mark.parametrize("answer", [None, "text", [1, 2]])
async def test_what_is_no_mapping_is_not_shown(node: homing.Node, answer: Any) -> None:
    class Odd(Meta):
        def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
            return answer

    probe = await Probe.start(node)
    await probe.do(lambda actor: actor.spawn_meta(Odd()))
    assert (await look(Observer(node)))["processes"][0]["metas"][0]["facts"] is None


async def test_open_requests_are_shown(node: homing.Node) -> None:
    class Silent(act.Actor):
        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return gen.NO_REPLY

    class Asker(act.Actor):
        def init(self, to: gen.PID) -> None:
            for _ in range(3):
                self.send_request(to, "question")

    await node.spawn(Asker, await node.spawn(Silent))
    assert "requests 3" in await shown(node)


async def test_restarts_of_a_supervisor_are_shown(node: homing.Node) -> None:
    class Child(act.Actor):
        pass

    class One(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            return act.SupervisorSpec(children=(act.ChildSpec(name="child", behavior=Child),))

    await node.spawn(One)
    before = node.process_info("child").pid
    node.kill(before)
    await eventually(lambda: node.tree().processes[0].children and node.process_info("child").pid != before)
    assert "restarts 1" in await shown(node)


async def test_processes_of_no_application_stand_under_a_title_of_their_own(node: homing.Node) -> None:
    await node.application_load(Service())
    await node.spawn(Top, name="alone")
    lines = (await shown(node)).splitlines()
    assert "served 1.2 (permanent application, loaded)" in lines
    assert lines[lines.index("processes of no application") + 1].startswith("└─ alone  ")


async def test_of_several_nodes_each_has_its_own_processes_of_no_application(node: homing.Node) -> None:
    await node.spawn(Top, name="alone")
    found = json.loads(json.dumps(await look(Observer(node), 10)))
    found["node"]["nodes"] = ["a@h", "b@h"]
    found["processes"] = [{**process, "node": name} for name in ("a@h", "b@h") for process in found["processes"]]
    found["more"] = 3
    lines = render(found, "utf-8").splitlines()
    for name in ("a@h", "b@h"):
        assert lines[lines.index(f"processes of no application on {name}") + 1].startswith("└─ alone  ")
    assert lines[-2:] == ["processes of no application", "└─ ... and 3 more"]


async def test_a_tcp_server_is_shown_as_one_with_its_connections(node: homing.Node) -> None:
    class Owner(act.Actor):
        async def init(self) -> None:
            await meta.listen_tcp(self, host="127.0.0.1", port=0, frame=meta.Delimiter(b"\n"))

    await node.spawn(Owner)
    assert re.search(r"TCP 127\.0\.0\.1:\d+ .*TCPServer .* open 0, in 0, out 0$", await shown(node), re.MULTILINE)


async def test_an_empty_node_is_one_line(node: homing.Node) -> None:
    assert (await shown(node)).splitlines()[1:] == []


async def test_a_chain_of_thousands_is_shown(node: homing.Node) -> None:
    parent = (await Probe.start(node)).pid
    for _ in range(1500):
        parent = await node.call(parent, lambda actor: actor.spawn(_Child))
    assert (await shown(node)).count("_Child") == 1500


class _Child(act.Actor):
    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return request(self)


async def test_a_character_that_the_output_has_not_is_replaced(node: homing.Node) -> None:
    await node.spawn(act.Actor, name="ключ")
    assert "- ???? " in await shown(node, encoding="latin-1")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (266400, "3 d 2 h"),
    ],
)
def test_durations_are_in_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# --- a node that does not answer --------------------------------------------------------------------------


async def test_a_node_whose_loop_is_blocked_is_given_up_after_a_while(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "ANSWER_TIMEOUT", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(runtime / "x.sock"))
        silent.listen()
        with pytest.raises(ControlError, match=r"did not answer within 0\.05 s; is its event loop blocked"):
            client.ask("x@host", runtime / "x.sock", {"what": "tree"})


async def test_a_node_that_ends_meanwhile_is_an_error_and_no_traceback(runtime: Path, node: homing.Node) -> None:
    control = await open_control(node)
    control.close()
    with pytest.raises(ControlError, match="failed: No such file"):
        client.ask(node.name, control.path, {"what": "tree"})
