"""The graph does not change unnoticed, and loading it is light."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from dagster import AssetSpec, Definitions, ScheduleDefinition
from dagster._core.definitions.freshness import CronFreshnessPolicy

from salesmart_assets.definitions import defs

ROOT = Path(__file__).parent.parent.parent
SPECS: list[AssetSpec] = [spec for asset in defs.assets or () for spec in asset.specs]  # type: ignore[union-attr]
SNAPSHOT = Path(__file__).with_name("graph.json")
UPDATE = "python -m salesmart_assets_tests.graph.test_graph"


def described() -> dict[str, object]:
    graph = defs.resolve_asset_graph()
    assets = {}
    for key in sorted(graph.get_all_asset_keys(), key=lambda k: k.to_user_string()):
        node = graph.get(key)
        assets[key.to_user_string()] = {
            "group": node.group_name,
            "depends_on": sorted(parent.to_user_string() for parent in node.parent_keys),
            "partitions": type(node.partitions_def).__name__ if node.partitions_def else None,
            "checks": sorted(check.name for check in node.check_keys),
        }
    return {
        "assets": assets,
        "jobs": sorted(job.name for job in defs.jobs or () if hasattr(job, "name")),
        "schedules": {
            s.name: {"job": s.job_name, "cron": s.cron_schedule, "status": s.default_status.value}
            for s in defs.schedules or ()
            if isinstance(s, ScheduleDefinition)
        },
        "sensors": sorted(sensor.name for sensor in defs.sensors or ()),
        "resources": sorted(defs.resources or ()),
    }


def test_the_graph_is_as_it_was_agreed() -> None:
    """Asset keys, groups, dependencies, partitions, checks, jobs, schedules and sensors are those of the snapshot."""
    assert described() == json.loads(SNAPSHOT.read_text("utf-8")), f"The graph changed. If that is meant, write the snapshot anew: {UPDATE}"


def test_definitions_are_valid() -> None:
    """Dagster accepts the definitions."""
    Definitions.validate_loadable(defs)


def test_every_asset_says_what_it_is() -> None:
    """Every asset has a description, an owner, kinds and a grain, and names the module that makes it; tables have an address, too."""
    for spec in SPECS:
        assert spec.description, spec.key
        assert spec.owners, spec.key
        assert spec.kinds, spec.key
        assert spec.metadata["grain"], spec.key
        assert (ROOT / spec.metadata["code"].value).is_file(), spec.key
        if "dagster/table_name" in spec.metadata:
            assert spec.metadata["grain"] in spec.description
            assert spec.metadata["dagster/uri"].endswith(f"/{spec.key.to_user_string()}")


def test_marts_and_reports_have_a_freshness_policy() -> None:
    """Marts are expected anew every day, reports at the hour at which people read them: the UI says which is late."""
    policies = {spec.key.to_user_string(): spec.freshness_policy for spec in SPECS if spec.group_name in ("marts", "reports")}
    assert all(policies.values())
    daily, monthly = policies["daily_report"], policies["monthly_report"]
    assert isinstance(daily, CronFreshnessPolicy)
    assert isinstance(monthly, CronFreshnessPolicy)
    assert (daily.deadline_cron, monthly.deadline_cron) == ("0 8 * * *", "0 8 1 * *")


def test_importing_the_definitions_starts_nothing() -> None:
    """Importing the definitions opens no socket, starts no process, writes no file, and warns of nothing."""
    # Dagster's own import asks the system for its word size; what is watched is what the definitions add to it.
    program = """
import sys, warnings
import dagster
warnings.simplefilter("error")
# Dagster reads pydantic's old name for a model's fields when a resource has none of its own.
warnings.filterwarnings("ignore", message="The `__fields__` attribute is deprecated")
forbidden = ("socket.connect", "socket.bind", "subprocess.Popen", "os.mkdir", "os.remove", "os.rename", "sqlite3.connect")
def look(event, arguments):
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if event in forbidden or (writes and "__pycache__" not in str(arguments[0])):
        print(event, arguments[:2], file=sys.stderr)
        raise SystemExit(3)
sys.addaudithook(look)
import salesmart_assets.definitions
"""
    done = subprocess.run([sys.executable, "-B", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_the_definitions_loads_no_engine() -> None:
    """Importing the definitions takes under 3 s: no library that works on data is loaded for it."""
    heavy = {"pyspark", "pysail", "boto3", "polars", "matplotlib", "deltalake", "pyarrow", "numpy", "sqlalchemy"}
    program = f"import sys, salesmart_assets.definitions; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(described(), indent=1, sort_keys=True) + "\n", "utf-8")
    sys.stdout.write(f"wrote {SNAPSHOT.name}\n")
