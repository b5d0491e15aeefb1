"""The files of `deploy/` say what is so: of the instance, of the package, and of Dagster's chart."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from salesmart_assets.settings import PREFIX, Settings
from salesmart_assets_tests.deployment.conftest import COMPOSE, DEPLOY

ROOT = DEPLOY.parent
VALUES: dict[str, Any] = yaml.safe_load((DEPLOY / "helm-values.yaml").read_text("utf-8"))
(DEPLOYMENT,) = VALUES["dagster-user-deployments"]["deployments"]
# Read by dagster.yaml, not by the platform.
_OF_DAGSTER = {"SALESMART_DAGSTER_URL"}


def test_the_instance_is_the_packaged_one_on_a_database() -> None:
    """`deploy/dagster.yaml` says what the packaged one says, and that the history is in a database."""
    deployed = yaml.safe_load((DEPLOY / "dagster.yaml").read_text("utf-8"))
    assert deployed.pop("storage") == {"mysql": {"mysql_url": {"env": "SALESMART_DAGSTER_URL"}}}
    assert deployed == yaml.safe_load((ROOT / "dagster.yaml").read_text("utf-8"))


def test_the_chart_says_of_the_instance_what_it_can() -> None:
    """Queue, monitoring and retries are in Kubernetes what they are on one machine."""
    instance = yaml.safe_load((ROOT / "dagster.yaml").read_text("utf-8"))
    daemon = VALUES["dagsterDaemon"]
    queue = daemon["runCoordinator"]["config"]["queuedRunCoordinator"]
    assert queue["maxConcurrentRuns"] == instance["concurrency"]["runs"]["max_concurrent_runs"]
    for part, ours in (("runMonitoring", "run_monitoring"), ("runRetries", "run_retries")):
        assert {re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name): value for name, value in daemon[part].items()} == instance[
            ours
        ]


@pytest.mark.parametrize("names", [list(COMPOSE["x-salesmart"]["environment"]), [entry["name"] for entry in DEPLOYMENT["env"]]])
def test_every_setting_exists(names: list[str]) -> None:
    """Each variable that a file of `deploy/` sets is a setting."""
    assert set(names) - _OF_DAGSTER <= {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}


def test_only_this_host_reaches_the_ui() -> None:
    """No port of the compose file is open to other machines."""
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_the_commands_of_the_image_exist() -> None:
    """The image's command and health check are Dagster's, with options that it has."""
    text = (DEPLOY / "Containerfile").read_text("utf-8")
    for line in re.findall(r"^(?:HEALTHCHECK .*)?CMD (\[.*\])$", text, re.MULTILINE):
        program, *arguments = yaml.safe_load(line)
        words = [word for word in arguments if word in ("api", "grpc", "grpc-health-check")]
        said = subprocess.run(
            [Path(sys.executable).with_name(program), *words, "--help"], check=True, capture_output=True, text=True
        ).stdout
        assert [word for word in arguments if word.startswith("--") and word not in said] == []
