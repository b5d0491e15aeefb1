"""A test that did not run is never taken for one that passed."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from salesmart_assets_tests.plugin import ALLOWED_SKIPS, read_allowed_skips

if TYPE_CHECKING:
    from pathlib import Path

SUITE = """
import pytest

def test_runs():
    pass

@pytest.mark.skip(reason="too early")
def test_skipped():
    pass

@pytest.mark.xfail(reason="known")
def test_expected_to_fail():
    assert False

@pytest.fixture
def mariadb_url():
    pytest.skip("no server")

def test_server(mariadb_url):
    pass
"""


def run(folder: Path, allowed: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_suite.py").write_text(SUITE)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    mariadb: needs the server\n")
    (folder / ALLOWED_SKIPS).parent.mkdir(exist_ok=True)
    (folder / ALLOWED_SKIPS).write_text(allowed)
    command = [sys.executable, "-m", "pytest", "-p", "salesmart_assets_tests.plugin", "-p", "no:cacheprovider", *options, "test_suite.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_unlisted_skips_fail_the_run(tmp_path: Path) -> None:
    """A test skipped or expected to fail fails the run, on workers too, unless it is listed; one of MariaDB even then."""
    done = run(tmp_path, "test_suite.py::test_skipped # a reason\ntest_suite.py::test_server # a reason\n", "-n", "2")
    told = done.stdout.partition("skips that are not allowed")[2].splitlines()
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "test_suite.py::test_expected_to_fail" in told
    assert "test_suite.py::test_server" in told
    assert "test_suite.py::test_skipped" not in told


def test_listed_skips_pass(tmp_path: Path) -> None:
    """A skip that is listed with its reason lets the run pass."""
    allowed = "# why\ntest_suite.py::test_skipped # a reason\ntest_suite.py::test_expected_to_fail # another\n"
    done = run(tmp_path, allowed, "--deselect", "test_suite.py::test_server")
    assert done.returncode == pytest.ExitCode.OK, done.stdout


@pytest.mark.parametrize(
    "line", ["a.py::test_x", "a.py::test_x # ", " # reason", "a.py::test_x[mariadb] # slow", "a.py::test_mysql # slow"]
)
def test_an_entry_without_reason_or_for_mariadb_is_refused(tmp_path: Path, line: str) -> None:
    """The list takes no entry without a reason, and none for a test of MariaDB."""
    path = tmp_path / "allowed_skips.txt"
    path.write_text(f"{line}\n")
    with pytest.raises(pytest.UsageError, match="line 1"):
        read_allowed_skips(path)
