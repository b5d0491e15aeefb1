"""The documentation holds together: links, the site, and the places of the code that it names."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest

from salesmart_assets.cli import cli
from salesmart_assets_tests.project.readme import README, leaves, understood

ROOT = README.parent
DOCS = ROOT / "docs"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
COMMANDS = {path[1:]: command for path, command in leaves(cli, ("salesmart",))}
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PLACE = re.compile(r"`((?:[a-z_]+/)*[a-z_]+\.py):([\w.]+)`")
_MOST_BYTES = 200_000
_PAGE_IDS = [str(page.relative_to(ROOT)) for page in PAGES]


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return _FENCE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=_PAGE_IDS)
def test_links_of_the_pages_hold(page: Path) -> None:
    """Files and headings that a page links to exist, and pictures are small; pages of the site link to nothing beside it."""
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        where = urlsplit(link)
        if where.scheme:
            assert where.scheme == "https", link
            continue
        target = (page.parent / where.path).resolve() if where.path else page
        assert target.exists(), link
        assert target.suffix != ".png" or target.stat().st_size <= _MOST_BYTES, link
        assert DOCS not in page.parents or DOCS in target.parents, f"{link}: the site has only what is in docs/"
        assert not where.fragment or where.fragment in anchors(target), link


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.name)
def test_shown_commands_parse(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every `salesmart …` that a page shows is understood: command, options and values."""
    monkeypatch.setenv("SALESMART_IMPORT_URL", "mysql://user@host/database")
    text = re.sub(r"<!-- (commands|helps) -->.*<!-- /\1 -->", "", page.read_text("utf-8"), flags=re.DOTALL)
    blocks = "\n".join(block for kind, block in _FENCE.findall(text) if kind in ("sh", "bash"))
    # A query may go on over lines, which are indented as far as its quote.
    for line in re.findall(r"^salesmart (.+?(?:\n {17}.+?)*)$", blocks, re.MULTILINE):
        arguments = shlex.split(re.split(r" (?:\||2?>|&&)", line)[0], comments=True)
        if not any(word.startswith("$") for word in arguments):  # a loop of the shell fills it in
            assert isinstance(understood(COMMANDS[named(arguments)], arguments[len(named(arguments)) :]), click.Context)
    # In the text a command is often named without what it needs.
    for line in re.findall(r"`salesmart ([^`]+)`", _FENCE.sub("", text)):
        assert line.startswith(("COMMAND", "enc:")) or named(line.split()), line


def named(arguments: list[str]) -> tuple[str, ...]:
    """The command that arguments begin with; empty where they begin with none."""
    return next((path for path in COMMANDS if tuple(arguments[: len(path)]) == path), ())


def places() -> list[tuple[str, str]]:
    """The places of the code that pages name as `FILE:NAME`; in docs, from the package on."""
    found = [match for page in PAGES for match in _PLACE.findall(page.read_text("utf-8"))]
    assert len(found) > 40
    return sorted({(file if file.startswith("salesmart_assets") else f"salesmart_assets/{file}", name) for file, name in found})


def names(body: list[ast.stmt]) -> dict[str, list[ast.stmt]]:
    """What is defined in a module or a class, each with what is defined in it."""
    found: dict[str, list[ast.stmt]] = {}
    for item in body:
        if isinstance(item, (ast.FunctionDef, ast.ClassDef)):
            found[item.name] = item.body
        elif isinstance(item, (ast.Assign, ast.AnnAssign)):
            targets = item.targets if isinstance(item, ast.Assign) else [item.target]
            found |= {target.id: [] for target in targets if isinstance(target, ast.Name)}
    return found


@pytest.mark.parametrize(("file", "name"), places(), ids=str)
def test_named_places_of_the_code_exist(file: str, name: str) -> None:
    """Each module and function that the architecture and the guide for contributors name exists."""
    body = ast.parse((ROOT / file).read_text("utf-8")).body
    for part in name.split("."):
        assert part in names(body), f"{file} has no {name}"
        body = names(body)[part]


class Links(HTMLParser):
    """What a page of the site links to and is made of, and its anchors."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.parts: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {given[name] or "" for name in ("id", "name") if name in given}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"] or "")
        elif tag in ("link", "script", "img"):
            self.parts += [given[name] or "" for name in ("href", "src") if given.get(name)]


def test_the_site_is_built_and_its_links_hold(tmp_path: Path) -> None:
    """The documentation builds as a site, strictly; each page is in its navigation, links and anchors hold, and no part is remote."""
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    program = [Path(sys.executable).parent / "zensical", "build", "--strict"]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    site = tmp_path / "build" / "site"
    made = {page: Links(page) for page in site.rglob("*.html") if page.name != "404.html"}
    assert len(made) == len(list(DOCS.rglob("*.md")))
    reached = {(site / urlsplit(link).path).resolve() for link in made[site / "index.html"].links if not urlsplit(link).scheme}
    assert made.keys() <= reached
    for page, found in made.items():
        for link in (*found.links, *found.parts):
            where = urlsplit(link)
            if where.scheme or where.netloc:
                assert link not in found.parts, f"{page.name}: {link}"
                continue
            target = (page.parent / unquote(where.path)).resolve() if where.path else page
            assert target.exists(), f"{page.name}: {link}"
            assert not where.fragment or target not in made or unquote(where.fragment) in made[target].anchors, f"{page.name}: {link}"
