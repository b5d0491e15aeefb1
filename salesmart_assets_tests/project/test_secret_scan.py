"""The scan for secrets that `make check` makes finds them."""

from __future__ import annotations

import runpy
import subprocess
from pathlib import Path

LOOK = runpy.run_path(str(Path(__file__).parent.parent.parent / ".ci" / "check_secrets.py"))["look"]


def test_secrets_are_found_and_examples_are_not(tmp_path: Path) -> None:
    """A key, a password in an address and a private key are found by file and line and are not repeated; examples are let through."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    begin = "-----BEGIN RSA PRIVATE"
    lines = [
        "key: AKIA" + "Z7Q2MX4L9PTRWVN3",
        "url: mysql://ann:" + "Tr0ub4dor@db/marts",
        "mysql://ann:password@db/marts",
        f"{begin} KEY-----",
    ]
    (tmp_path / "settings.yaml").write_text("\n".join(lines))
    count, places = LOOK(tmp_path)
    assert (count, [place.rpartition(": ")[0] for place in places]) == (1, [f"settings.yaml:{line}" for line in (1, 2, 4)])
    assert not any(word in "".join(places) for word in ("AKIA", "Tr0ub4dor"))
