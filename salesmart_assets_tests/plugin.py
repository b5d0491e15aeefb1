"""The rules of the suite, loaded by `-p` in `pyproject.toml`: how examples are drawn, and that nothing is skipped silently.

Belongs here: what holds for every test. Does not belong here: fixtures (`conftest.py`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

ALLOWED_SKIPS = ".ci/allowed_skips.txt"
SERVERS = ("mariadb", "mysql")


def read_allowed_skips(path: Path) -> dict[str, str]:
    """The tests that may be skipped, each with its reason, from lines `TEST_ID # reason`.

    Raises `pytest.UsageError` for a line without a reason, and for a test that needs a MariaDB server.
    """
    allowed: dict[str, str] = {}
    if not path.exists():
        return allowed
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        test, separator, reason = line.rpartition(" # ")
        if not separator or not test.strip() or not reason.strip():
            raise pytest.UsageError(f"{path}, line {number}: write `TEST_ID # reason`.")
        if any(server in test.lower() for server in SERVERS):
            raise pytest.UsageError(f"{path}, line {number}: a test that needs MariaDB is never skipped.")
        allowed[test.strip()] = reason.strip()
    return allowed


class SkipRule:
    """Fails the session when a test is skipped or fails as expected, and is not named in the list."""

    def __init__(self, allowed: dict[str, str]) -> None:
        self.allowed = allowed
        self.broken: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # An expected failure (xfail) is reported as skipped, too.
        if report.skipped and ("mariadb" in report.keywords or report.nodeid not in self.allowed):
            self.broken.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped and report.nodeid not in self.allowed:
            self.broken.append(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.broken and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.broken:
            return
        terminalreporter.section("skips that are not allowed", red=True, bold=True)
        for test in sorted(set(self.broken)):
            terminalreporter.line(test)
        terminalreporter.line(f"Give each what it needs, or name it in {ALLOWED_SKIPS} with a reason (never one that needs MariaDB).")


def _use_hypothesis_profile() -> None:
    # Imported late: pytest rewrites the assertions of plugins that are not imported yet.
    from hypothesis import settings

    # No deadline: the time of an example says how busy the machine is. In CI the same examples each time.
    settings.register_profile("salesmart", deadline=None)
    settings.register_profile("salesmart-ci", deadline=None, derandomize=True, print_blob=True)
    settings.load_profile("salesmart-ci" if os.environ.get("CI") else "salesmart")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    _use_hypothesis_profile()
    # With xdist, all reports reach the process that started the workers: it alone judges.
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(SkipRule(read_allowed_skips(config.rootpath / ALLOWED_SKIPS)), "salesmart-skips")


def pytest_itemcollected(item: pytest.Item) -> None:
    # The mark travels with the report from xdist's workers; fixtures do not.
    needs = [*getattr(item, "fixturenames", ()), item.nodeid.rpartition("[")[2]]
    if any(server in name.lower() for name in needs for server in SERVERS):
        item.add_marker("mariadb")
