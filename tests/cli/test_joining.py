"""The options of `homing run` about a cluster: what they make, and how each fault is named."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from homing import gen
from homing.cli import joining
from homing.cli.config.settings import Settings, read_settings
from homing.cli.joining import ExtraMissing, cluster_options, default_name, described, is_local, of_worker, worker_name
from homing.cli.run_options import RunOptions

PUBLIC = {"cluster": "prod", "listen": ["tls/0.0.0.0:7447"]}
OPEN = {"cluster": "prod", "listen": ["tcp/0.0.0.0:7447"]}


def settings(**options: Any) -> Settings:
    """Those of a command line with these options."""
    return read_settings(RunOptions(**options), frozenset(options))


def test_without_a_name_no_cluster_is_joined() -> None:
    assert cluster_options(settings(), "a@localhost") is None


def test_the_command_line_has_precedence_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "app.toml"
    file.write_text('[cluster]\nname = "file"\nweight = 3\njoin = ["tcp/127.0.0.1:1"]')
    given = settings(config=str(file), cluster="prod", tag=["edge"], cluster_inspect=True)
    assert cluster_options(given, "a@localhost") == gen.ClusterOptions(
        name="prod", weight=3, join=("tcp/127.0.0.1:1",), tags=("edge",), inspect=True
    )


@pytest.mark.parametrize(
    ("options", "name", "text"),
    [
        ({"listen": ["tcp/127.0.0.1:1"], "tag": ["x"]}, "a@h", "--cluster='': --listen, --tag needs it"),
        ({"cluster": "a b"}, "a@h", "--cluster='a b': give letters, digits"),
        (PUBLIC, "a@h", "--listen='tls/0.0.0.0:7447': tls/ needs the directory of a certificate (cert="),
        (
            {"cluster": "prod", "listen": ["tcp/0.0.0.0:7447"]},
            "a@h",
            "--listen='tcp/0.0.0.0:7447': other machines reach this address: give the directory of a certificate",
        ),
        ({"cluster": "prod", "listen": ["tcp/127.0.0.1"]}, "a@h", "--listen='tcp/127.0.0.1': the port is missing"),
        ({"cluster": "prod", "listen": ["tcp/::1:7447"]}, "a@h", "--listen='tcp/::1:7447': write an IPv6 address as"),
        ({"cluster": "prod", "listen": ["127.0.0.1:1"]}, "a@h", "--listen='127.0.0.1:1': give tcp/HOST:PORT"),
        ({"cluster": "prod", "join": ["seed:7447"]}, "a@h", "--join='seed:7447': give tcp/HOST:PORT"),
        (
            {"cluster": "prod", "join": ["tcp/seed:7447"]},
            "a@h",
            "--join='tcp/seed:7447': other machines are reached there: give the directory of a certificate",
        ),
        (
            {"cluster": "prod", "join": ["tls/127.0.0.1:1"]},
            "a@h",
            "--join='tls/127.0.0.1:1': tls/ needs the directory of a certificate (cert=, --cluster-cert)",
        ),
        (
            {**OPEN, "cluster_insecure": True},
            "a@localhost",
            "--name='a@localhost': @localhost is another node on each machine",
        ),
    ],
)
def test_a_fault_names_the_option_and_says_what_to_do(options: dict[str, Any], name: str, text: str) -> None:
    with pytest.raises(gen.BadOption) as failure:
        cluster_options(settings(**options), name)
    assert text in str(failure.value)


def test_a_fault_in_a_file_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "app.toml"
    file.write_text('[cluster]\nname = "prod"\nlisten = ["tcp/0.0.0.0:7447"]')
    given = settings(config=str(file))
    with pytest.raises(gen.BadOption) as failure:
        cluster_options(given, "a@h")
    assert given.located(failure.value).startswith(f"{file}, line 3: cluster.listen='tcp/0.0.0.0:7447': other machines")


def test_nodes_can_be_given_a_directory_with_one_for_each(tmp_path: Path) -> None:
    certificates = pytest.importorskip("homing.cluster.certificates")
    pytest.importorskip("cryptography")
    certificates.make_authority(tmp_path)
    for name in ("a@h", "b@h"):
        certificates.make_node_certificate(tmp_path, name)
    for directory in (tmp_path / "nodes", tmp_path):  # also that of the authority
        given = {"cluster": "prod", "listen": ["tls/0.0.0.0:7447"], "cluster_cert": str(directory)}
        options = cluster_options(settings(**given), "b@h")
        assert options is not None
        assert options.cert == str(tmp_path / "nodes" / "b@h")


def test_missing_packages_are_named_with_the_command_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "NEEDED", ("homing", "no_such_module"))
    with pytest.raises(ExtraMissing, match=r"pip install 'homing\[cluster\]'"):
        cluster_options(settings(cluster="prod"), "a@localhost")


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("tcp/127.0.0.1:7447", True),
        ("tls/[::1]:7447", True),
        ("tcp/localhost:0", True),
        ("unixsock-stream//run/x.sock", True),
        ("dns:localhost:7447", True),
        ("tcp/0.0.0.0:7447", False),
        ("tcp/[::]:7447", False),
        ("tls/seed:7447", False),
        ("dns:homing-headless.ns", False),
        ("tcp/", False),
        ("", False),
    ],
)
def test_an_address_is_of_this_machine_or_of_others(address: str, local: bool) -> None:
    assert is_local(address) is local


@pytest.mark.parametrize(
    ("options", "host"),
    [
        ({}, "localhost"),
        ({"cluster": "prod", "listen": ["tcp/127.0.0.1:1"]}, "localhost"),
        (PUBLIC, socket.gethostname()),
        ({"cluster": "prod", "join": ["tls/seed:7447"]}, socket.gethostname()),
    ],
)
def test_the_name_has_that_of_the_machine_if_others_can_be_in_the_cluster(options: dict[str, Any], host: str) -> None:
    assert default_name(settings(**options), "shop") == f"shop@{host}"


def test_the_description_says_where_it_listens_and_that_it_is_open() -> None:
    options = gen.ClusterOptions(name="prod", join=("tcp/seed:1",), insecure=True)
    assert ", ".join(described(options, ("tcp/10.0.0.1:7447",))) == (
        "prod, listens at tcp/10.0.0.1:7447, joins tcp/seed:1, without certificates: all machines that reach it are"
        " trusted (--cluster-insecure)"
    )


# --- workers ------------------------------------------------------------------------------------------------


def test_a_worker_joins_those_with_smaller_numbers_by_sockets_of_this_user(runtime: Path) -> None:
    found = of_worker({}, worker_name("shop@h", 3), 3)
    places = [f"unixsock-stream/{runtime}/homing/shop-{number}@h.link" for number in (1, 2, 3)]
    assert found == {"name": "shop", "listen": (places[2],), "join": (places[0], places[1])}
    assert (runtime / "homing").stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("runtime")
def test_workers_of_an_outer_cluster_listen_at_ports_one_behind_the_other() -> None:
    given = {"name": "prod", "listen": ("tcp/[::]:7447", "tcp/127.0.0.1:0"), "join": ("tcp/seed:1",)}
    found = of_worker(given, "shop-2@h", 2)
    assert (found["name"], found["listen"][1:], found["join"][1:]) == (
        *("prod", ("tcp/[::]:7448", "tcp/127.0.0.1:0")),
        ("tcp/seed:1",),
    )


@pytest.mark.usefixtures("runtime")
def test_a_name_that_is_no_name_of_a_cluster_is_made_one() -> None:
    assert of_worker({}, "my shop!-1@h", 1)["name"] == "my_shop_"


@pytest.mark.usefixtures("runtime")
def test_a_worker_has_a_cluster_without_the_option() -> None:
    options = cluster_options(settings(worker=1), "shop-1@localhost")
    assert options is not None
    assert options.name == "shop"
