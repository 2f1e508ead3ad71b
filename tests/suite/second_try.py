"""A second try for a test that fails: `--second-try`, which CI gives.

Thousands of tests with real sockets, threads and programs run side by side, on a machine whose other work nobody knows.
One that the machine has disturbed passes when it runs again; a fault of ours mostly does not. Whoever runs the suite by
hand sees the first failure as what it is. In CI a failure counts if it comes twice, and every test that needed its
second try is listed with its first failure, to be mended. Few may: a program that fails often is wrong.
"""

from __future__ import annotations

from typing import Any

import pytest
from _pytest.runner import runtestprotocol

MOST = 3
"""Tests of one worker that get a second try."""

AGAIN = "again"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("suite").addoption("--second-try", action="store_true", help="run a test that fails once more")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("second_try"):
        config.pluginmanager.register(SecondTry(), "suite-second-try")


class SecondTry:
    """Runs tests that fail a second time. again: how many so far."""

    def __init__(self) -> None:
        self.again = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: Any, nextitem: pytest.Item | None) -> bool:
        place = {"nodeid": item.nodeid, "location": item.location}
        item.ihook.pytest_runtest_logstart(**place)
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if self.again < MOST and any(report.failed for report in reports):
            self.again += 1
            for report in reports:
                if report.failed:
                    report.outcome = AGAIN  # type: ignore[assignment]
                    item.ihook.pytest_runtest_logreport(report=report)
            item._initrequest()  # its fixtures are made anew
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(**place)
        return True


def pytest_report_teststatus(report: Any) -> tuple[str, str, str] | None:
    return (AGAIN, "A", "AGAIN") if report.outcome == AGAIN else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    first = terminalreporter.getreports(AGAIN)
    if not first:
        return
    terminalreporter.section("failed, and got a second try")
    for report in first:
        terminalreporter.write_sep("_", report.nodeid)
        terminalreporter.write_line(str(report.longrepr))
