"""Finds what must not stand in a file of the project, since it belongs to one machine: run by `make check`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN = {
    # Where packages come from is the installing machine's business.
    "a package registry's address": re.compile(
        r"\b(?:pypi|pythonhosted|npmjs)\.(?:org|com)\b|(?:index-url|find-links|trusted-host)[ =\"']+[^\s\"']*(?:://|\.)", re.IGNORECASE
    ),
    # A home folder with a name in it; the lookbehind lets URLs and relative paths pass.
    "an absolute path of one machine": re.compile(r"(?<![\w.:/~}-])/(?:home|Users)/[\w.-]+|(?<![\w.:/~}-])/root/[\w.-]+"),
    "a merge conflict": re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE),
}


def main() -> int:
    """Print each place; 1 if there is any."""
    git = ("git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    listed = subprocess.run(git, check=True, capture_output=True, text=True).stdout.split("\0")
    checked, places = 0, []
    for name in filter(None, listed):
        path = ROOT / name
        if path.is_symlink() or not path.is_file():
            continue
        content = path.read_bytes()
        if b"\0" in content[:8192]:
            continue
        checked += 1
        text = content.decode("utf-8", errors="replace")
        for what, pattern in FORBIDDEN.items():
            places += [f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {what}: {match[0]}" for match in pattern.finditer(text)]
    if places:
        print(*places, sep="\n")
        return 1
    print(f"Text: {checked} files name no registry and no machine's path.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
