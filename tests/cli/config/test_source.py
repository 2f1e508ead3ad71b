"""The file and the environment of `homing run --config`: what is right, and how each fault is named."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from homing import gen, meta
from homing.cli.config.source import Loaded, load, normal


def loaded(tmp_path: Path, text: str, **environment: str) -> Loaded:
    file = tmp_path / "app.toml"
    file.write_text(text)
    return load(str(file), environment)


def problems(tmp_path: Path, text: str, **environment: str) -> list[str]:
    with pytest.raises(gen.BadConfiguration) as failure:
        loaded(tmp_path, text, **environment)
    return [problem.replace(f"{tmp_path}/", "") for problem in failure.value.problems]


class Database(msgspec.Struct):
    url: str
    pool: int = 5


@dataclasses.dataclass
class Limits:
    most: int = 3
    names: tuple[str, ...] = ()


class App(msgspec.Struct):
    greeting: str = "hello"
    mode: Literal["fast", "safe"] = "fast"
    level: Literal[1, 2] = 1
    ratio: float = 0.5
    debug: bool = False
    limits: Limits = msgspec.field(default_factory=Limits)
    database: Database | None = None
    databases: list[Database] = []
    tags: dict[str, int] = {}


# --- what is right ----------------------------------------------------------------------------------------


def test_options_of_the_command_the_node_and_the_environment_of_processes_are_read(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        'target = "a:b"\nlog_level = "DEBUG"\nspin = 1\n[env]\nWORD = "x"\n[node]\nturn_messages = 7\n',
    )
    assert found.run == {"target": "a:b", "log_level": "debug", "spin": 1.0}
    assert found.env == {"WORD": "x"}
    assert found.node == {"turn_messages": 7}


def test_options_of_a_server_become_what_the_server_takes(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        '[servers."dns.answer"]\nport = 53\nallow = ["192.0.2.0/24"]\nrate_limit = { rate = 5 }\nprocess = "other"\n'
        'groups = [{ address = "224.0.0.251" }]\n',
    )
    options = dataclasses.replace(meta.UDPServerOptions(), **found.configuration.server("dns.answer"))
    assert options == meta.UDPServerOptions(
        port=53,
        allow=("192.0.2.0/24",),
        rate_limit=meta.RateLimit(rate=5.0),
        process="other",
        groups=(meta.MulticastGroup(address="224.0.0.251"),),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3", 3.0), ('{ factor = 2, exempt = ["10.0.0.0/8"] }', meta.Amplification(factor=2, exempt=("10.0.0.0/8",)))],
)
def test_an_option_that_is_a_number_or_a_table_may_be_given_as_either(tmp_path: Path, text: str, expected: Any) -> None:
    by_file = loaded(tmp_path, f"[servers.dns]\namplification = {text}\n")
    by_environment = loaded(tmp_path, "[servers.dns]\nport = 53\n", HOMING_SERVERS__DNS__AMPLIFICATION=text)
    assert by_file.configuration.server("dns") == {"amplification": expected}
    assert by_environment.configuration.server("dns") == {"port": 53, "amplification": expected}


def test_the_programs_own_values_become_a_struct_with_dataclasses_in_it(tmp_path: Path) -> None:
    text = '[app]\nratio = 1\ntags = { a = 1 }\n[app.limits]\nnames = ["x"]\n[app.database]\nurl = "u"\n'
    configuration = loaded(tmp_path, text).configuration
    expected = App(ratio=1.0, tags={"a": 1}, limits=Limits(names=("x",)), database=Database("u"))
    assert configuration.section(App, "") == expected
    assert configuration.section(Database, "database") == Database("u")
    assert configuration.section(Limits, "missing") == Limits()


def test_the_environment_has_precedence_over_the_file_and_reaches_every_depth(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        '[servers."dns.answer"]\nport = 53\n[app]\ngreeting = "hi"\n',
        HOMING_SPIN="0.5",
        HOMING_UVLOOP="1",
        HOMING_ENV__Word="x",
        HOMING_SERVERS__DNS_ANSWER__PORT="54",
        HOMING_SERVERS__DNS_ANSWER__RATE_LIMIT="{ rate = 3 }",
        HOMING_APP__GREETING="5",
        HOMING_APP__LEVEL="2",
        HOMING_APP__DEBUG="True",
        HOMING_APP__LIMITS__MOST="9",
        HOMING_APP__LIMITS__NAMES='["a"]',
    )
    assert found.run == {"spin": 0.5, "uvloop": True}
    assert found.env == {"Word": "x"}
    assert found.configuration.server("dns.answer") == {"port": 54, "rate_limit": meta.RateLimit(rate=3.0)}
    expected = App(greeting="5", level=2, debug=True, limits=Limits(9, ("a",)))
    assert found.configuration.section(App, "") == expected


def test_a_variable_may_have_a_whole_table(tmp_path: Path) -> None:
    found = loaded(tmp_path, "", HOMING_NODE="{ turn_messages = 3 }", HOMING_SERVERS__ECHO="{ port = 7, ttl = 9 }")
    assert found.node == {"turn_messages": 3}
    assert found.configuration.server("echo") == {"port": 7, "ttl": 9}


@pytest.mark.parametrize(
    ("variable", "key"), [("HOMING_NODE__X__Y", "node.x"), ("HOMING_LOG_LEVEL__X", "log_level"), ("HOMING_APP", "app")]
)
def test_a_variable_with_a_fault_is_named_also_if_it_goes_too_deep(tmp_path: Path, variable: str, key: str) -> None:
    (problem,) = problems(tmp_path, "[node]\n[servers.echo]\n", **{variable: "3"})
    assert problem.startswith(f"environment variable {variable}: {key}: ")


def test_without_a_file_the_environment_alone_is_read() -> None:
    found = load("", {"HOMING_SERVERS__ECHO__PORT": "7", "PATH": "x"})
    assert found.configuration.server("echo") == {"port": 7}


@pytest.mark.parametrize("name", ["HOMING_DATAGRAM", "HOMING_CONFIG", "HOMING_SERVICE_HOST", "HOMING_PORT"])
def test_variables_of_others_are_left_alone(name: str) -> None:
    assert load("", {name: "x"}).warnings == ()


def test_a_variable_that_looks_misspelled_is_named() -> None:
    (warning,) = load("", {"HOMING_LOG_LEVLE": "debug"}).warnings
    assert warning == "environment variable HOMING_LOG_LEVLE is not used; did you mean HOMING_LOG_LEVEL?"


def test_names_of_servers_are_compared_as_variables_can_write_them() -> None:
    assert normal("dns.Answer") == normal("DNS_ANSWER") == "dns_answer"


# --- what is wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("log-level = 1", "app.toml, line 1: log-level: there is no such key; did you mean log_level?"),
        ('\nlog_level = "loud"', "app.toml, line 2: log_level: 'loud': Invalid enum value 'loud'; give debug, info,"),
        ("spin = -1", "app.toml, line 1: spin: -1: Expected float >= 0.0"),
        ("spin = inf", "app.toml, line 1: spin: inf: give 3155760000 seconds (100 years) at most"),
        ("stop_timeout = inf", "app.toml, line 1: stop_timeout: inf: give"),
        ("\nname = 'shop'", "app.toml, line 2: name: 'shop': give name@host"),
        ("http = 'x:y'", "app.toml, line 1: http: 'x:y': give HOST:PORT"),
        ("processes = 0", "app.toml, line 1: processes: 0: Expected int >= 1"),
        ('uvloop = "yes"', "app.toml, line 1: uvloop: 'yes': Expected bool, got str"),
        ("node = 3", "app.toml, line 1: node: 3: give a table, [node]"),
        (
            "[node]\nturn_mesages = 1",
            "app.toml, line 2: node.turn_mesages: there is no such key; did you mean turn_mes",
        ),
        ("[node]\nturn_messages = 0", "app.toml, line 2: node.turn_messages: 0: give 1 or more"),
        ("[env]\nA = 1", "app.toml, line 2: env.A: 1: Expected str, got int"),
        ("servers = []", "app.toml, line 1: servers: an array: give a table, [servers]"),
        ("[servers]\necho = 1", "app.toml, line 2: servers.echo: 1: give a table, [servers.echo]"),
        ('[servers."a.b"]\nprot = 1', 'app.toml, line 2: servers."a.b".prot: there is no such key; did you mean port?'),
        ("[servers.a]\nport = 70000", "app.toml, line 2: servers.a.port: 70000: give 0 to 65535"),
        ("[servers.a]\nport = true", "app.toml, line 2: servers.a.port: True: Expected int, got bool"),
        ('[servers.a]\nallow = ["x"]', "app.toml, line 2: servers.a.allow: 'x': 'x' does not appear to be"),
        ("[servers.a]\nrate_limit = { burst = 1 }", "app.toml, line 2: servers.a.rate_limit: rate is missing"),
        ("[servers.a]\nrate_limit = { rate = -1 }", "app.toml, line 2: servers.a.rate_limit.rate: -1.0: give a number"),
        ("[servers.a]\namplification = 'x'", "app.toml, line 2: servers.a.amplification: 'x': Expected float"),
        ("[servers.a]\namplification = { factor = 0 }", "app.toml, line 2: servers.a.amplification.factor: 0.0: give"),
        ("[servers.a]\nworker = 1", "app.toml, line 2: servers.a.worker: there is no such key"),
        (
            '[servers.a]\nroute = "x"',
            "app.toml, line 2: servers.a.route: 'x': Invalid enum value 'x'; give round_robin",
        ),
        (
            "[servers.a]\nrate_limit = { rate = 'x' }",
            "app.toml, line 2: servers.a.rate_limit.rate: 'x': Expected float",
        ),
        ("\ufeffuvloop = 3", "app.toml, line 1: uvloop: 3: Expected bool"),
        ('[env]\n"A=B" = "x"', 'app.toml, line 2: env."A=B": a name of a variable is not empty, and has no ='),
        ('[env]\n"" = "x"', 'app.toml, line 2: env."": a name of a variable'),
        ("[servers.a]\n[servers.A]", "app.toml, line 2: servers.A: another table is for a server of this name"),
        ("a = [\n1,", "app.toml, line 2: it is not TOML"),
        ("a = 1\na = 2", "app.toml, line 2: it is not TOML: Cannot overwrite a value"),
    ],
)
def test_a_fault_is_named_with_its_line_and_what_to_write(tmp_path: Path, text: str, problem: str) -> None:
    (found,) = problems(tmp_path, text)
    assert found.startswith(problem)


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, "spin = -1\nx = 1\n[node]\ny = 1\n[servers.a]\nport = -1\nttl = 0\n", HOMING_UVLOOP="no")
    assert [one.split(":")[0] for one in found] == [
        "app.toml, line 1",
        "app.toml, line 2",
        "environment variable HOMING_UVLOOP",
        "app.toml, line 4",
        "app.toml, line 7",
        "app.toml, line 6",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("greting = 1", "app.toml, line 2: app.greting: there is no such key; did you mean greeting?"),
        ("greeting = 1", "app.toml, line 2: app.greeting: 1: Expected str, got int"),
        ('mode = "slow"', "app.toml, line 2: app.mode: 'slow': Invalid enum value 'slow'; give fast, safe"),
        ("database = {}", "app.toml, line 2: app.database: url is missing"),
        ("[app.limits]\nmost = 1.5", "app.toml, line 3: app.limits.most: 1.5: Expected int, got float"),
        ("tags = { a = 'x' }", "app.toml, line 2: app.tags.a: 'x': Expected int, got str"),
        (
            "databases = [\n{ url = 'x' },\n{ ulr = 'x', url = 'y' }]",
            "app.toml, line 4: app.databases[1].ulr: there is no",
        ),
        (
            "[[app.databases]]\nurl = 'x'\n[[app.databases]]\n\nurl = 3",
            "app.toml, line 6: app.databases[1].url: 3: Exp",
        ),
    ],
)
def test_a_fault_in_the_programs_own_values_is_named_when_it_asks_for_them(
    tmp_path: Path, text: str, problem: str
) -> None:
    configuration = loaded(tmp_path, f"[app]\n{text}\n").configuration
    with pytest.raises(gen.BadConfiguration) as failure:
        configuration.section(App, "")
    (found,) = failure.value.problems
    assert found.replace(f"{tmp_path}/", "").startswith(problem)


def test_a_check_of_the_programs_own_class_is_reported_with_the_table(tmp_path: Path) -> None:
    class Checked(msgspec.Struct):
        low: int = 0

        def __post_init__(self) -> None:
            if self.low > 5:
                raise ValueError("low is above 5")

    configuration = loaded(tmp_path, "[app]\nlow = 6\n").configuration
    with pytest.raises(gen.BadConfiguration, match=r"app\.toml, line 1: app: low is above 5"):
        configuration.section(Checked, "")


def test_a_type_that_a_file_cannot_give_is_named(tmp_path: Path) -> None:
    class Odd(msgspec.Struct):
        value: Limits | dict[str, int] | None = None  # a table could be either

    configuration = loaded(tmp_path, "[app]\nvalue = {}\n").configuration
    with pytest.raises(gen.BadConfiguration, match=r"app\.value: a file cannot give this"):
        configuration.section(Odd, "")


@pytest.mark.parametrize("key", ["token", "db_password", "client_secret"])
def test_the_value_of_a_secret_is_not_printed(tmp_path: Path, key: str) -> None:
    secret = msgspec.defstruct("Secret", [(key, Literal["a"], "a")])
    configuration = loaded(tmp_path, f'[app]\n{key} = "hunter2"\n').configuration
    with pytest.raises(gen.BadConfiguration) as failure:
        configuration.section(secret, "")
    assert "hunter2" not in str(failure.value)
    assert f"app.{key}: (not shown)" in str(failure.value)


@pytest.mark.parametrize("value", ['"postgres://me:hunter2@db"', '{ user = "hunter2" }', '["hunter2"]'])
def test_a_value_that_may_contain_a_secret_is_not_printed(tmp_path: Path, value: str) -> None:
    found = problems(tmp_path, f"[servers.a]\nport = {value}\n")
    assert "hunter2" not in str(found)


def test_a_secret_in_the_place_of_a_table_is_not_printed(tmp_path: Path) -> None:
    configuration = loaded(tmp_path, '[app]\npassword = "hunter2"\n').configuration
    with pytest.raises(gen.BadConfiguration, match=r"app\.password: \(not shown\): give a table, \[app\.password\]"):
        configuration.section(Limits, "password")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda file: None, "it cannot be read: No such file"),
        (lambda file: file.mkdir(), "it cannot be read: Is a directory"),
        (lambda file: file.write_bytes(b"a = 1\n\xff"), "line 2: it is not UTF-8"),
        (lambda file: file.write_bytes(b"#" * (1 << 20) + b"#"), "it has more than 1,048,576 bytes"),
        (lambda file: file.write_bytes(b"a = " + b"[" * 100_000), "it is not TOML"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, make: Any, why: str) -> None:
    file = tmp_path / "app.toml"
    make(file)
    with pytest.raises(gen.BadConfiguration) as failure:
        load(str(file), {})
    assert str(file) in str(failure.value)
    assert why in str(failure.value)


def test_a_server_that_the_program_has_not_made_is_named(tmp_path: Path) -> None:
    configuration = loaded(tmp_path, "[servers.ehco]\nport = 1\n[servers.other]\n").configuration
    configuration.server("echo")
    configuration.server("other")
    (line,) = configuration.unused()
    assert line.endswith("line 1: servers.ehco: the program has made no such UDP server; did you mean echo?")
