"""`salesmart secrets`, as people and scripts use it."""

from __future__ import annotations

import os
import pty
import re
import select
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from salesmart_assets.errors import UsageError
from salesmart_assets.security import key as keys
from salesmart_assets.security import sealing
from salesmart_assets.security.given import Given
from salesmart_assets.security.secrets_file import SecretsFile
from salesmart_assets.settings import Settings
from salesmart_assets_tests.security.conftest import Project

URL = "mysql+pymysql://ann:hidden-word-in-here@127.0.0.1:9/marts"
PASSPHRASE = {"SALESMART_SECRETS_PASSPHRASE": "a passphrase of some length"}


@pytest.fixture
def begun(project: Project) -> Project:
    """A project with a key, and an encrypted database URL and coupon secret."""
    project("secrets", "init")
    project("secrets", "encrypt", "database_url", given=URL)
    project("secrets", "encrypt", "SALESMART_COUPON_SECRET", given="hidden-word-in-here\n")
    return project


def test_from_nothing_to_an_encrypted_setting(begun: Project) -> None:
    """`secrets init`, `encrypt`: the settings work, the file may be read by all and holds no value, the key by its owner alone."""
    assert begun("secrets", "init").stdout == "Key   ~/.config/salesmart/secrets.key\nFile  salesmart.secrets\n"
    assert stat.S_IMODE(begun.key.stat().st_mode) == 0o600
    lines = begun.file.read_text().splitlines()
    assert [re.sub(r"=enc:v1:[\w-]{60,}$", "=enc:v1:…", line) for line in lines if not line.startswith("#")] == [
        "SALESMART_DATABASE_URL=enc:v1:…",
        "SALESMART_COUPON_SECRET=enc:v1:…",
    ]
    assert begun("secrets", "decrypt", "coupon_secret").stdout == "hidden-word-in-here\n"
    done = begun("status", code=2)
    assert "127.0.0.1:9 does not answer" in done.stderr
    assert "hidden-word-in-here" not in done.stderr + begun.file.read_text() + begun("secrets", "check").stdout
    begun("status", SALESMART_DATABASE_URL=f"sqlite:///{begun.folder}/x.db")


def test_a_passphrase_instead_of_a_key_file(project: Project) -> None:
    """With a passphrase in the environment there is no key file; without it, or with another, nothing opens and nothing is added."""
    project("secrets", "init", **PASSPHRASE)
    project("secrets", "encrypt", "coupon_secret", given="hidden-word-in-here", **PASSPHRASE)
    assert not project.key.exists()
    assert project("secrets", "decrypt", "coupon_secret", **PASSPHRASE).stdout == "hidden-word-in-here\n"
    wrong = {"SALESMART_SECRETS_PASSPHRASE": "some other passphrase"}
    another = "SALESMART_COUPON_SECRET cannot be decrypted: it was encrypted with another key"
    for arguments, given, says in (
        (("status",), "", another),
        (("secrets", "check"), "", another),
        (("secrets", "encrypt", "database_url"), URL, "opens no other value of salesmart.secrets, and one key must open all"),
    ):
        done = project(*arguments, given=given, code=2, **wrong)
        assert says in done.stderr
        assert "some other" not in done.stderr
    assert "There is no key for encrypted settings" in project("status", code=2).stderr
    short = {"SALESMART_SECRETS_PASSPHRASE": "too-short"}
    assert "too short" in project("secrets", "encrypt", "coupon_secret", given="x", code=2, **short).stderr


