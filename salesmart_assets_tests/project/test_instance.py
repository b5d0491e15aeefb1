"""The files that start Dagster say what it understands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance
from dagster._core.workspace.load_target import WorkspaceFileTarget

from salesmart_assets import workers
from salesmart_assets.errors import UsageError
from salesmart_assets.runs import prepare_home
from salesmart_assets.settings import Settings
from salesmart_assets.workers import alive, this_process

ROOT = Path(__file__).parent.parent.parent


def test_instance_frees_slots_and_retries_crashes_only(tmp_path: Path) -> None:
    """Dagster takes the packaged instance: one run at a time, slots given back, only crashes retried, nothing sent home."""
    with resources.as_file(resources.files("salesmart_assets.local") / "dagster.yaml") as packaged:
        shutil.copy(packaged, tmp_path)
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert queue.max_concurrent_runs == 1
        assert queue.max_user_code_failure_retries == 10
        assert queue.user_code_failure_retry_delay == 5
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_start_timeout_seconds == 300
        assert instance.run_monitoring_max_resume_run_attempts == 0
        assert instance.run_launcher.supports_check_run_worker_health
        assert instance.get_settings("run_monitoring")["free_slots_after_run_end_seconds"] == 300
        assert instance.run_retries_enabled
        assert instance.run_retries_max_retries == 1
        assert not instance.run_retries_retry_on_asset_or_op_failure
        assert not instance.telemetry_enabled


def test_the_top_level_instance_is_the_packaged_one() -> None:
    """`dagster.yaml` at the top is the file that an installed `salesmart` starts with."""
    packaged = resources.files("salesmart_assets.local") / "dagster.yaml"
    assert (ROOT / "dagster.yaml").read_bytes() == packaged.read_bytes()


def test_workspace_names_the_definitions() -> None:
    """`workspace.yaml` and `pyproject.toml` name the same code location."""
    (origin,) = WorkspaceFileTarget([str(ROOT / "workspace.yaml")]).create_origins()
    assert origin.location_name == "salesmart"
    assert (
        yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"][0]["python_module"]["module_name"]
        == "salesmart_assets.definitions"
    )


def test_a_setting_that_the_instance_contradicts_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `dagster.yaml` and SALESMART_DAGSTER_URL name different places for the history, a sentence says so, without the password."""
    monkeypatch.setenv("DAGSTER_HOME", "")
    prepare_home(Settings.load(home=tmp_path))
    with pytest.raises(UsageError, match=r"SALESMART_DAGSTER_URL is set, but .*dagster\.yaml does not name it") as told:
        prepare_home(Settings.load(home=tmp_path, dagster_url="mysql+pymysql://me:hidden@localhost/dagster"))
    assert "hidden" not in str(told.value)
    with pytest.raises(UsageError, match="takes MySQL or MariaDB"):
        prepare_home(Settings.load(home=tmp_path / "other", dagster_url="postgresql://localhost/dagster"))
    assert not (tmp_path / "other" / "dagster" / "dagster.yaml").exists()


def test_a_process_that_is_gone_is_told_from_one_that_lives() -> None:
    """A mark names one process: not a later one with its number, and not one that has ended but was not asked for its exit code."""
    assert alive(this_process())
    host, pid, _ = this_process().split("/")
    assert not alive(f"{host}/{pid}/1")
    assert alive(f"not-{host}/{pid}/1")
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert workers._started(child.pid) == ""
