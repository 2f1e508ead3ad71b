"""The columns of the tables: processes, sockets, TCP, events, applications, nodes, pools, routers and supervisors."""

from __future__ import annotations

import re
from collections.abc import Callable

from .table import Column, Row
from .values import NOTHING, causes, rate, seconds, share, size, text, whole

LATE = 1.0
"""Age of the oldest message, in seconds, from which it is coloured."""

STUCK = 10.0
"""Age from which it is coloured as a failure."""


def _number(key: str, shown: Callable[[float | None], str] = whole) -> Callable[[Row], str]:
    return lambda row: shown(row[key])


def _text(key: str) -> Callable[[Row], str]:
    return lambda row: text(row[key])


def address(shown: str, node: str) -> str:
    """Returns the number of a PID or alias of the row's own node, or the name of its event, which is as good as the
    whole; other texts as they are."""
    own = re.fullmatch(rf"(?:Alias|Event)?<{re.escape(node)}\.(.*)>", shown, re.DOTALL)
    return text(own[1] if own is not None else shown)


def _word(key: str) -> Callable[[Row], str]:
    return lambda row: text(row[key]).replace(" ", "_")


def _red_if(key: str) -> Callable[[Row], str]:
    return lambda row: "red" if row[key] else ""


def _oldest(row: Row) -> str:
    return (">" if row["oldest_at_least"] else "") + seconds(row["oldest"])


def _age_style(row: Row) -> str:
    age = row["oldest"] or 0.0
    return "bold red" if age >= STUCK else "yellow" if age >= LATE else ""


def _state_style(row: Row) -> str:
    return {"zombie": "bold red", "running": "green", "wait response": "cyan"}.get(row["state"], "")


def _running_style(row: Row) -> str:
    return "bold red" if (row["running"] or 0.0) >= 0.9 else ""


NODE = Column(title="node", cell=_text("node"))
"""The first column, where rows come from several nodes."""


def for_answer(columns: list[Column], answer: Row) -> list[Column]:
    """Returns the columns of a table: with that of the node, if several were asked (`homing run --processes`)."""
    return [NODE, *columns] if "missing" in answer else columns


def missing(answer: Row) -> list[str]:
    """Returns a line for each of several nodes that is missing in an answer."""
    return [f"{text(node)} is missing: {text(why)}" for node, why in answer.get("missing", {}).items()]


PROCESSES = [
    Column(title="pid", cell=lambda row: str(row["id"]), sort="id", number=True),
    Column(title="name", cell=_text("name"), sort="name"),
    Column(title="behavior", cell=_text("behavior"), sort="behavior"),
    Column(title="state", cell=_word("state"), sort="state", style=_state_style, rank=1),
    Column(title="waiting", cell=_number("waiting"), sort="waiting", number=True),
    Column(title="oldest", cell=_oldest, sort="oldest", number=True, style=_age_style),
    Column(title="in/s", cell=_number("in_rate", rate), sort="in_rate", number=True, rank=1),
    Column(title="out/s", cell=_number("out_rate", rate), sort="out_rate", number=True, rank=2),
    Column(title="run%", cell=_number("running", share), sort="running", number=True, style=_running_style, rank=1),
    Column(title="restarts", cell=_number("restarts"), sort="restarts", number=True, style=_red_if("restarts"), rank=3),
    Column(title="in", cell=_number("messages_in"), sort="messages_in", number=True, rank=7),
    Column(title="out", cell=_number("messages_out"), sort="messages_out", number=True, rank=7),
    Column(title="stalls", cell=_number("stalls"), sort="stalls", number=True, style=_red_if("stalls"), rank=6),
    Column(title="up", cell=_number("uptime", seconds), sort="uptime", number=True, rank=5),
    Column(title="parent", cell=lambda row: address(row["parent"], row["node"]), number=True, rank=6),
    Column(title="kind", cell=_text("kind"), rank=8),
    Column(title="application", cell=_text("application"), sort="application", rank=4),
]


def _receiver(row: Row) -> str:
    return text(row["receiver_name"]) if row["receiver_name"] else address(row["receiver"], row["node"])


def _address(row: Row) -> str:
    return text(row["address"]) + (f">{text(row['peer'])}" if row["peer"] else "")


def _reading(row: Row) -> str:
    return "yes" if row["reading"] else f"waits:{text(row['waiting_for'])}"


def _asked(key: str) -> Callable[[Row], str]:
    return lambda row: "default" if row[key] is None else size(row[key])


def _less_than_asked(row: Row) -> str:
    return "yellow" if row["receive_buffer"] < (row["receive_buffer_asked"] or 0) else ""