def test_check_says_which_open(begun: Project) -> None:
    """`secrets check` lists what is encrypted, in a vault, or a secret in the clear, and ends with 2 if one does not open."""
    begun("secrets", "check")
    url, coupon = (line.partition("=")[2] for line in begun.file.read_text().splitlines() if not line.startswith("#"))
    with begun.file.open("a") as file:
        file.write(f"SALESMART_LEDGER_URL={url}\nSALESMART_CURRENCY=vault:secret/retail#currency\n")
    given = {
        "SALESMART_S3_SECRET_ACCESS_KEY": "hidden-word-in-here",
        "SALESMART_COUPON_SECRET": f"{coupon[:-1]}!",
        "SALESMART_PORT": "3001",
    }
    done = begun("secrets", "check", code=2, VAULT_ADDR="http://127.0.0.1:9", **given)
    assert [" ".join(line.split()) for line in done.stdout.splitlines()[1:]] == [
        "SALESMART_COUPON_SECRET environment encrypted no",
        "SALESMART_CURRENCY salesmart.secrets in a vault (vault) no",
        "SALESMART_DATABASE_URL salesmart.secrets encrypted yes",
        "SALESMART_LEDGER_URL salesmart.secrets encrypted no",
        "SALESMART_S3_SECRET_ACCESS_KEY environment in the clear yes",
    ]
    told = done.stderr.splitlines()
    assert len(told) == 3
    assert "The encrypted value of SALESMART_COUPON_SECRET is damaged" in told[0]
    assert "the vault at http://127.0.0.1:9 does not give secret/retail" in told[1]
    assert "SALESMART_LEDGER_URL cannot be decrypted" in told[2]
    assert "hidden-word-in-here" not in done.stdout + done.stderr


def test_rotate_changes_the_key(begun: Project) -> None:
    """`secrets rotate` encrypts every value with a new key: all open with it and none with the old one; other lines stay."""
    with begun.file.open("a") as file:
        file.write("# a word of our own\nSALESMART_CURRENCY=vault:secret/retail#currency\n")
    before, old = begun.file.read_text(), begun.key.read_text()
    assert begun("secrets", "rotate").stdout.startswith("2 settings in salesmart.secrets are encrypted with a new key")
    after = begun.file.read_text()
    assert [line.partition("=enc:")[0] for line in after.splitlines()] == [line.partition("=enc:")[0] for line in before.splitlines()]
    assert not set(re.findall("enc:v1:.*", before)) & set(re.findall("enc:v1:.*", after))
    assert (begun("secrets", "decrypt", "database_url").stdout, begun.key.read_text().count("\n")) == (f"{URL}\n", 1)
    begun.key.write_text(old)
    begun("secrets", "decrypt", "database_url", code=2)


def test_rotate_keeps_the_key_of_other_projects(begun: Project) -> None:
    """After `rotate`, twice, the file of another project that has the same key opens with the old keys, which are kept."""
    other = Project(begun.folder.parent / "other", begun.environment)
    other("secrets", "init")
    other("secrets", "encrypt", "database_url", given=URL)
    for _ in range(2):
        assert "secrets.key.old: delete it when nothing else needs it" in begun("secrets", "rotate").stderr
    other("secrets", "decrypt", "database_url", code=2)
    kept = begun.key.with_name("secrets.key.old")
    assert other("secrets", "decrypt", "database_url", SALESMART_SECRETS_KEY_FILE=str(kept)).stdout == f"{URL}\n"
    assert (stat.S_IMODE(kept.stat().st_mode), len(kept.read_text().split())) == (0o600, 2)


def test_two_at_once_wait_for_each_other(begun: Project) -> None:
    """Values that are encrypted at the same time all stay, and so do those of a file whose key is changed meanwhile, twice."""
    command = [sys.executable, "-m", "salesmart_assets.cli", "secrets"]
    environment = {**{name: value for name, value in os.environ.items() if not name.startswith("SALESMART_")}, **begun.environment}
    started = []
    for arguments in (["encrypt", "ledger_url"], ["encrypt", "dagster_url"], ["rotate"], ["rotate"]):
        process = subprocess.Popen([*command, *arguments], cwd=begun.folder, env=environment, stdin=subprocess.PIPE, text=True)
        assert process.stdin is not None
        process.stdin.write(URL)
        process.stdin.close()
        started.append(process)
    assert [process.wait() for process in started] == [0, 0, 0, 0]
    for setting in ("ledger_url", "dagster_url", "database_url"):
        assert begun("secrets", "decrypt", setting).stdout == f"{URL}\n"


def test_rotate_to_a_new_passphrase(project: Project) -> None:
    """A passphrase is changed by `rotate`, which reads the new one from standard input."""
    project("secrets", "encrypt", "coupon_secret", given="hidden-word-in-here", **PASSPHRASE)
    assert "too short" in project("secrets", "rotate", given="short", code=2, **PASSPHRASE).stderr
    project("secrets", "rotate", given="a second passphrase\n", **PASSPHRASE)
    project("secrets", "decrypt", "coupon_secret", code=2, **PASSPHRASE)
    new = {"SALESMART_SECRETS_PASSPHRASE": "a second passphrase"}
    assert project("secrets", "decrypt", "coupon_secret", **new).stdout == "hidden-word-in-here\n"


