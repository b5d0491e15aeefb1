"""Tells whether the lock files are in step with `pyproject.toml`, without asking anybody: run by `make check`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
PLATFORMS = (("linux", "Linux"), ("darwin", "Darwin"))
PIN = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+?))?(?: \\)?$")


class Pin(NamedTuple):
    """One version of one package, where its marker holds; `direct` when pyproject itself asks for it."""

    name: str
    version: Version
    marker: Marker | None
    direct: bool
    hashed: bool


def pins(lock: Path) -> list[Pin]:
    """Every pin of a lock file."""
    found = []
    for block in re.split(r"\n(?=[A-Za-z0-9])", lock.read_text(encoding="utf-8")):
        head, _, rest = block.partition("\n")
        if match := PIN.match(head):
            marker = Marker(match["marker"]) if match["marker"] else None
            found.append(
                Pin(
                    canonicalize_name(match["name"]), Version(match["version"]), marker, "(pyproject.toml" in rest, "--hash=sha256:" in rest
                )
            )
    return found


def group(groups: dict[str, list[str | dict[str, str]]], name: str) -> list[str]:
    """The requirements of a dependency group, with the groups that it includes."""
    requirements: list[str] = []
    for entry in groups[name]:
        requirements += [entry] if isinstance(entry, str) else group(groups, entry["include-group"])
    return requirements


def differences(lock: Path, wanted: list[str]) -> list[str]:
    """What must change in the lock file for the requirements, one sentence each."""
    locked = pins(lock)
    requirements = [Requirement(text) for text in wanted]
    problems = [f"{pin.name} has no hash" for pin in locked if not pin.hashed]
    names = {canonicalize_name(requirement.name) for requirement in requirements}
    problems += [f"{pin.name} is pinned, and no longer asked for" for pin in locked if pin.direct and pin.name not in names]
    unmet: dict[str, str] = {}
    for python in PYTHONS:
        for platform, system in PLATFORMS:
            environment = {
                **{key: str(value) for key, value in default_environment().items()},
                "python_version": python,
                "python_full_version": f"{python}.99",
                "sys_platform": platform,
                "platform_system": system,
            }
            here = [pin for pin in locked if pin.marker is None or pin.marker.evaluate(environment)]
            for requirement in requirements:
                if requirement.marker is not None and not requirement.marker.evaluate(environment):
                    continue
                versions = [pin.version for pin in here if pin.name == canonicalize_name(requirement.name) and pin.direct]
                if len(versions) != 1 or not requirement.specifier.contains(versions[0], prereleases=True):
                    found = ", ".join(map(str, versions)) or "nothing"
                    unmet.setdefault(
                        str(requirement), f"pyproject.toml asks for {requirement}, pinned is {found} (Python {python}, {system})"
                    )
    return problems + list(unmet.values())


def main() -> int:
    """Print what is out of step; 1 if anything is."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = pyproject["dependency-groups"]
    deployed = pyproject["project"]["dependencies"] + pyproject["project"]["optional-dependencies"]["deploy"]
    whole = ROOT / "requirements.lock"
    problems = [f"{whole.name}: {text}" for text in differences(whole, deployed + group(groups, "dev"))]
    for name, wanted in ((".ci/installer.lock", group(groups, "installer")), ("deploy/requirements.lock", deployed)):
        part = ROOT / name
        problems += [f"{name}: {text}" for text in differences(part, wanted)]
        apart = {(pin.name, pin.version) for pin in pins(part)} - {(pin.name, pin.version) for pin in pins(whole)}
        problems += [f"{name}: {package} {version} is not the version of {whole.name}" for package, version in sorted(apart)]
    if problems:
        print(*problems, "`make lock` brings the lock files in step.", sep="\n")
        return 1
    print(f"Lock files: {len(pins(whole))} packages pinned, in step with pyproject.toml.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
