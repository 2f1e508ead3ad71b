"""Strangers: other passwords, other authorities, no certificates, no TLS, and nodes that speak for others."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from homing import gen
from homing.cluster.certificates import make_authority, make_node_certificate
from homing.cluster.discovery import LOOKUP_INTERVAL
from homing.cluster.engine import MAIN, Peer
from homing.cluster.zenoh_engine import engine as engine_module
from homing.cluster.zenoh_engine import joining

from ...support import eventually
from .nodes import Nodes


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority with certificates for a@h, b@h and m@h."""
    directory = tmp_path_factory.mktemp("authority")
    make_authority(directory)
    for name in ("a@h", "b@h", "m@h"):
        make_node_certificate(directory, name)
    return directory


@pytest.fixture(scope="session")
def other_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another authority, with a certificate for b@h."""
    directory = tmp_path_factory.mktemp("other")
    make_authority(directory)
    for name in ("a@h", "b@h"):
        make_node_certificate(directory, name)
    return directory


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks often, and gives its advice soon."""
    assert LOOKUP_INTERVAL == 10.0
    monkeypatch.setattr(engine_module, "LOOKUP_INTERVAL", 0.1)
    monkeypatch.setattr(joining, "ALONE", 0.2)
    monkeypatch.setattr(joining, "_FIRST_NEIGHBOUR", 0.3)


def secret(path: Path, text: str) -> str:
    path.write_text(text + "\n")
    path.chmod(0o600)
    return str(path)


def cert(authority: Path, name: str) -> str:
    return str(authority / "nodes" / name)