def _no_write(*_: object, **__: object) -> None:
    raise OSError("the disk is full")


def _break_file(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SecretsFile, "write", _no_write)


def _break_key(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sealing, "write_keys", _no_write)


@pytest.mark.parametrize("broken", [_break_file, _break_key])
def test_an_interrupted_rotation_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """Wherever `rotate` ends before its time, every value opens as before, and the next `rotate` finishes."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("SALESMART_SECRETS_KEY_FILE", str(tmp_path / "keys" / "key"))
    assert sealing.begin(Settings.given())
    sealing.encrypt(Settings.given(), "SALESMART_COUPON_SECRET", "hidden-word-in-here")
    with pytest.MonkeyPatch.context() as patch:
        broken(patch)
        with pytest.raises(OSError, match="disk is full"):
            sealing.rotate(Settings.given(), "")
    assert Settings.given().open("SALESMART_COUPON_SECRET") == "hidden-word-in-here"
    sealing.encrypt(Settings.given(), "SALESMART_PORT", "4000")
    assert sealing.rotate(Settings.given(), "") == 2
    assert Settings.given().open("SALESMART_PORT") == "4000"
    assert Settings.given().open("SALESMART_COUPON_SECRET") == "hidden-word-in-here"
    assert len(Settings.given().key.candidates) == 1
    assert [path.name for path in (tmp_path / "project").iterdir()] == ["salesmart.secrets"]


def test_rotate_stops_before_a_value_that_does_not_open(begun: Project) -> None:
    """If one value does not open, or is encrypted in the environment, `rotate` changes nothing."""
    text = begun.file.read_text()
    coupon = re.findall("SALESMART_COUPON_SECRET=(.*)", text)[0]
    assert "in the environment" in begun("secrets", "rotate", code=2, SALESMART_COUPON_SECRET=coupon).stderr
    begun.file.write_text(f"{text}SALESMART_LEDGER_URL={coupon}\n")
    before = begun.file.read_text(), begun.key.read_text()
    assert "SALESMART_LEDGER_URL cannot be decrypted" in begun("secrets", "rotate", code=2).stderr
    assert (begun.file.read_text(), begun.key.read_text()) == before


def test_a_value_is_typed_unseen(project: Project) -> None:
    """At a terminal the value is asked for twice and not shown; on the command line it is refused, and not repeated."""
    project("secrets", "init")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "salesmart_assets.cli", "secrets", "encrypt", "coupon_secret"],
        cwd=project.folder,
        env={**os.environ, **project.environment},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,  # without a terminal of its own it asks on the one it is given
    )
    os.close(slave)
    shown = b""
    try:
        for _ in range(2):
            # The blank comes when the terminal shows no more what is typed.
            while not shown.endswith(b": "):
                assert select.select([master], [], [], 60)[0], shown
                shown += os.read(master, 1000)
            os.write(master, b"hidden-word-in-here\n")
            shown += b"\n"
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert b"hidden-word-in-here" not in shown
    assert project("secrets", "decrypt", "coupon_secret").stdout == "hidden-word-in-here\n"
    for arguments in (("coupon_secret", "hidden-word-in-here"), ("coupon_secret=hidden-word-in-here",), ("hidden-word-in-here",)):
        assert "hidden-word-in-here" not in project("secrets", "encrypt", *arguments, given="x", code=2).stderr


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("SALESMART_DATABASE_URL=mysql://ann:hidden-word-in-here@db/marts", "line 2: SALESMART_DATABASE_URL is in the clear"),
        ("SALESMART_DATABSE_URL=enc:v1:hidden-word-in-here", "line 2: SALESMART_DATABSE_URL is no setting"),
        (
            "SALESMART_SECRETS_PASSPHRASE=enc:v1:hidden-word-in-here",
            "line 2: SALESMART_SECRETS_PASSPHRASE is no setting that can stand here",
        ),
        ("export SALESMART_PORT=hidden-word-in-here", "line 2: this is no line"),
        ("SALESMART_PORT=enc:v1:hidden-word-in-here\nSALESMART_PORT=enc:v1:hidden-word-in-here", "line 3: SALESMART_PORT is here twice"),
    ],
)
def test_a_file_that_is_not_right(tmp_path: Path, line: str, says: str) -> None:
    """What is wrong in the file is told with its line, and no value is repeated; a secret in the clear is refused."""
    path = tmp_path / "salesmart.secrets"
    path.write_text(f"# settings\n{line}\n")
    with pytest.raises(UsageError, match=re.escape(says)) as caught:
        SecretsFile.read(path, {"SALESMART_DATABASE_URL", "SALESMART_PORT"})
    assert "hidden-word-in-here" not in str(caught.value)


def test_the_key_lies_outside_of_the_project(tmp_path: Path) -> None:
    """A key file beside the encrypted settings, or in their repository, is neither made nor read."""
    inside = tmp_path / "repository"
    (inside / ".git").mkdir(parents=True)
    (inside / "deploy").mkdir()
    file = inside / "deploy" / "salesmart.secrets"
    for place in (inside / "deploy" / "key", inside / "keys" / "key", inside / "key"):
        keys.write_keys(place, (b"k" * 43,))
        with pytest.raises(UsageError, match="lies in the project"):
            keys.read_key(None, place, file)
    keys.write_keys(tmp_path / "key", (b"k" * 43,))
    assert keys.read_key(None, tmp_path / "key", file).newest == b"k" * 43
    with pytest.raises(UsageError, match="lies in the project"):
        keys.read_key(None, tmp_path / "key", tmp_path / "salesmart.secrets")


@pytest.mark.parametrize(
    "text", [b"correct horse battery staple in the stable\n", b"-----BEGIN CERTIFICATE-----\nMIIE\n", b"short\n", b"\x00\xff" * 32]
)
def test_a_key_file_without_a_key(begun: Project, text: bytes) -> None:
    """A key file that holds something else is refused: of a phrase, or of a PEM file, a part that anybody can guess would be the key."""
    begun.key.write_bytes(text)
    done = begun("secrets", "encrypt", "ledger_url", given=URL, code=2)
    assert "holds no key" in done.stderr
    assert "correct" not in done.stderr


def test_what_is_no_text(begun: Project) -> None:
    """A value that is no UTF-8 is refused in a sentence that does not repeat it; a passphrase may be of any bytes."""
    done = begun("secrets", "encrypt", "ledger_url", given="hidden-word-in-here\udcff", code=2)
    assert done.stderr == "salesmart: What stands on standard input is no text in UTF-8: nothing was done.\n"
    odd = {"SALESMART_SECRETS_PASSPHRASE": "a passphrase \udcff of odd bytes", "SALESMART_SECRETS_FILE": "odd.secrets"}
    begun("secrets", "encrypt", "ledger_url", given=URL, **odd)
    assert begun("secrets", "decrypt", "ledger_url", **odd).stdout == f"{URL}\n"


def test_a_user_without_a_home(begun: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home folder, as in a container, gives the key's place."""
    key = begun.folder.parent / "key"
    key.write_bytes(begun.key.read_bytes())
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # what the system says where nobody has that number
    assert "name the key's file with SALESMART_SECRETS_KEY_FILE" in begun("secrets", "decrypt", "database_url", code=2).stderr
    assert begun("secrets", "decrypt", "database_url", SALESMART_SECRETS_KEY_FILE=str(key)).stdout == f"{URL}\n"


def test_a_key_file_that_others_may_read(begun: Project) -> None:
    """`secrets check` tells of a key file that others may read."""
    begun.key.chmod(0o644)
    assert "Others may read the key file" in begun("secrets", "check").stderr


def test_a_second_key_is_not_mixed_in(begun: Project) -> None:
    """Whoever has another key than the file's cannot add a value: one key opens all."""
    begun.key.write_text(f"{'another-key' * 3}\n")
    assert "one key must open all" in begun("secrets", "encrypt", "ledger_url", given=URL, code=2).stderr
    assert "LEDGER" not in begun.file.read_text()


def test_given_shows_no_value(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What holds secrets in the program shows none of them where it is printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SALESMART_COUPON_SECRET", "hidden-word-in-here")
    monkeypatch.setenv("SALESMART_SECRETS_PASSPHRASE", "hidden-word-in-here-too")
    given = Given.read({"SALESMART_COUPON_SECRET", "SALESMART_SECRETS_PASSPHRASE"})
    assert "hidden-word-in-here" not in f"{given} {given.key} {Settings.load()!r} {Settings.load()}"
