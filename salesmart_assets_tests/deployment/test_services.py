"""The compose file: its services, started as processes with its commands, settings, instance, database and store."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from salesmart_assets_tests.conftest import MariaDb, dying_with_parent, free_ports
from salesmart_assets_tests.deployment.conftest import COMPOSE, DEPLOY, Store
from salesmart_assets_tests.end_to_end.conftest import HEADER, Installation

OURS = ("code", "webserver", "daemon")
_HOME = "/var/lib/salesmart"
_START_SECONDS = 120
_LOAD_SECONDS = 600


class Host:
    """One host with the services of the compose file that are the platform's own; database and store are given."""

    def __init__(self, home: Path, store: Store, mariadb: MariaDb) -> None:
        self.home = home
        self.port = str(free_ports(1)[0])
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._places = {
            "salesmart:${DATABASE_PASSWORD:?}@database:3306": f"{mariadb.user}:{mariadb.password}@{mariadb.host}:{mariadb.port}",
            "${S3_SECRET_KEY:?}": store.secret,
            "http://store:8333": store.url,
            _HOME: str(home),
            "0.0.0.0": "127.0.0.1",
        }
        for volume in COMPOSE["x-salesmart"]["volumes"]:
            source, target = volume.split(":")[:2]
            if source.startswith("./"):
                place = Path(self.here(target))
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(self.here((DEPLOY / source).read_text("utf-8")), "utf-8")
        self.settings = {name: self.here(value) for name, value in COMPOSE["x-salesmart"]["environment"].items()}

    def here(self, text: str) -> str:
        """A text of the compose file, with what it means on this host."""
        for there, here in self._places.items():
            text = text.replace(there, here)
        return re.sub(r"^3000$|(?<=127\.0\.0\.1:)3000\b", self.port, text)

    def command(self, words: list[str]) -> list[str]:
        """A command of the compose file: its program is the one of this environment."""
        program, *arguments = (self.here(word) for word in words)
        return [sys.executable if program == "python" else str(Path(sys.executable).with_name(program)), *arguments]

    @property
    def environment(self) -> Mapping[str, str]:
        """What a container gets: the image's settings, and those of the compose file."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SALESMART_", "DAGSTER_"))}
        return {**kept, **self.settings, "SALESMART_HOME": str(self.home), "DAGSTER_HOME": str(self.home / "dagster")}

    @contextmanager
    def running(self) -> Iterator[None]:
        """All services, started, and well by their own health checks; killed at the end."""
        migrated = subprocess.run(
            self.command(COMPOSE["services"]["instance"]["command"]), env=self.environment, capture_output=True, text=True, check=False
        )
        assert migrated.returncode == 0, migrated.stderr
        try:
            for name in OURS:
                with (self.home / f"{name}.log").open("wb") as log:
                    self.processes[name] = subprocess.Popen(
                        dying_with_parent(self.command(COMPOSE["services"][name]["command"])),
                        env=self.environment,
                        cwd=self.home,
                        stdout=log,
                        stderr=log,
                    )
            for name in OURS:
                self._wait(name)
            yield
        finally:
            for process in self.processes.values():
                process.terminate()
            for process in self.processes.values():
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _wait(self, name: str) -> None:
        check = COMPOSE["services"][name]["healthcheck"]["test"]
        assert check[0] == "CMD"
        deadline = time.monotonic() + _START_SECONDS
        while subprocess.run(self.command(check[1:]), env=self.environment, capture_output=True, check=False).returncode:
            assert self.processes[name].poll() is None, self.log(name)
            assert time.monotonic() < deadline, self.log(name)
            time.sleep(2)

    def log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text("utf-8", errors="replace")[-4000:]


def test_the_services_load_a_file(store: Store, mariadb: MariaDb, tmp_path: Path) -> None:
    """The services of the compose file, by their own commands and health checks, bring what lands in the store to the marts."""
    databases = [line for line in COMPOSE["configs"]["databases"]["content"].splitlines() if line.startswith("CREATE")]
    mariadb.execute(*databases)
    host = Host(tmp_path / "home", store, mariadb)
    salesmart = Installation(host.home, host.settings)
    with host.running():
        with urllib.request.urlopen(f"http://127.0.0.1:{host.port}/server_info", timeout=10) as answer:
            assert b"dagster_webserver_version" in answer.read()
        salesmart("land", salesmart.write("till.csv", f"{HEADER}\n1,121,bread,2026-08-01,1,2.50,2,5.00\n"), "--source", "sales")
        deadline = time.monotonic() + _LOAD_SECONDS
        while (runs := mariadb.execute("SELECT status FROM dagster.runs")) != [("SUCCESS",)]:
            assert runs != [("FAILURE",)], host.log("code")
            assert time.monotonic() < deadline, host.log("code") + host.log("daemon")
            time.sleep(0.5)
    assert [file["outcome"] for file in salesmart.json("status", "--json")] == ["loaded"]
    ((sales, incentive),) = mariadb.execute("SELECT total_sales, incentive FROM retail.sales_team_mart")
    assert (str(sales), str(incentive)) == ("5.00", "0.05")