async def test_case_40_a_wrong_password_is_refused_and_the_likely_cause_is_logged(
    nodes: Nodes, tmp_path: Path, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    first, one = await nodes.open("a@localhost", secret_file=secret(tmp_path / "1", "the one and only secret"))
    await nodes.open("b@localhost", join=first.addresses, secret_file=secret(tmp_path / "2", "quite another secret"))
    await eventually(lambda: "its password is another one" in caplog.text, "the advice")
    assert f"{first.addresses[0]} accepts connections, but refuses this node" in caplog.text
    assert str(tmp_path / "2") in caplog.text
    assert caplog.text.count("its password is another one") == 1
    assert one.notices == []


async def test_seeds_that_do_not_answer_are_logged_once(
    nodes: Nodes, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    await nodes.open("a@localhost", join=("tcp/127.0.0.1:1",))
    await eventually(lambda: "no node answers at tcp/127.0.0.1:1" in caplog.text, "the advice")
    await asyncio.sleep(0.3)
    assert caplog.text.count("no node answers") == 1


async def test_nodes_with_certificates_of_one_authority_see_each_other(nodes: Nodes, authority: Path) -> None:
    first, one = await nodes.open("a@h", cert=cert(authority, "a@h"))
    second, two = await nodes.open("b@h", cert=cert(authority, "b@h"), join=first.addresses)
    await one.sees("b@h")
    await two.sees("a@h")
    assert first.addresses[0].startswith("tls/127.0.0.1:")
    second.put(Peer(*two.notices[0][1:]), MAIN, b"b>a")
    first.put(Peer(*one.notices[0][1:]), MAIN, b"a>b")
    await eventually(lambda: one.batches == [("b@h", MAIN, b"b>a")], "the batch")
    await eventually(lambda: two.batches == [("a@h", MAIN, b"a>b")], "the batch")


async def test_case_40_a_certificate_of_another_authority_is_refused_on_both_sides(
    nodes: Nodes, authority: Path, other_authority: Path, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    first, one = await nodes.open("a@h", cert=cert(authority, "a@h"))
    _, two = await nodes.open("b@h", cert=cert(other_authority, "b@h"), join=first.addresses)
    await eventually(lambda: "its certificate is not of the authority in" in caplog.text, "the advice")
    assert (one.notices, two.notices) == ([], [])


async def test_case_40_without_a_certificate_or_without_tls_nobody_joins(
    nodes: Nodes, authority: Path, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    first, one = await nodes.open("a@h", cert=cert(authority, "a@h"))
    address = first.addresses[0]
    plain, two = await nodes.open("b@localhost", join=(address.replace("tls/", "tcp/"),))
    await eventually(lambda: "or uses TLS" in caplog.text, "the advice")
    session = await bare_session(
        connect=[address], **{"transport/link/tls/root_ca_certificate": str(authority / "ca.pem")}
    )
    try:
        await asyncio.sleep(0.5)
        assert session.info.peers_zid() == []
    finally:
        await asyncio.to_thread(session.close)
    assert (one.notices, two.notices, plain.addresses[0][:4]) == ([], [], "tcp/")


async def bare_session(connect: list[str], **settings: Any) -> Any:
    """A session that does as it likes."""
    import zenoh

    found = {
        "mode": "peer",
        "listen/endpoints": [],
        "connect/endpoints": connect,
        "scouting/multicast/enabled": False,
        "transport/shared_memory/enabled": False,
        "open/return_conditions": {"connect_scouted": False, "declares": False},
        **settings,
    }
    configuration = zenoh.Config()
    for key, value in found.items():
        configuration.insert_json5(key, json.dumps(value))
    return await asyncio.to_thread(zenoh.open, configuration)


async def test_case_40_a_node_can_neither_speak_for_another_nor_read_what_is_sent_to_it(
    nodes: Nodes, authority: Path
) -> None:
    import zenoh

    first, one = await nodes.open("a@h", creation=1, cert=cert(authority, "a@h"))
    second, two = await nodes.open("b@h", creation=2, cert=cert(authority, "b@h"), join=first.addresses)
    await one.sees("b@h")
    own = authority / "nodes" / "m@h"
    tls = "transport/link/tls"
    mallory = await bare_session(
        connect=[*first.addresses, *second.addresses],
        **{
            f"{tls}/root_ca_certificate": str(own / "ca.pem"),
            f"{tls}/connect_certificate": str(own / "node.pem"),
            f"{tls}/connect_private_key": str(own / "node.key"),
            f"{tls}/enable_mtls": True,
            f"{tls}/verify_name_on_connect": False,
        },
    )
    try:
        await eventually(lambda: len(mallory.info.peers_zid()) == 2, "the connections of the intruder")
        read = mallory.declare_subscriber("**", zenoh.handlers.FifoChannel(100))
        root = "homing/1/test"
        own_batches = mallory.declare_subscriber(f"{root}/to/m%40h/3/from/*/*", zenoh.handlers.FifoChannel(100))
        tokens = [
            mallory.liveliness().declare_token(f"{root}/node/b%40h/9/ab"),  # a later start of b
            mallory.liveliness().declare_token(f"{root}/node/m%40h/3/cd"),  # its own name
        ]
        await one.sees("b@h", "m@h")
        mallory.put(f"{root}/to/a%40h/1/from/b%40h/2", b"forged")
        mallory.put(f"{root}/to/a%40h/1/from/m%40h/3", b"its own")
        second.put(Peer("a@h", 1), MAIN, b"a secret")
        await eventually(lambda: ("b@h", MAIN, b"a secret") in one.batches, "the batch")
        await eventually(lambda: ("m@h", MAIN, b"its own") in one.batches, "the batch of its own")
        assert len(one.batches) == 2
        received = [sample.payload.to_bytes() for sample in iter(read.try_recv, None)]
        assert b"a secret" not in received
        assert list(iter(own_batches.try_recv, None)) == []
        assert len(tokens) == 2
        assert ("up", "b@h", 9) not in one.notices + two.notices
    finally:
        await asyncio.to_thread(mallory.close)


async def test_a_node_that_is_not_in_the_list_of_names_is_not_seen(
    nodes: Nodes, authority: Path, tmp_path: Path, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "a"
    shutil.copytree(cert(authority, "a@h"), directory)
    (directory / "names").write_text("a@h\nm@h\n")
    first, one = await nodes.open("a@h", cert=str(directory))
    _, two = await nodes.open("b@h", cert=cert(authority, "b@h"), join=first.addresses)
    await eventually(lambda: "does not list the other node" in caplog.text, "the advice")
    assert (one.notices, two.notices) == ([], [])


async def test_with_trust_in_all_one_certificate_serves_nodes_of_any_name(nodes: Nodes, authority: Path) -> None:
    options = {"cert": cert(authority, "m@h"), "trust": "all"}
    first, one = await nodes.open("x@h", **options)
    await nodes.open("y@h", join=first.addresses, **options)
    await one.sees("y@h")


async def test_nodes_with_certificates_also_meet_at_a_unix_socket(
    nodes: Nodes, authority: Path, tmp_path: Path
) -> None:
    (tmp_path / "s").mkdir(mode=0o700)
    first, one = await nodes.open("a@h", cert=cert(authority, "a@h"), listen=(f"unixsock-stream/{tmp_path}/s/a",))
    second, two = await nodes.open("b@h", cert=cert(authority, "b@h"), join=first.addresses)
    await one.sees("b@h")
    await two.sees("a@h")
    second.put(Peer(*two.notices[0][1:]), MAIN, b"b>a")
    await eventually(lambda: one.batches == [("b@h", MAIN, b"b>a")], "the batch")


async def test_a_password_over_a_public_address_needs_the_option(nodes: Nodes) -> None:
    with pytest.raises(gen.BadOption, match="other machines reach this address"):
        await nodes.open("a@h", listen=("tcp/0.0.0.0:0",))
    first, one = await nodes.open("a@h", listen=("tcp/0.0.0.0:0",), insecure=True)
    port = first.addresses[0].rpartition(":")[2]
    await nodes.open("b@h", join=(f"tcp/127.0.0.1:{port}",))
    await one.sees("b@h")


async def test_a_certificate_that_is_over_soon_is_logged(
    nodes: Nodes, authority: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = tmp_path / "authority"
    shutil.copytree(authority, copy)
    await nodes.open("c@h", cert=str(make_node_certificate(copy, "c@h", days=3)))
    assert "is over in 3 days" in caplog.text
