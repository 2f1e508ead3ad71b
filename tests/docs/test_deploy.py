"""The files in `deploy`: promtool takes them, their alerts fire, and each metric that they name exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from homing.observe.drops import CAUSES
from homing.observe.http.exposition import Families

from .pages import ROOT

DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
DASHBOARD = json.loads((DEPLOY / "grafana" / "homing.json").read_text())

PARTS = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
METRICS = {family.name + part for family in Families(()).collect() for part in PARTS[family.type]}
"""The metrics that a service exports."""

LABELS = {
    *("socket", "direction", "cause", "name", "check", "le"),
    *("job", "instance"),  # Prometheus adds them
}


@pytest.mark.parametrize("name", ["grafana/homing.json", "prometheus/homing.rules.yml"])
def test_a_new_project_gets_the_same_dashboard_and_alerts(name: str) -> None:
    template = ROOT / "src" / "homing" / "cli" / "template" / "deploy" / f"{name}.in"
    assert template.read_bytes() == (DEPLOY / name).read_bytes()


def promtool(*arguments: str | Path) -> str:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian: apt install prometheus)")
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def expressions(thing: Any) -> Iterator[str]:
    """The queries in a dashboard or in rules."""
    if isinstance(thing, dict):
        yield from (value for key, value in thing.items() if key in ("expr", "definition") and isinstance(value, str))
        thing = list(thing.values())
    if isinstance(thing, list):
        for each in thing:
            yield from expressions(each)


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / "homing.rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def metrics(expression: str) -> set[str]:
    return set(re.findall(r"\bhoming_\w+", expression))


QUERIES = sorted({*expressions(DASHBOARD), *expressions(rules())})


# --- Prometheus -------------------------------------------------------------------------------------------


def test_promtool_takes_the_configuration(tmp_path: Path) -> None:
    folder = shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    (folder / "secrets").mkdir()
    (folder / "secrets" / "http-token").write_text("secret")
    printed = promtool("check", "config", folder / "prometheus.yml")
    assert "valid prometheus config" in printed
    assert f"{len(rules())} rules found" in printed


def test_the_alerts_fire_when_they_should() -> None:
    assert "SUCCESS" in promtool("test", "rules", PROMETHEUS / "homing.rules.test.yml")


def test_each_alert_is_tested_and_says_what_to_do() -> None:
    tests = yaml.safe_load((PROMETHEUS / "homing.rules.test.yml").read_text())["tests"]
    fires = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert {rule["alert"] for rule in rules()} == fires
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}


# --- names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_names_metrics_and_labels_that_a_service_has(query: str) -> None:
    assert metrics(query) <= METRICS
    named = re.findall(r"(\w+)(?:=~|!~|!=|=)\"", query) + [
        label.strip() for group in re.findall(r"\b(?:by|without) \(([^)]*)\)", query) for label in group.split(",")
    ]
    assert set(named) <= LABELS


@pytest.mark.parametrize("query", [query for query in QUERIES if "cause!" in query])
def test_an_alert_leaves_out_causes_that_exist(query: str) -> None:
    (direction,) = re.findall(r'direction="(\w+)"', query)
    ((_, causes),) = re.findall(r'cause!([=~]{1,2})"([^"]*)"', query)
    assert {(direction, cause) for cause in causes.split("|")} <= set(CAUSES.values())


def test_the_queries_name_what_operators_ask_for_first() -> None:
    named = {name for query in QUERIES for name in metrics(query)}
    assert len(QUERIES) > 25
    assert len(named) > 15
    assert named > {"homing_socket_dropped_packets_total", "homing_health_check", "homing_node_loop_lag_seconds"}


# --- Grafana ----------------------------------------------------------------------------------------------


def test_promtool_takes_each_query_of_the_dashboard(tmp_path: Path) -> None:
    queries = [panel["expr"] for panel in targets()]
    plain = [re.sub(r"\$__rate_interval", "5m", query) for query in queries]
    group = {"name": "panels", "rules": [{"record": f"panel{n}", "expr": each} for n, each in enumerate(plain)]}
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [group]}))
    assert f"{len(queries)} rules found" in promtool("check", "rules", path)


def targets() -> list[dict[str, Any]]:
    return [target for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]


def test_all_panels_ask_the_data_source_that_the_reader_chooses() -> None:
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["query"] == "prometheus"
    sources = [each["datasource"] for each in (*targets(), *variables.values()) if "datasource" in each]
    assert len(sources) > 25
    assert {tuple(source.items()) for source in sources} == {(("type", "prometheus"), ("uid", "${datasource}"))}


def test_a_query_uses_variables_that_the_dashboard_has() -> None:
    variables = {each["name"] for each in DASHBOARD["templating"]["list"]} | {"__rate_interval"}
    for target in targets():
        assert set(re.findall(r"\$\{?(\w+)", target["expr"])) <= variables


def test_no_two_panels_lie_over_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
