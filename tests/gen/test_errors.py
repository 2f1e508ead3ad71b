"""Errors and exit reasons: one root, neighbours told apart, facts carried along."""

from __future__ import annotations

import inspect

import pytest

from homing import datagram, gen

PID = gen.PID("n@h", 1001, 1)


def test_every_error_derives_from_the_one_root() -> None:
    modules = (gen.errors, datagram.errors)
    kinds = [kind for module in modules for _, kind in inspect.getmembers(module, inspect.isclass)]
    errors = [kind for kind in kinds if issubclass(kind, BaseException)]
    assert len(errors) > 40
    assert all(issubclass(kind, gen.HomingError) for kind in errors)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (gen.ProcessUnknown(PID), "<n@h.1001>"),
        (gen.NameUnknown("sink"), "'sink'"),
        (gen.ProcessTerminated(PID, ValueError("why")), "why"),
        (gen.MailboxFull(PID, 7), "limit 7"),
        (gen.NodeUnknown(PID, "other@h"), "other@h"),
        (gen.CallTimeout("sink", 2.5), "2.5 s"),
        (gen.InitTimeout("Sink", 0.5), "init_timeout=0.5"),
        (gen.NameTaken("sink", PID), "<n@h.1001>"),
        (gen.NodeTerminated("n@h"), "n@h"),
        (gen.NodeForked("n@h"), "n@h"),
        (gen.ConnectFailed("peer", 53, OSError(101, "Network is unreachable"), "hint"), "peer:53: Network"),
        (gen.RequestTimeout("peer:53", 3, 3.5), "no reply from peer:53 to 3 attempts within 3.5 s"),
        (gen.RequestTimeout("peer:53", 1, 1.0, (b"one",)), "only 1 reply from"),
        (gen.PeerRefused("peer:53", OSError(111, "Connection refused"), "hint"), "peer:53: Connection refused (hint)"),
        (gen.TooManyRequests(7), "max_requests"),
        (gen.RequestKeyTaken(b"id"), "b'id'"),
        (gen.RequestIdsTaken("peer:53", 256), "all 256 ids are in use by open requests to peer:53"),
        (gen.MatchFailed("match", KeyError("x")), "KeyError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_names_the_culprit(error: Exception, words: str) -> None:
    assert words in str(error)


def test_a_name_nobody_has_is_a_process_unknown_but_a_dead_process_is_none() -> None:
    assert issubclass(gen.NameUnknown, gen.ProcessUnknown)
    assert not issubclass(gen.ProcessTerminated, gen.ProcessUnknown)
    assert issubclass(gen.MetaTerminated, gen.AliasUnknown)


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (gen.TerminateNormal(), "normal"),
        (gen.TerminateShutdown(), "shutdown"),
        (gen.TerminateRestart(), "restart"),
        (gen.TerminateKill(), "kill"),
        (gen.TerminatePanic(), "panic"),
        (gen.Unregistered(), "unregistered"),
        (gen.TerminateShutdown("the disk is full"), "the disk is full"),
    ],
)
def test_an_exit_reason_reads_as_its_name_or_its_text(reason: gen.TerminateReason, text: str) -> None:
    assert str(reason) == text


def test_only_normal_and_shutdown_are_orderly_ends() -> None:
    assert gen.is_orderly(gen.TerminateNormal())
    assert gen.is_orderly(gen.TerminateShutdown())
    assert gen.is_orderly(gen.TerminateRestart()), "a kind of shutdown"
    for reason in (gen.TerminateKill(), gen.TerminatePanic(), gen.Unregistered(), ValueError()):
        assert not gen.is_orderly(reason)


def test_a_reason_may_be_given_as_an_instance_or_as_a_class() -> None:
    error = ValueError("x")
    assert gen.as_reason(error) is error
    assert isinstance(gen.as_reason(gen.TerminateShutdown), gen.TerminateShutdown)


def test_what_is_no_exception_becomes_a_panic_with_the_original_as_its_cause() -> None:
    stop = SystemExit(3)
    reason = gen.as_reason(stop)
    assert isinstance(reason, gen.TerminatePanic)
    assert reason.__cause__ is stop


@pytest.mark.parametrize("junk", ["normal", None, 3, int])
def test_what_is_no_reason_is_refused(junk: object) -> None:
    with pytest.raises(gen.BadOption) as caught:
        gen.as_reason(junk)
    assert caught.value.option == "reason"


def test_identifiers_show_where_they_live_and_what_they_are() -> None:
    assert str(PID) == "<n@h.1001>"
    assert str(gen.Alias("n@h", 5, 1)) == "Alias<n@h.5>"
    assert str(gen.Ref("n@h", 6, 1)) == "Ref<n@h.6>"
    assert str(gen.ProcessID("sink", "n@h")) == "<n@h.'sink'>"
    assert str(gen.Event("tick", "n@h")) == "Event<n@h.'tick'>"
