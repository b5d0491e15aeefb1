"""A disk that is full or can't be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="a disk of a few megabytes is mounted, in a namespace of its own")
def test_a_full_or_read_only_disk_loses_nothing(tmp_path: Path) -> None:
    """A full disk and a read-only home end a run with a sentence, not with a stack trace; when they are mended, the next run completes."""
    apart = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    command = [*apart, sys.executable, "-m", "salesmart_assets_tests.end_to_end.small_disk", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
