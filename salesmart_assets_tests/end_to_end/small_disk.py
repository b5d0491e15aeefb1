"""Run in a mount namespace of its own: a home on a disk that fills up, and then can't be written.

unshare --mount python -m salesmart_assets_tests.end_to_end.small_disk FOLDER
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from salesmart_assets_tests.end_to_end.conftest import HEADER, Installation

_ROOM = 200_000


def mount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Leave next to no room; the file that takes it."""
    full = disk / "full"
    try:
        with full.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
    except OSError:
        with full.open("r+b") as file:
            file.truncate(full.stat().st_size - _ROOM)
    return full


def refused(salesmart: Installation) -> str:
    done = salesmart("run", code=None)
    assert done.returncode == 2, f"{done.returncode}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr


def landed(salesmart: Installation, day: str) -> None:
    path = salesmart.write(f"{day}.csv", f"{HEADER}\n1,121,bread,{day},1,2.50,2,5.00\n")
    salesmart("land", path, "--source", "sales", "--date", day)


def sold(salesmart: Installation) -> list[dict[str, object]]:
    return salesmart.json("query", "select count(*) as lines, sum(total_cost) as total from fact_sales", "--format", "json")


def main() -> None:
    """Fill the disk, make it read-only, mend it: nothing is lost."""
    folder = Path(sys.argv[1])
    disk = folder / "disk"
    disk.mkdir()
    mount(disk, "size=24m")
    salesmart = Installation(disk / "home")
    landed(salesmart, "2026-08-01")
    full = fill(disk)
    assert "free space" in refused(salesmart)
    full.unlink()
    mount(disk, "remount,ro")
    assert "its rights" in refused(salesmart)
    mount(disk, "remount,rw")
    salesmart("run")
    assert [str(v) for row in sold(salesmart) for v in row.values()] == ["1", "5.00"]


if __name__ == "__main__":
    main()
