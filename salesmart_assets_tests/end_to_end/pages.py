"""Following a page of the documentation: its commands are run in order, in an empty folder, and what they print is compared.

`python -m salesmart_assets_tests.end_to_end.pages PAGE…` writes the results of pages anew. A block of the kind `sh` is run. A block of
the kind `text` behind it is what it prints; where that begins with `…`, it is the end of it. Blocks of other kinds, such as
`bash`, are for readers alone. Belongs here: how commands are run. Does not belong here: which pages there are.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from dagster import DagsterInstance, Definitions, in_process_executor

from salesmart_assets import cli, definitions, runs
from salesmart_assets.assets import ALL_ASSETS
from salesmart_assets.assets.reports import report_assets
from salesmart_assets.automation import JOBS
from salesmart_assets.checks import ALL_CHECKS
from salesmart_assets.resources import platform, s3

ROOT = Path(__file__).parent.parent.parent
LEFT_OUT = "…"
_PARTS = {"s3": definitions.s3, "database": definitions.database, "spark": definitions.spark}
_WITHOUT_REPORTS = Definitions(
    assets=[asset for asset in ALL_ASSETS if asset not in report_assets],
    asset_checks=ALL_CHECKS,
    jobs=[job for job in JOBS if job.name == "load_batch"],
    resources={**_PARTS, "platform": platform.PlatformResource(**_PARTS)},
    executor=in_process_executor,
)
"""Reports are half of a small batch's time; what is shown of them, a page makes by `salesmart report`."""
_DIFFERS = (
    (re.compile(r"in [\d.]+ s \([\d.]+ \w+/s\)"), f"in {LEFT_OUT} s"),
    (re.compile(r"/replay/\w+\.jsonl"), f"/replay/{LEFT_OUT}.jsonl"),
    (re.compile(r"^Time: .*\n", re.MULTILINE), ""),
)
"""What differs each time, and what a page has in its place; nothing for where the time went."""
_BLOCK = re.compile(r"^```sh\n(?P<commands>.*?)^```\n(?:\n^```text\n(?P<printed>.*?)^```\n)?", re.DOTALL | re.MULTILINE)
_ASK = """
salesmart() {
  printf '%s\\0' "$@" > "$ASK/arguments"; env -0 > "$ASK/environment"; pwd > "$ASK/folder"; echo command > "$ASK/question"
  read -r code < "$ASK/answer"; cat "$ASK/out"; cat "$ASK/err" >&2; return "$code"
}
trap 'echo end > "$ASK/question"' EXIT
"""


def followed(text: str, folder: Path, given: Mapping[str, str] | None = None) -> str:
    """The page as it is when all of its commands, in order, were run in an empty folder.

    `given`: what stands for an address that the page can only name as an example.
    """
    with tempfile.TemporaryDirectory() as asked:
        return _with_results(text, folder, given or {}, Path(asked))


def followed_in_processes(text: str, folder: Path, **settings: str) -> str:
    """As `followed`, with the installed program, a process for each command: as a person does; it takes several times as long."""
    return _with_results(text, folder, {}, None, settings)


def _with_results(text: str, folder: Path, given: Mapping[str, str], asked: Path | None, settings: Mapping[str, str] | None = None) -> str:
    blocks = list(_BLOCK.finditer(text))
    script = "".join(f"{block['commands']}printf '\\0'\n" for block in blocks)
    for example, real in given.items():
        assert example in script
        script = script.replace(example, real)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SALESMART_", "DAGSTER_"))}
    environment = {**kept, **(settings or {}), "NO_COLOR": "1", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    if asked is not None:
        script = _ASK + script
        environment["ASK"] = str(asked)
        os.mkfifo(asked / "question")
        os.mkfifo(asked / "answer")
    with (
        subprocess.Popen(
            ["bash", "-e", "-c", script], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as shell,
        _in_this_process(),
    ):
        while asked is not None and (asked / "question").read_text() == "command\n":
            (asked / "answer").write_text(f"{_answer(asked)}\n")
        out, err = shell.communicate(timeout=300)
    *printed, rest = out.split("\0")
    assert shell.returncode == 0, f"{blocks[len(printed)]['commands']}\n{rest}\n{err}"
    results = iter(printed)
    return _BLOCK.sub(lambda block: _with_result(block, next(results).replace(str(folder), LEFT_OUT)), text)


def _with_result(block: re.Match[str], printed: str) -> str:
    commands, shown = block["commands"], block["printed"]
    if shown is None:
        return block[0]
    for differing, instead in _DIFFERS:
        printed = differing.sub(instead, printed)
    if shown.startswith(f"{LEFT_OUT}\n"):
        printed = "".join([f"{LEFT_OUT}\n", *printed.splitlines(keepends=True)[-(len(shown.splitlines()) - 1) :]])
    return f"```sh\n{commands}```\n\n```text\n{printed}```\n"


def _answer(asked: Path) -> int:
    """Run one command of the program in this process; what it prints is left in files. Returns its exit code."""
    arguments, variables = ((asked / name).read_bytes().decode().split("\0")[:-1] for name in ("arguments", "environment"))
    # Only these: libraries leave variables of their own in the process, such as pyspark's, which later commands need.
    settings = {name: value for name, _, value in (v.partition("=") for v in variables) if name.startswith("SALESMART_")}
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    was = Path.cwd()
    os.chdir((asked / "folder").read_text().rstrip("\n"))
    os.environ.update(settings)
    try:
        with (
            patch.object(sys, "argv", ["salesmart", *arguments]),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            cli.main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    finally:
        os.chdir(was)
        for name in settings:
            del os.environ[name]
        for name, stream in (("out", out), ("err", err)):
            (asked / name).write_bytes(stream.buffer.getvalue())  # type: ignore[attr-defined]
    return 0


@contextmanager
def _in_this_process() -> Iterator[None]:
    """Commands share a process. Dagster keeps its history in memory, for no command of a page asks for it; no home stays open."""

    @contextmanager
    def instance(_: object) -> Iterator[DagsterInstance]:
        with DagsterInstance.ephemeral() as opened:
            yield opened

    with patch.object(runs, "instance", instance), patch.object(runs, "defs", _WITHOUT_REPORTS), warnings.catch_warnings():
        # Dagster calls what Dagster deprecates.
        warnings.filterwarnings("ignore", message="InitResourceContext.dagster_run is deprecated")
        yield
    for opened in platform._opened.values():
        opened.close()
    platform._opened.clear()
    for endpoint in s3._endpoints.values():
        endpoint.stop()
    s3._endpoints.clear()


if __name__ == "__main__":
    for name in sys.argv[1:]:
        page = Path(name)
        with tempfile.TemporaryDirectory() as empty:
            page.write_text(followed(page.read_text("utf-8"), Path(empty)), "utf-8")
