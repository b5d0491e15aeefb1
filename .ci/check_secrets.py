"""Finds what looks like a password or a key in a file of the project, without asking anybody: run by `make check`.

Examples and tests need passwords that are none: `EXAMPLES` are their words, and nothing else is let through.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from detect_secrets.core.scan import scan_file
from detect_secrets.settings import default_settings

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = frozenset({"password", "PASSWORD", "secret", "geheim", "an", "hidden", "hidden-word", "hidden-word-in-here"})
# Hashes of packages look like keys, and are held against the packages; plots are long numbers.
LEFT_OUT = re.compile(r"\.(lock|svg|png)$")
# What a password is called says little; addresses are no secrets.
NOISY = ("KeywordDetector", "IPPublicDetector")


def look(root: Path) -> tuple[int, list[str]]:
    """How many files of a repository were looked at, and each place where a secret seems to be, without what stands there."""
    git = ("git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    listed = subprocess.run(git, check=True, capture_output=True, text=True).stdout.split("\0")
    paths = [root / name for name in listed if name and not LEFT_OUT.search(name)]
    files = [path for path in paths if path.is_file() and not path.is_symlink()]
    with default_settings() as settings:
        settings.disable_plugins(*NOISY)
        found = [(path.relative_to(root), secret) for path in files for secret in scan_file(str(path))]
    return len(files), sorted({f"{path}:{item.line_number}: {item.type}" for path, item in found if item.secret_value not in EXAMPLES})


def main() -> int:
    """Print each place; 1 if there is any."""
    count, places = look(ROOT)
    if places:
        print(*places, sep="\n")
        print("A secret is taken out, and changed where it is in use; an example has one of the words in .ci/check_secrets.py.")
        return 1
    print(f"Secrets: {count} files hold none.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
