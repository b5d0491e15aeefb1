"""The sensor at scale: 100,000 pending objects on a real S3 server, and a ledger of a million rows.

    python -m benchmarks.sensor [--server versitygw] [--ledger-url URL] [--objects N] [--rows N]

Puts the objects over 60 batch dates and 5 sources through S3, fills the ledger, and runs real ticks in a child process each,
with a Dagster instance in a file. The server is the program's own local endpoint, or versitygw (`go install
github.com/versity/versitygw/cmd/versitygw@latest`), a server that does not hash what it lists.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform as machine
import resource
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

SOURCES = ("sales", "customers", "stores", "products", "sales_team")
DATES = 60
RESULTS = Path(__file__).with_name("results") / "sensor.md"
KEYS = ("benchmark-key", "benchmark-secret")


def main() -> None:
    """Measure, and append the result."""
    parser = argparse.ArgumentParser(description="The sensor at scale.")
    parser.add_argument("--server", choices=("local", "versitygw"), default="local")
    parser.add_argument("--ledger-url", help="An SQLAlchemy URL; default: an SQLite file.")
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--child", choices=("tick", "register"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        {"tick": _tick, "register": _register}[options.child]()
        return
    with tempfile.TemporaryDirectory(prefix="salesmart-bench-") as folder, _served(Path(folder), options.server) as settings:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("SALESMART_", "DAGSTER_"))} | settings
        if options.ledger_url:
            environment["SALESMART_LEDGER_URL"] = options.ledger_url
        os.environ.update(environment)
        put = _put(options.objects)
        filled = _fill(options.rows)
        lines = [_measured("tick", environment, "all objects new"), _measured("tick", environment, "again, runs of 8 dates asked for")]
        lines.append(_measured("register", environment, "one batch of one source registered"))
        ledger = "SQLite" if not options.ledger_url else options.ledger_url.split(":", 1)[0]
        title = f"## {options.server}, ledger on {ledger}, {datetime.now(timezone.utc):%Y-%m-%d}"
        hardware = f"{os.cpu_count()} cores, {machine.machine()}, Python {machine.python_version()}"
        told = (
            f"{options.objects:,} objects over {DATES} dates and {len(SOURCES)} sources, put in {put:.0f} s; "
            f"a ledger of {options.rows:,} rows, filled in {filled:.0f} s. {hardware}."
        )
        text = "\n".join(
            [title, "", told, "", "| What | Seconds | Peak memory | of it the tick's own | Result |", "|---|---|---|---|---|", *lines, ""]
        )
        print(text)
        RESULTS.parent.mkdir(exist_ok=True)
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(f"\n{text}" if file.tell() else f"# The sensor at scale\n\n`python -m benchmarks.sensor`\n\n{text}")


@contextmanager
def _served(folder: Path, server: str) -> Iterator[dict[str, str]]:
    home = folder / "home"
    if server == "local":
        from salesmart_assets.local import LocalEndpoint
        from salesmart_assets.settings import Settings

        with LocalEndpoint.start(Settings(home=home)) as endpoint:
            yield {"SALESMART_HOME": str(home), "SALESMART_S3_LOCAL_URL": endpoint.url}
        return
    program = shutil.which("versitygw") or str(Path.home() / "go/bin/versitygw")
    (folder / "objects").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    keys = {"ROOT_ACCESS_KEY": KEYS[0], "ROOT_SECRET_KEY": KEYS[1]}
    process = subprocess.Popen(
        [program, "--port", f"127.0.0.1:{port}", "--quiet", "--keep-alive", "posix", str(folder / "objects")],
        env={**os.environ, **keys},
        stdout=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield {
            "SALESMART_HOME": str(home),
            "SALESMART_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "SALESMART_S3_ACCESS_KEY_ID": KEYS[0],
            "SALESMART_S3_SECRET_ACCESS_KEY": KEYS[1],
        }
    finally:
        process.terminate()
        process.wait()


def _put(objects: int) -> float:
    from salesmart_assets.landing.zone import connect
    from salesmart_assets.settings import Settings

    settings = Settings.load()
    client = connect(settings, None).client
    if not settings.uses_local_s3:
        client.create_bucket(Bucket=settings.landing_bucket)
    first = datetime.now(timezone.utc).date() - timedelta(DATES)
    places = [(source, first + timedelta(day)) for day in range(DATES) for source in SOURCES]
    share, rest = divmod(objects, len(places))
    started = time.monotonic()
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_put_folder, *zip(*[(s, d, share + (i < rest)) for i, (s, d) in enumerate(places)], strict=True)))
    return time.monotonic() - started


_clients: list[Any] = []


def _put_folder(source: str, day: date, count: int) -> None:
    from salesmart_assets.landing.zone import connect
    from salesmart_assets.settings import Settings

    settings = Settings.load()
    if not _clients:
        _clients.append(connect(settings, None).client)

    def put(number: int) -> None:
        key = f"{settings.landing_prefix}{source}/dt={day}/part-{number:05d}.csv"
        _clients[0].put_object(Bucket=settings.landing_bucket, Key=key, Body=key.encode())

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(put, range(count)))


def _fill(rows: int) -> float:
    import sqlalchemy as sa

    from salesmart_assets.batch.platform import Platform
    from salesmart_assets.ledger.schema import ingest_file
    from salesmart_assets.settings import Settings

    started = time.monotonic()
    now = datetime.now(timezone.utc).replace(tzinfo=None, microsecond=0)
    fixed = {"bucket": "salesmart", "etag": "0" * 32, "current_etag": "0" * 32, "size": 100, "last_modified": now, "status": "I"}
    fixed |= {"stage": "published", "outcome": "loaded", "rows_read": 1, "rows_accepted": 1, "rows_rejected": 0, "rows_duplicate": 0}
    fixed |= {"rows_staged": 1, "attempts": 1, "first_seen": now, "updated_at": now, "finished_at": now, "format": "csv"}
    with Platform(Settings.load()) as platform, platform.ledger.engine.connect() as connection:
        for start in range(0, rows, 20_000):
            part = []
            for number in range(start, min(start + 20_000, rows)):
                day = now.date() - timedelta(DATES + 1 + number % 1_500)
                source = SOURCES[number % len(SOURCES)]
                name = f"{source}/dt={day}/part-{number:07d}.csv"
                own = {"identity": secrets.token_hex(32), "key_hash": secrets.token_hex(32), "source": source, "batch_date": day}
                own |= {"key": f"landing/{name}", "current_key": f"processed/{name}", "content_hash": secrets.token_hex(32)}
                part.append(fixed | own)
            connection.execute(sa.insert(ingest_file), part)
            connection.commit()
    return time.monotonic() - started


def _measured(what: str, environment: dict[str, str], name: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sensor", "--child", what], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    said = json.loads(done.stdout.splitlines()[-1])
    print(name, said)
    return f"| {name} | {said['seconds']:.1f} | {said['peak_mb']:.0f} MB | {said['own_mb']:.0f} MB | {said['result']} |"


def _tick() -> None:
    from dagster import DagsterInstance, RunRequest, SensorResult, build_sensor_context

    from salesmart_assets.automation import landing_sensor
    from salesmart_assets.definitions import database, s3, spark
    from salesmart_assets.resources import PlatformResource
    from salesmart_assets.runs import prepare_home
    from salesmart_assets.settings import Settings

    settings = Settings.load()
    prepare_home(settings)
    platform = {"platform": PlatformResource(s3=s3, database=database, spark=spark)}
    with (
        DagsterInstance.from_config(str(settings.dagster_home)) as instance,
        build_sensor_context(instance=instance, resources=platform) as context,
    ):
        bare = _peak()
        started, busy = time.monotonic(), time.process_time()
        found = landing_sensor(context)
        seconds, busy = time.monotonic() - started, time.process_time() - busy
    requests: list[RunRequest] = list(found.run_requests or []) if isinstance(found, SensorResult) else []
    result = f"{len(requests)} runs asked for, {requests[0].partition_key} first" if requests else str(found)
    _tell(seconds, bare, f"{result}; {busy:.1f} s of it this process computed")


def _register() -> None:
    from salesmart_assets.batch import landing
    from salesmart_assets.batch.platform import Platform
    from salesmart_assets.batch.run import Run
    from salesmart_assets.settings import Settings

    with Platform(Settings.load()) as platform:
        _ = platform.zone, platform.ledger
        bare = _peak()
        started = time.monotonic()
        files = landing.register(platform, "sales", Run(platform.today() - timedelta(DATES), secrets.token_hex(16), rebuild=False))
        _tell(time.monotonic() - started, bare, f"{len(files)} files")


def _peak() -> float:
    gc.collect()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _tell(seconds: float, bare: float, result: str) -> None:
    peak = _peak()
    print(json.dumps({"seconds": seconds, "peak_mb": peak, "own_mb": peak - bare, "result": result}))


if __name__ == "__main__":
    main()