def _dtls(row: Row) -> str:
    found = row.get("dtls")
    if not found:
        return NOTHING
    failed = {f"failed:{text(cause)}": count for cause, count in found["handshakes_failed"].items()}
    shown = {"open": found["sessions"], "handshakes": found["handshakes"], **failed}
    return " ".join(f"{name}={count}" for name, count in shown.items())


SOCKETS = [
    Column(title="id", cell=lambda row: str(row["id"]), sort="id", number=True, rank=4),
    Column(title="address", cell=_address, sort="address"),
    Column(title="receiver", cell=_receiver, sort="receiver"),
    Column(title="in/s", cell=_number("packets_in_rate", rate), sort="packets_in_rate", number=True),
    Column(title="out/s", cell=_number("packets_out_rate", rate), sort="packets_out_rate", number=True),
    Column(title="drops-in/s", cell=_number("dropped_in_rate", rate), sort="dropped_in_rate", number=True, rank=2),
    Column(title="drops-out/s", cell=_number("dropped_out_rate", rate), sort="dropped_out_rate", number=True, rank=3),
    Column(title="queue", cell=_number("receive_waiting"), sort="receive_waiting", number=True, rank=1),
    Column(title="sendq", cell=_number("send_waiting"), sort="send_waiting", number=True, rank=3),
    Column(title="kernelq", cell=_number("kernel_waiting", size), sort="kernel_waiting", number=True, rank=3),
    Column(title="pauses", cell=_number("pauses"), sort="pauses", number=True, rank=3),
    Column(title="reading", cell=_reading, rank=5, style=lambda row: "" if row["reading"] else "yellow"),
    Column(title="rcvbuf", cell=_number("receive_buffer", size), number=True, rank=2, style=_less_than_asked),
    Column(title="asked", cell=_asked("receive_buffer_asked"), number=True, rank=5),
    Column(title="sndbuf", cell=_number("send_buffer", size), number=True, rank=7),
    Column(title="in", cell=_number("packets_in"), sort="packets_in", number=True, rank=6),
    Column(title="out", cell=_number("packets_out"), sort="packets_out", number=True, rank=6),
    Column(title="bytes-in", cell=_number("bytes_in", size), sort="bytes_in", number=True, rank=8),
    Column(title="bytes-out", cell=_number("bytes_out", size), sort="bytes_out", number=True, rank=8),
    Column(title="backend", cell=_text("backend"), rank=6),
    Column(
        title="owner",
        cell=lambda row: text(row["owner_name"] or address(row["owner"], row["node"])),
        sort="owner",
        rank=7,
    ),
    Column(title="dtls", cell=_dtls, rank=4),
    Column(title="drops", cell=lambda row: causes(row["drops"]), rank=1, style=_red_if("drops")),
]


def _counts(key: str) -> Callable[[Row], str]:
    return lambda row: " ".join(f"{text(name)}={count}" for name, count in row[key].items()) or NOTHING


TCP = [
    Column(title="id", cell=lambda row: str(row["id"]), number=True, rank=4),
    Column(title="address", cell=_address),
    Column(title="receiver", cell=_receiver, rank=1),
    Column(title="open", cell=_number("open"), number=True),
    Column(title="accepted", cell=_number("accepted"), number=True),
    Column(title="in", cell=_number("received"), number=True),
    Column(title="out", cell=_number("sent"), number=True),
    Column(title="bytes-in", cell=_number("received_bytes", size), number=True, rank=5),
    Column(title="bytes-out", cell=_number("sent_bytes", size), number=True, rank=5),
    Column(title="queue", cell=_number("waiting"), number=True, rank=1),
    Column(title="pauses", cell=_number("pauses"), number=True, rank=3),
    Column(title="waits", cell=_text("waiting_for"), rank=3),
    Column(title="refused", cell=_counts("refused"), rank=1, style=_red_if("refused")),
    Column(title="ended", cell=_counts("ended"), rank=2),
]

EVENTS = [
    Column(title="name", cell=_text("name")),
    Column(title="owner", cell=lambda row: address(row["owner"], row["node"]), number=True),
    Column(title="consumers", cell=_number("consumers"), number=True),
    Column(title="buffered", cell=_number("buffered"), number=True),
    Column(title="buffer", cell=_number("buffer"), number=True),
    Column(title="notify", cell=lambda row: "yes" if row["notify"] else "no"),
]


def _up(row: Row) -> str:
    if not row["up"]:
        return "down"
    return "draining" if row["draining"] else "this" if row["own"] else "up"


def _up_style(row: Row) -> str:
    return "bold red" if not row["up"] else "yellow" if row["draining"] else ""


def _undelivered(row: Row) -> str:
    return ",".join(f"{text(cause)}={count}" for cause, count in sorted(row["undelivered"].items())) or NOTHING


CLUSTER_NODES = [
    Column(title="name", cell=_text("name")),
    Column(title="state", cell=_up, style=_up_style),
    Column(title="address", cell=lambda row: text(",".join(row["addresses"])), rank=3),
    Column(title="up", cell=_number("uptime", seconds), number=True),
    Column(title="tags", cell=lambda row: text(",".join(row["tags"])), rank=4),
    Column(title="in-flight", cell=_number("in_flight", size), number=True, rank=2),
    Column(title="waiting", cell=_number("waiting", size), number=True, rank=1),
    Column(title="rtt", cell=_number("rtt", seconds), number=True, rank=1),
    Column(title="in", cell=_number("messages_in"), number=True, rank=2),
    Column(title="out", cell=_number("messages_out"), number=True, rank=2),
    Column(title="bytes-in", cell=_number("bytes_in", size), number=True, rank=5),
    Column(title="bytes-out", cell=_number("bytes_out", size), number=True, rank=5),
    Column(title="dropped", cell=_number("dropped"), number=True, rank=3, style=_red_if("dropped")),
    Column(title="resets", cell=_number("resets"), number=True, rank=3, style=_red_if("resets")),
    Column(title="undelivered", cell=_undelivered, rank=4, style=_red_if("undelivered")),
    Column(title="creation", cell=_text("creation"), number=True, rank=6),
]


def _members(row: Row) -> str:
    more = [f"+{row['more']}"] if row["more"] else []
    return ",".join([*(address(pid, row["node"]) for pid in row["members"]), *more]) or NOTHING


APPLICATIONS = [
    Column(title="name", cell=_text("name")),
    Column(title="version", cell=_text("version"), rank=2),
    Column(title="state", cell=_word("state"), style=_state_style),
    Column(title="mode", cell=_text("mode"), rank=1),
    Column(title="up", cell=_number("uptime", seconds), number=True),
    Column(title="members", cell=_members, rank=3),
    Column(title="depends", cell=lambda row: text(",".join(row["depends"])), rank=4),
    Column(title="reason", cell=_text("reason"), rank=5),
    Column(title="description", cell=_text("description"), rank=6),
]


def _fact(key: str) -> Callable[[Row], str]:
    """The cell of a fact of a pool, router or supervisor, which has none while it starts."""
    return lambda row: text((row["facts"] or {}).get(key))


def _counter(title: str, key: str, rank: int = 0, bad: bool = False) -> Column:
    style = (lambda row: "red" if (row["facts"] or {}).get(key) else "") if bad else (lambda row: "")
    return Column(title=title, cell=_fact(key), number=True, rank=rank, style=style)


def _group(*columns: Column) -> list[Column]:
    return [
        Column(title="pid", cell=lambda row: str(row["id"]), number=True),
        Column(title="name", cell=_text("name")),
        Column(title="behavior", cell=_text("behavior"), rank=1),
        Column(title="state", cell=_word("state"), rank=7, style=_state_style),
        *columns,
        Column(title="application", cell=_text("application"), rank=8),
    ]


def _size_of(row: Row, key: str) -> str:
    facts = row["facts"]
    return NOTHING if facts is None else str(len(facts[key]) + facts.get("more", 0))


POOLS = _group(
    _counter("size", "pool_size"),
    _counter("running", "running"),
    _counter("waiting", "messages_waiting"),
    _counter("at-workers", "messages_waiting_at_workers"),
    _counter("in-hand", "messages_in_hand", 2),
    _counter("handled", "messages_handled", 3),
    _counter("dropped", "messages_dropped", 0, bad=True),
    _counter("restarts", "worker_restarts", 2, bad=True),
    _counter("pauses", "pauses", 4),
    Column(title="route", cell=_fact("route"), rank=5),
    Column(title="worker", cell=_fact("worker_behavior"), rank=6),
)

ROUTERS = _group(
    Column(title="routes", cell=lambda row: _size_of(row, "routes"), number=True),
    _counter("waiting", "messages_waiting"),
    _counter("forwarded", "messages_forwarded"),
    _counter("failed", "messages_failed", 0, bad=True),
    _counter("discarded", "messages_discarded", 2),
    _counter("restarts", "restarts", 1, bad=True),
    _counter("pauses", "pauses", 3),
)

SUPERVISORS = _group(
    Column(title="type", cell=lambda row: _fact("type")(row).replace(" ", "_")),
    Column(title="children", cell=lambda row: _size_of(row, "children"), number=True),
    _counter("restarts", "restarts", 0, bad=True),
    _counter("intensity", "intensity", 2),
    _counter("period", "period", 2),
)
